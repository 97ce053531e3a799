"""One writer at a time, and no trace of those that were killed.

A killed writer leaves files that no version of the table refers to, and temporary files that LanceDB's own clean-up
does not know. The lock file remembers that a write began; who finds that memory with the lock free sweeps.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from lancedb.table import LanceTable

from lookalike.errors import LookalikeError, StoredIndexError
from lookalike.index.inventory import NAME as FILES
from lookalike.index.plan import NAME as PLAN

LOCK = "writer.lock"
#: How long a writer waits for another one to finish its batch.
PATIENCE_S = 120.0
#: What an index may waste before it is tidied, beyond its own size again.
SLACK_BYTES = 2**20
#: How often tidying is tried until one version is left.
ROUNDS = 3
_REST, _WRITING = b"0", b"1"
_MOMENT = timedelta(milliseconds=1)


class WriterLock:
    """Exclusive right to write into an index folder, held for one batch. Freed by the system when a process dies."""

    def __init__(self, folder: Path):
        self._path = folder / LOCK
        self._memory = _REST

    @contextmanager
    def held(self, patience_s: float = PATIENCE_S) -> Iterator[bool]:
        """Hold the lock and say whether an earlier writer broke off.

        A failed write inside, or the end of the process, leaves the memory of an unfinished write; a refusal of ours
        does not, as it comes before anything is written.

        Raises:
            StoredIndexError: another process kept the lock for `patience_s`.
            OSError: the lock file cannot be written.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._acquire(descriptor, patience_s)
            unfinished = os.pread(descriptor, 1, 0) == _WRITING
            # One byte in place: needs no new room on a full disk.
            os.pwrite(descriptor, _WRITING, 0)
            self._memory = _REST
            try:
                yield unfinished
            except LookalikeError:
                os.pwrite(descriptor, _REST, 0)
                raise
            os.pwrite(descriptor, self._memory, 0)
        finally:
            os.close(descriptor)

    def leave_unfinished(self) -> None:
        """Have whoever writes next, or opens the index, clear up. Only while holding the lock."""
        self._memory = _WRITING

    @contextmanager
    def shared(self, patience_s: float = PATIENCE_S) -> Iterator[bool]:
        """Keep writers away for a moment, also where nothing may be written, and say whether the last one finished.

        Raises:
            StoredIndexError: another process kept the lock for `patience_s`.
            OSError: the lock file cannot be read.
        """
        if not self._path.exists():
            yield True
            return
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            self._acquire(descriptor, patience_s, fcntl.LOCK_SH)
            yield os.pread(descriptor, 1, 0) != _WRITING
        finally:
            os.close(descriptor)

    def is_left_unfinished(self) -> bool:
        """Whether a writer broke off or is at work now."""
        try:
            return self._path.read_bytes() == _WRITING
        except OSError:
            return False

    def _acquire(self, descriptor: int, patience_s: float, kind: int = fcntl.LOCK_EX) -> None:
        end = time.monotonic() + patience_s
        while True:
            try:
                return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise StoredIndexError(
                        f"another process is writing to the index at {self._path.parent}; wait until it has finished"
                    ) from None
                time.sleep(0.01)


def tidy(table: LanceTable, folder: Path) -> None:
    """Merge small files and remove whatever the newest version does not need. Only while holding the writer lock."""
    for file in folder.rglob("*"):
        if file.name.startswith(".tmp") or "#" in file.name:
            file.unlink(missing_ok=True)
    for name in (PLAN, FILES):
        for file in folder.parent.glob(f".{name}.*.tmp"):
            file.unlink(missing_ok=True)
    # A reader's version may vanish: `LanceIndex` then reads the newest. An age of zero, all but the newest, would warn
    # of just that, so it is a moment; a version younger than it stays, and another round takes that too.
    for _ in range(ROUNDS):
        time.sleep(5 * _MOMENT.total_seconds())
        table.optimize(cleanup_older_than=_MOMENT, delete_unverified=True)
        if len(list((folder / "_versions").glob("*.manifest"))) == 1:
            return


def is_due(table: LanceTable, folder: Path) -> bool:
    """Whether the folder has grown beyond twice what its rows need, or has too many files for a fast scan.

    The number of versions allowed grows with the rows, so that building a large index merges its files a few times
    (each time the rows have doubled) and not after every few batches.
    """
    stats = table.stats()
    fragments = stats["fragment_stats"]
    stored_rows = fragments["lengths"]["mean"] * fragments["num_fragments"]  # the replaced ones among them
    needed = stats["total_bytes"] * min(1.0, stats["num_rows"] / max(1, stored_rows))
    versions = sum(1 for _ in (folder / "_versions").iterdir())
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return bool(used > 2 * needed + SLACK_BYTES or versions > 32 + stats["num_rows"] / 512)
