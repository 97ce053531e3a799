"""Which files a table is made of, with the SHA-256 of each: no row can tell that other rows are gone.

LanceDB never changes a file once it is written and uses no name twice, so a writer reads only those that it has made.
Not listed are `_transactions` and the hint at the newest version: without them, or with wrong ones, the table opens and
answers the same (`tests/index/test_inventory.py`).
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.files import sha256, write_text
from lookalike.progress import track

NAME = "files.json"
DATA, DELETIONS, INDEXES, MANIFESTS = "data/", "_deletions/", "_indices/", "_versions/"
MISSING, CHANGED = "missing", "changed"


@dataclass(slots=True)
class Inventory:
    """The list. Paths are within the folder of the table."""

    #: size in bytes and SHA-256
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: what a writer found missing or changed before it wrote; it stays here until rows or indexes are made anew, as
    #: what is written next follows from what was left
    lost: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Inventory | None":
        """The list in `folder`; None if an earlier version of lookalike wrote there, or it is damaged itself."""
        try:
            content = json.loads((folder / NAME).read_text(encoding="utf-8"))
            files = {name: (size, digest) for name, (size, digest) in content["files"].items()}
            found = cls(files, dict(content["lost"]))
            return found if content["sha256"] == found._digest() else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it into `folder`, whole or not at all.

        Raises:
            OSError: the disk is full.
        """
        content = {"files": self.files, "lost": self.lost, "sha256": self._digest()}
        # Not forced to disk, as the table is not either; a list that a power cut spoilt is known by its digest.
        write_text(folder / NAME, json.dumps(content, separators=(",", ":")) + "\n", is_forced=False)

    def wrong(self, table: Path, is_at_rest: bool, among: Collection[str] | None = None) -> dict[str, str]:
        """Listed files that are missing or changed. Those that only older versions of the table need may be.

        Args:
            table: its folder.
            is_at_rest: whether no writer is at work or broke off; else it may be it that removed a file.
            among: look only into these; what is missing is seen without that.

        Raises:
            OSError: a file cannot be read.
        """
        found = _present(table)
        wrong = self.lost | dict.fromkeys(self._missing(found, is_at_rest), MISSING)
        needed = {name for name in found if not name.startswith(MANIFESTS)} | {_newest(found)}
        here = sorted(needed & self.files.keys() & set(self.files if among is None else among))
        return wrong | self._changed(table, here if among is not None else track(here, "verifying files", len(here)))

    def note(self, table: Path, is_at_rest: bool, is_tidying: bool = False) -> None:
        """Before a change: remember what is lost. The change may hide it, as it builds on what is left.

        Raises:
            OSError: a file cannot be read.
        """
        # Tidying reads all deletions and writes them anew; it would also fail at a damaged version that nobody reads.
        deletions = {name for name in self.files if is_tidying and name.startswith(DELETIONS)}
        self.lost = self.wrong(table, is_at_rest, {_newest(self.files)} | deletions)
        if is_tidying:
            older = {name for name in self.files if name.startswith(MANIFESTS)} - {_newest(self.files)}
            for name in self._changed(table, older):
                (table / name).unlink(missing_ok=True)

    def renew(self, table: Path) -> None:
        """After a change: forget the files that are gone and add those that are new. Only while nobody writes.

        Raises:
            OSError: a file cannot be read.
        """
        found = _present(table)
        # The number of a lost version is used again.
        known = {name: entry for name, entry in self.files.items() if name in found and name not in self.lost}
        new = sorted(found - known.keys())
        # The first time, or when all was made anew, it may be much.
        steps = new if self.files else track(new, "listing files", len(new))
        self.files = known | {name: _entry(table / name) for name in steps}

    def mended(self, folder: str = "") -> None:
        """Forget what was known of one of the folders, or of all: it was made anew, what is left of the old is idle."""
        self.lost = {name: how for name, how in self.lost.items() if not name.startswith(folder)}
        self.files = {name: entry for name, entry in self.files.items() if not name.startswith(folder)}

    def _missing(self, found: Collection[str], is_at_rest: bool) -> list[str]:
        newest, last = _newest(self.files), _version(_newest(found))
        if last > _version(newest):
            # Written since by a program that keeps no list, or by one that broke off: it may have removed anything.
            return []
        gone = [name for name in self.files if name not in found and not name.startswith(MANIFESTS)]
        # A version gives way to a newer one only, whenever a writer was killed.
        return [newest] * (last < _version(newest)) + gone * is_at_rest

    def _changed(self, table: Path, names: Iterable[str]) -> dict[str, str]:
        wrong = {}
        for name in names:
            try:
                if _entry(table / name) != self.files[name]:
                    wrong[name] = CHANGED
            except FileNotFoundError:  # just tidied away: who asks beside a writer asks again
                wrong[name] = MISSING
        return wrong

    def _digest(self) -> str:
        return sha256(json.dumps([self.files, self.lost]).encode())


def _present(table: Path) -> set[str]:
    """The files that rows and searches follow from."""
    indexes = [f"{INDEXES}{name}/" for name in _names(table / INDEXES)]
    found = {f"{folder}{name}" for folder in (DATA, DELETIONS, *indexes) for name in _names(table / folder)}
    return found | {f"{MANIFESTS}{name}" for name in _names(table / MANIFESTS) if name.endswith(".manifest")}


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:  # no rows were removed yet, or an index was just tidied away
        return []


def _entry(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _newest(names: Iterable[str]) -> str:
    return max((name for name in names if name.startswith(MANIFESTS)), key=_version, default="")


def _version(name: str) -> int:
    """The number of a version by the name of its manifest; -1 of none."""
    number = Path(name).stem
    if not number.isdecimal():
        return -1
    # Counted down from the largest, so that the newest stands first in a folder; LanceDB used to count up.
    return 2**64 - 1 - int(number) if len(number) == 20 else int(number)
