"""Changes of an index, one at a time: what a killed writer left is cleared before, the list of files renewed after."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lancedb.table import LanceTable

from lookalike.errors import StoredIndexError
from lookalike.index import versions
from lookalike.index.faults import told
from lookalike.index.inventory import Inventory
from lookalike.index.tidy import WriterLock, is_due, tidy


class Writer:
    """Who may change the table in a folder."""

    def __init__(self, folder: Path, table: LanceTable, table_folder: Path, may_write: Callable[[], None]):
        self._folder, self._table, self._table_folder = folder, table, table_folder
        self._lock = WriterLock(folder)
        self._may_write = may_write

    @contextmanager
    def change(self, doing: str, is_tidying: bool = False) -> Iterator[Inventory]:
        """Hold the lock, once what a killed writer left is gone, and give the list of files.

        Raises:
            StoredIndexError: the index could not be `doing`.
        """
        with told(self._folder, doing), self._lock.held() as unfinished:
            self._may_write()
            if unfinished:
                self._clear()
            with self._listed(is_at_rest=True, is_tidying=is_tidying) as listed:
                yield listed

    def tidy(self) -> None:
        """Merge small files and free what old versions hold.

        Raises:
            StoredIndexError: the disk is full.
        """
        with self.change("tidied", is_tidying=True):
            tidy(self._table, self._table_folder)

    def tidy_if_due(self) -> None:
        """The same where it is worth the time."""
        # What was asked for is stored. Without room to tidy, the next write will say so.
        with suppress(StoredIndexError):
            with told(self._folder, "tidied"):
                due = is_due(self._table, self._table_folder)
            if due:
                self.tidy()

    def sweep(self) -> None:
        """Clear away what a killed writer left, if there is one."""
        if not self._lock.is_left_unfinished():
            return
        # Another process is writing, or this one may only read: the index is whole all the same.
        with suppress(StoredIndexError), told(self._folder, "tidied"), self._lock.held(patience_s=0) as unfinished:
            if unfinished:
                self._clear()

    def wrong_files(self) -> dict[str, str]:
        """Files that are not there or not as they were stored; see `Inventory.wrong`.

        Raises:
            StoredIndexError: one cannot be read, or another process is writing all the time.
        """
        with told(self._folder, "verified"):
            listed = Inventory.read(self._folder)
            suspects = listed.wrong(self._table_folder, is_at_rest=True) if listed is not None else {}
            if not suspects:
                return {}
            # A writer may have removed them, just now or before it was killed: look again while there is none.
            self.sweep()
            with self._lock.shared() as is_at_rest:
                listed = Inventory.read(self._folder)
                return {} if listed is None else listed.wrong(self._table_folder, is_at_rest, suspects)

    @contextmanager
    def _listed(self, is_at_rest: bool, is_tidying: bool) -> Iterator[Inventory]:
        listed = Inventory.read(self._folder) or Inventory()
        listed.note(self._table_folder, is_at_rest, is_tidying)
        yield listed
        try:
            listed.renew(self._table_folder)
            listed.write(self._folder)
        except OSError:
            # What was asked for is stored. Who comes next clears up after us and makes the list.
            self._lock.leave_unfinished()

    def _clear(self) -> None:
        with self._listed(is_at_rest=False, is_tidying=True):
            tidy(self._table, self._table_folder)
            versions.prune(self._folder)
