"""A folder in which a data set lies: as archives, unpacked, or some of each."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookalike.catalog.benchmarks.archives import is_archive, safe_parts, unpacked
from lookalike.errors import CatalogError

#: How many folders deep files are looked for.
DEEPEST = 3


class Layout:
    """Finds the files of a data set by name, however deep they lie; archives are unpacked when they are needed.

    Args:
        root: a folder, or one archive.

    Raises:
        CatalogError: there is nothing there.
    """

    def __init__(self, root: Path) -> None:
        if not root.exists():
            raise CatalogError(f"there is no folder {root}; name the one with the archives, or with what was in them")
        if root.is_file() and not is_archive(root):
            raise CatalogError(f"{root} is no zip or tar file; name the folder with the data set")
        self.root = (unpacked(root) if root.is_file() else root).resolve()
        self._unpacked: set[Path] = set()

    def look(self, name: str) -> Path | None:
        """A file or folder of this name (or `*` pattern) among what is unpacked, the least deep one; None if none."""
        for depth in range(DEEPEST + 1):
            found = (path for path in self.root.glob("*/" * depth + name) if not self._is_hidden(path))
            first = min(found, default=None)
            if first is not None:
                return first
        return None

    def need(self, name: str) -> Path:
        """As `look`, but archives are unpacked, one after the other, until it is found.

        Raises:
            CatalogError: it is not there.
        """
        found = self.look(name)
        while found is None and self._unpack_next():
            found = self.look(name)
        if found is None:
            raise CatalogError(f"{self.root} holds no {name}, neither unpacked nor in an archive; see docs/datasets.md")
        return found

    def unpack_all(self) -> None:
        """Unpack every archive, those in archives too."""
        while self._unpack_next():
            pass

    def _unpack_next(self) -> bool:
        archive = min((path for path in self._archives() if path not in self._unpacked), default=None)
        if archive is not None:
            unpacked(archive)
            self._unpacked.add(archive)
        return archive is not None

    def _archives(self) -> Iterator[Path]:
        for depth in range(DEEPEST):
            for path in self.root.glob("*/" * depth + "*"):
                if is_archive(path) and path.is_file() and not self._is_hidden(path):
                    yield path

    def _is_hidden(self, path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(self.root).parts)


def listed(path: Path, fields: int, skip: int = 0) -> Iterator[list[str]]:
    """The lines of a list as so many fields parted by spaces; the last one may hold spaces itself.

    Raises:
        CatalogError: a line has fewer, or it is no text; the sentence names the line.
    """
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        parts = line.split(maxsplit=fields - 1)
        if number <= skip or not parts:
            continue
        if len(parts) != fields:
            raise CatalogError(f"{path}, line {number}: {fields} fields are expected, not {line.strip()!r}")
        yield [part.strip() for part in parts]


def text_of(path: Path) -> str:
    """The text of a list.

    Raises:
        CatalogError: it cannot be read as text.
    """
    try:
        # A few captions are Latin-1; a letter lost there harms nobody.
        return path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise CatalogError(f"{path} cannot be read: {error.strerror}") from None


def json_of(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        CatalogError: it is none.
    """
    try:
        return json.loads(text_of(path))
    except ValueError as error:
        raise CatalogError(f"{path} is no JSON: {error}; download it again") from None


def picture(folder: Path, name: str) -> str:
    """The path of a picture that a list names.

    Raises:
        CatalogError: the name leads outside of the folder.
    """
    try:
        return os.path.join(folder, *safe_parts(name))
    except ValueError as error:
        raise CatalogError(f"{folder}: a list names a picture that cannot be meant: {error}") from None


def words(name: str) -> str:
    """`Black_footed_Albatross` to `Black footed Albatross`."""
    return " ".join(name.replace("_", " ").split())
