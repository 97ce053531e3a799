"""Models of an index side by side: one is read while a new one is built, which then takes its place at once.

The manifest names the model to read, so that replacing this one file is the switch. Who reads a model holds a lock on
its folder, which the system frees when the process ends; a former model is removed when nobody reads it any more.
"""

import fcntl
import os
import shutil
import weakref
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lookalike.errors import StoredIndexError
from lookalike.index.faults import told
from lookalike.index.inventory import NAME as FILES
from lookalike.index.lance import TABLE
from lookalike.index.manifest import Manifest
from lookalike.index.plan import NAME as PLAN
from lookalike.index.tidy import LOCK, WriterLock
from lookalike.index.versions import FOLDER as VERSIONS

READERS = "readers.lock"
ENCODER = "encoder"
#: What belongs to a model that lies in the index's own folder; the lock goes last.
PARTS = (f"{TABLE}.lance", ENCODER, VERSIONS, PLAN, FILES, LOCK, READERS)


class Opened:
    """The model of an index that is read: it stays until this object is gone, also when another takes its place."""

    def __init__(self, root: Path):
        self.root = Path(root)
        while True:
            self.manifest = Manifest.read(self.root)
            self.folder = self.manifest.folder(self.root)
            descriptor = _shared(self.folder)
            if not self.is_stale:
                break
            _close(descriptor)  # replaced between the two
        self._release = weakref.finalize(self, _close, descriptor)

    @property
    def is_stale(self) -> bool:
        """Whether another model is there now.

        Raises:
            StoredIndexError: there is no index any more.
        """
        return Manifest.read(self.root) != self.manifest

    def check_current(self) -> None:
        """Refuse to write to a model that nobody will read again.

        Raises:
            StoredIndexError: another took its place.
        """
        if self.is_stale:
            raise StoredIndexError(f"the index at {self.root} was replaced by one of another model; open it again")

    def close(self) -> None:
        """Let the model be removed, should it be a former one."""
        self._release()


def beside(root: Path, fingerprint: str) -> Path:
    """Where the model that comes next is built; what an earlier attempt left there stays if it is of this encoder.

    Raises:
        StoredIndexError: there is no index, or another model is being built.
    """
    folder = replace(Manifest.read(root), model=Manifest.read(root).model + 1).folder(root)
    for left in root.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
    with suppress(StoredIndexError):
        if Manifest.read(folder).fingerprint == fingerprint:
            return folder
    if folder.exists() and not _remove(folder, [folder]):
        raise StoredIndexError(f"another model is being built for the index at {root}; wait until it has finished")
    return folder


def take_over(root: Path, folder: Path) -> None:
    """Make the model in `folder` the one that is read, at once, and remove the one before if nobody reads it.

    Raises:
        StoredIndexError: another process keeps writing to the one before, or the manifest cannot be written.
    """
    former = Manifest.read(root)
    with told(root, "switched"), WriterLock(former.folder(root)).held():
        number = int(folder.name.rpartition("-")[2])
        replace(Manifest.read(folder), model=number).write(root)
    sweep(root)


def sweep(root: Path) -> None:
    """Remove former models that nobody reads."""
    current = Manifest.read(root).model
    for number in range(current):
        folder = replace(Manifest.read(root), model=number).folder(root)
        paths = [folder] if number else [root / name for name in PARTS]
        if any(path.exists() for path in paths):
            _remove(folder, paths)


def _remove(folder: Path, paths: list[Path]) -> bool:
    """Remove a model's files unless somebody reads it; whether it is gone."""
    with suppress(OSError):
        descriptor = os.open(folder / READERS, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in paths:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            return True
        finally:
            os.close(descriptor)
    return False


def _shared(folder: Path) -> int | None:
    """A lock on the folder, if there is one to be had: on a disk that cannot be written to nothing is removed."""
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with suppress(OSError):
            descriptor = os.open(folder / READERS, flags, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            except OSError:
                os.close(descriptor)
                raise
            return descriptor
    return None


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
