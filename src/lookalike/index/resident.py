"""The rows of a small table kept in memory: a search in LanceDB costs milliseconds before it reads anything.

They are those of one commit. Each question looks for a newer one first, so that it sees what any process has written.
What is read of LanceDB is read by a handle that stays at this commit: one that follows the newest may, while several
threads use it, for a moment be at the one before.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.table import LanceTable

from lookalike.errors import StoredIndexError
from lookalike.index.faults import told
from lookalike.index.index import Hit
from lookalike.index.question import Question
from lookalike.index.ranking import hits
from lookalike.index.reading import rows_at, rows_where, rows_within
from lookalike.index.rows import HIDDEN, ITEM_ID, THUMBNAIL, VECTOR, id_list, places, vectors_of
from lookalike.index.scoring import best_rows

#: Vectors and attributes of more bytes than this stay on disk, as do thumbnails if all together are more. As much is
#: scored in half the time that the vector index of LanceDB takes (docs/search.md). With twice as much the two would be
#: nearly equal, and each process that searches would need the room.
MOST_BYTES = 2**27
#: A single question is answered sooner from disk than rows are loaded for it, and a writer that commits all the time
#: would have them loaded for each.
ENOUGH_QUESTIONS = 2
#: Digits of the name of a commit, which counts down.
_DIGITS = 20

#: A commit: the name of its file, and what a table made anew at the same place would not share.
Commit = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The vectors and attributes of one commit, each column in one piece, and the thumbnails if they have room."""

    table: pa.Table
    #: the same rows on disk
    stored: LanceTable

    @property
    def vectors(self) -> np.ndarray:
        """Those of the rows, float32 [N, D]; not a copy."""
        return vectors_of(self.table)

    def get(self, item_ids: Sequence[str], columns: Sequence[str]) -> pa.Table | None:
        """These columns of these items, in the order asked for; None if not all of them are in memory."""
        if not set(columns) <= set(self.table.column_names):
            return None
        return self.table.select(list(columns)).take(places(id_list(item_ids), self.table))

    def search(self, question: Question) -> list[list[Hit]] | None:
        """The hits of each query; None if a writer has tidied their thumbnails away."""
        found = best_rows(self.table, self.vectors, question)
        numbers = np.unique(np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in found)]))
        rows: pa.Table | None = self.table.take(pa.array(numbers))
        if THUMBNAIL not in self.table.column_names:
            rows = self._with_thumbnails(rows, numbers)
        if rows is None:
            return None
        return [hits(rows.take(pa.array(np.searchsorted(numbers, best))), scores) for best, scores in found]

    def _with_thumbnails(self, rows: pa.Table, numbers: np.ndarray) -> pa.Table | None:
        if not len(numbers):
            return rows
        try:
            # By number takes 2 ms, by a condition on item_id 4 to 8 (10 of 20,000 and of 100,000 rows).
            with told(Path(self.stored.uri), "read"):
                fetched = rows_at(self.stored, numbers, [ITEM_ID, THUMBNAIL])
        except StoredIndexError:  # if it was not a writer but the disk, the search there will tell
            return None
        found = places(rows.column(ITEM_ID).to_pylist(), fetched)
        return rows.append_column(THUMBNAIL, fetched.column(THUMBNAIL).take(found)) if len(found) == len(rows) else None


class Resident:
    """The snapshot of the table in `folder`, for many threads; gone with this object."""

    def __init__(self, folder: Path):
        self._folder, self._lock = folder, Lock()
        self._asked: Commit | None = None
        #: Of a commit the rows, or that they stay on disk; one tuple, so that the two are never of different commits.
        self._held: tuple[Commit, Snapshot | None] | None = None

    def known(self) -> Snapshot | None:
        """The rows as the newest commit left them, if they are in memory."""
        held = self._held
        return held[1] if held is not None and held[0] == newest(self._folder) else None

    def forget(self) -> None:
        """Free the memory."""
        self._held = None

    def asked(self, questions: int) -> Snapshot | None:
        """The same, for so many questions: if there are enough of them about one commit, it is loaded.

        While one thread loads, the others read from disk, which takes them hardly longer than to wait.
        """
        if (rows := self.known()) is not None:
            return rows
        if not self._lock.acquire(blocking=False):
            return None
        try:
            commit, held = newest(self._folder), self._held
            if held is not None and held[0] == commit:  # by another thread, just now
                return held[1]
            self._held = held = None  # frees the room of what is of no use any more
            is_enough = self._asked == commit or questions >= ENOUGH_QUESTIONS
            self._asked = commit
            return self._loaded(commit) if is_enough and commit is not None else None
        finally:
            self._lock.release()

    def _loaded(self, commit: Commit) -> Snapshot | None:
        try:
            with told(self._folder.parent, "read"):
                rows = _load(self._folder)
        except StoredIndexError:  # a search that needs what is damaged will tell
            rows = None
        # The handle was opened after the commit was seen, so it is at this one if it is still the newest.
        if newest(self._folder) != commit:
            return None
        self._held = commit, rows
        return rows


def newest(folder: Path) -> Commit | None:
    """The last commit to the table in `folder`; None if it cannot be told.

    Read from the folder: to ask LanceDB takes twenty times as long (0.3 ms).
    """
    try:
        names = os.listdir(folder / "_versions")
        name = min(name for name in names if name.endswith(".manifest") and name.find(".") == _DIGITS)
        status = os.stat(folder / "_versions" / name)
    except (OSError, ValueError):  # just tidied away, or named in another way
        return None
    return name, status.st_ino, status.st_mtime_ns


def fits(table: LanceTable) -> bool:
    """Whether the vectors and attributes of a table are few enough to be kept in memory."""
    field = table.schema.field(VECTOR)
    room = MOST_BYTES - int(table.count_rows()) * field.type.list_size * field.type.value_type.byte_width
    return room >= 0 and rows_within(table, _shown(table), room) is not None


def _load(folder: Path) -> Snapshot | None:
    """Vectors, attributes and thumbnails if they have room, else without the thumbnails, else nothing."""
    stored = lancedb.connect(folder.parent).open_table(folder.stem)
    if not fits(stored):
        return None
    whole = None
    # Most of a table on disk are its thumbnails.
    if stored.stats()["total_bytes"] <= MOST_BYTES:
        whole = rows_within(stored, [*_shown(stored), VECTOR, THUMBNAIL], MOST_BYTES)
    if whole is None:
        whole = rows_where(stored, None, [*_shown(stored), VECTOR]).combine_chunks()
    return Snapshot(whole, stored)


def _shown(table: LanceTable) -> list[str]:
    return [name for name in table.schema.names if name not in HIDDEN]
