"""Versions of a table that can be gone back to: folders of hard links to files that never change."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lookalike.errors import StoredIndexError
from lookalike.files import write_text
from lookalike.index.inventory import DATA, INDEXES, Inventory
from lookalike.index.inventory import NAME as FILES

FOLDER = "versions"
#: How many are kept; each takes the room of what was replaced or removed since.
KEPT = 3
_ABOUT = "version.json"


@dataclass(frozen=True, slots=True)
class Version:
    """The rows as they were before a change."""

    #: counted from 1
    number: int
    rows: int
    #: when it was kept, ISO 8601, UTC
    kept: str

    @classmethod
    def after(cls, versions: "list[Version]", rows: int) -> "Version":
        """The next one, of so many rows."""
        number = versions[-1].number + 1 if versions else 1
        return cls(number, rows, datetime.now(UTC).isoformat(timespec="seconds"))


def keep(folder: Path, table: Path, rows: int) -> None:
    """Keep a table as it is now. Only while nobody writes."""
    version = Version.after(kept(folder), rows)
    # One name, so that what a kill left is swept by the next.
    aside = folder / FOLDER / ".new"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(table, aside / table.name, copy_function=_link)
    if (folder / FILES).exists():
        _link(str(folder / FILES), str(aside / FILES))
    write_text(aside / _ABOUT, json.dumps(asdict(version)) + "\n")
    aside.rename(folder / FOLDER / str(version.number))


def prune(folder: Path) -> None:
    """Remove the oldest beyond `KEPT`, and what a kill left. Only while nobody writes."""
    for old in kept(folder)[:-KEPT]:
        # Its page goes first: a version is there whole or not at all.
        (folder / FOLDER / str(old.number) / _ABOUT).unlink(missing_ok=True)
    for path in folder.glob(f"{FOLDER}/*"):
        if not (path / _ABOUT).exists():
            shutil.rmtree(path, ignore_errors=True)


def kept(folder: Path) -> list[Version]:
    """What can be gone back to, oldest first."""
    found = []
    for path in folder.glob(f"{FOLDER}/*/{_ABOUT}"):
        try:
            found.append(Version(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):  # just removed, or damaged
            continue
    return sorted(found, key=lambda version: version.number)


def chosen(versions: list[Version], number: int) -> Version:
    """The version of that number.

    Raises:
        StoredIndexError: it is not kept.
    """
    for version in versions:
        if version.number == number:
            return version
    numbers = ", ".join(str(version.number) for version in versions) or "none"
    raise StoredIndexError(f"version {number} is not kept; kept: {numbers}")


def check(folder: Path, table: Path, version: Version) -> None:
    """Refuse a version of which rows may be missing; its rows have checksums, and its indexes are not read.

    Args:
        folder: see `folder_of`.
        table: the folder of the table in it.
        version: which one it is.

    Raises:
        StoredIndexError: a file is missing or changed.
        OSError: one cannot be read.
    """
    listed = Inventory.read(folder) or Inventory()
    told_by_rows = (DATA, INDEXES)
    unsure = {name for name in listed.files if not name.startswith(told_by_rows)}
    for name, how in listed.wrong(table, True, unsure).items():
        if not name.startswith(told_by_rows):
            raise StoredIndexError(
                f"version {version.number} cannot be gone back to: {table / name} is {how}; go back to another one, or "
                "index the catalog anew with --replace"
            )


def folder_of(folder: Path, version: Version) -> Path:
    """Where the table of that version is."""
    return folder / FOLDER / str(version.number)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
