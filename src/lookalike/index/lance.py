"""An index on disk: one LanceDB table, written by one process at a time and read by any number."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.table import LanceTable

from lookalike.errors import LookalikeError, StoredIndexError
from lookalike.index import versions
from lookalike.index.approximate import build_indexes, check_target, drop_indexes, pays
from lookalike.index.checksums import Verified, verified, with_checksums
from lookalike.index.faults import is_gone, told
from lookalike.index.filters import compile_filter
from lookalike.index.index import Hit
from lookalike.index.inventory import INDEXES
from lookalike.index.plan import NAME as PLAN
from lookalike.index.plan import Plan
from lookalike.index.question import Question
from lookalike.index.reading import answer, conditions, rows_where, spread_rows
from lookalike.index.resident import Resident
from lookalike.index.rows import (
    ITEM_ID,
    VECTOR,
    checked,
    empty_schema,
    fitted,
    id_list,
    places,
    spread,
    vectors_of,
    widened,
)
from lookalike.index.tidy import WriterLock, tidy
from lookalike.index.versions import Version
from lookalike.index.writing import Writer

TABLE = "items"
#: Rows held at a time where all are read.
READ_AT_ONCE = 1024

T = TypeVar("T")


class LanceIndex:
    """A `VectorIndex` on disk.

    Every `add` is one commit: after a crash of the process the batch is there whole or not at all. A power cut may
    cost the last batches, as LanceDB does not force them to disk.
    """

    def __init__(self, folder: Path, table: LanceTable, may_write: Callable[[], None] = lambda: None):
        self._folder = folder
        self._table = table
        self._writer = Writer(folder, table, self._table_folder, may_write)
        self._resident = Resident(self._table_folder)

    @classmethod
    def create(cls, folder: str | Path, dim: int) -> "LanceIndex":
        """Make an empty index for vectors of length `dim` in `folder`, which may exist.

        Raises:
            StoredIndexError: there is an index already, or it cannot be written.
        """
        folder = Path(folder)
        if (folder / f"{TABLE}.lance").exists():
            raise StoredIndexError(f"there is an index at {folder} already; open it, or give another folder")
        with told(folder, "created"):
            folder.mkdir(parents=True, exist_ok=True)
            with WriterLock(folder).held():
                index = cls(folder, _connect(folder).create_table(TABLE, schema=empty_schema(dim)))
        with index._writer.change("created"):
            return index  # its files are listed

    @classmethod
    def open(cls, folder: str | Path, may_write: Callable[[], None] = lambda: None) -> "LanceIndex":
        """Open the index in `folder`, and clear away what a killed writer left there.

        Args:
            folder: of the index.
            may_write: asked before each change, while no other process can make one; refuses by raising.

        Raises:
            StoredIndexError: there is no index, or it cannot be read.
        """
        folder = Path(folder)
        if not (folder / f"{TABLE}.lance").is_dir():
            raise StoredIndexError(f"there is no index at {folder}; make one with `lookalike index`")
        with told(folder, "opened"):
            index = cls(folder, _connect(folder).open_table(TABLE), may_write)
            index._read(lambda table: table.schema)
        index._writer.sweep()
        return index

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.schema.field(VECTOR).type.list_size)

    @property
    def schema(self) -> pa.Schema:
        """The stored columns."""
        return self._read(lambda table: table.schema)

    def __len__(self) -> int:
        return self._read(lambda table: int(table.count_rows()))

    def add(self, rows: pa.Table) -> None:
        """Store rows, replacing those of the same item_id; see `VectorIndex.add`."""
        rows = checked(rows, self.dim)

        def commit(table: LanceTable) -> None:
            # Refuses before the table gets new columns.
            stored = with_checksums(fitted(rows, widened(table.schema, rows)))
            new = [field for field in rows.schema if field.name not in table.schema.names]
            if new:
                table.add_columns(pa.schema(new))
            merge = table.merge_insert(ITEM_ID).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(stored.select(table.schema.names))

        if rows.num_rows:
            self._write(commit)

    def remove(self, item_ids: Sequence[str]) -> int:
        """Forget these items; returns how many there were."""
        parts = conditions(id_list(item_ids))

        def commit(table: LanceTable) -> int:
            return sum(int(table.delete(condition).num_deleted_rows) for condition in parts)

        return self._write(commit) if parts else 0

    def get(self, item_ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of these items that are in the index, in the order asked for; see `VectorIndex.get`."""
        # Whole rows are read to be checked and stored again, so they come from disk.
        known = None if columns is None else self._resident.known()
        if known is not None and columns is not None and (rows := known.get(item_ids, columns)) is not None:
            return rows
        ids = id_list(item_ids)
        found = [self._read(partial(rows_where, condition=part, columns=columns)) for part in conditions(ids)]
        schema = self.schema
        none = (schema if columns is None else pa.schema([schema.field(name) for name in columns])).empty_table()
        rows = pa.concat_tables([none, *found])
        return rows.take(places(ids, rows))

    def scan(self, columns: Sequence[str], where: str | None = None) -> pa.Table:
        """These columns of all rows that fulfil `where`."""
        condition = None if where is None else compile_filter(where, self.schema).sql
        return self._read(lambda table: rows_where(table, condition, columns))

    def sample(self, count: int) -> np.ndarray:
        """The vectors of up to `count` rows from all over the index."""
        if (rows := self._resident.known()) is not None:
            return np.asarray(rows.vectors[spread(rows.table.num_rows, count)])
        return vectors_of(self._read(partial(spread_rows, count=count)))

    def search(
        self,
        vectors: np.ndarray,
        k: int,
        where: str | None = None,
        *,
        group_by: str | None = None,
        without: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """The k best rows for each query; see `VectorIndex.search`."""
        asked = partial(Question.of, vectors=vectors, k=k, where=where, group_by=group_by, without=without)
        if (plan := self.plan) is not None:
            self._resident.forget()
        else:
            rows = self._resident.asked(len(np.atleast_2d(vectors)))
            hits = None if rows is None else rows.search(asked(rows.table.schema))
            if hits is not None:
                return hits
        return answer(self._read, asked(self.schema), plan)

    def tidy(self) -> None:
        """Merge small files and free what old versions hold; `add` and `remove` see to it when it is worth the time."""
        self._writer.tidy()

    def optimize(self, recall_target: float = 0.99, approximate: bool | None = None) -> Plan | None:
        """Merge files; index the vectors and the columns of filters, or do not; see `VectorIndex`."""
        check_target(recall_target)
        with self._writer.change("optimized", is_tidying=True) as listed:
            if approximate is None:
                approximate = Plan.read(self._folder) is not None or pays(self._table, None)
            # While there is no plan, every row is read: a reader never asks a new index in an old way.
            (self._folder / PLAN).unlink(missing_ok=True)
            # Tidying reads them, and they may be damaged.
            drop_indexes(self._table)
            tidy(self._table, self._table_folder)
            if approximate:
                build_indexes(self._table, recall_target).write(self._folder)
                tidy(self._table, self._table_folder)
            listed.mended(INDEXES)
        return self.plan

    def keep(self) -> None:
        """Keep the rows as they are now, to go back to; see `VectorIndex.keep`."""
        with self._writer.change("written"):
            versions.keep(self._folder, self._table_folder, int(self._table.count_rows()))
            versions.prune(self._folder)

    @property
    def versions(self) -> list[Version]:
        """What can be gone back to, oldest first."""
        return versions.kept(self._folder)

    def rollback(self, number: int) -> None:
        """Make the rows what they were; see `VectorIndex.rollback`. One commit, which rewrites every row."""
        with self._writer.change("rolled back", is_tidying=True) as listed:
            plan = Plan.read(self._folder)
            version = versions.chosen(self.versions, number)
            then = versions.folder_of(self._folder, version)
            versions.check(then, then / self._table_folder.name, version)
            versions.keep(self._folder, self._table_folder, int(self._table.count_rows()))
            (self._folder / PLAN).unlink(missing_ok=True)
            rows = _connect(then).open_table(TABLE)
            batches = rows.search().to_batches(READ_AT_ONCE)
            self._table.add(pa.RecordBatchReader.from_batches(rows.schema, batches), mode="overwrite")
            versions.prune(self._folder)
            listed.mended()
        if plan is not None:  # the vector index went with the rows that it was of
            self.optimize(plan.recall_target, approximate=True)

    def verify(self) -> Verified:
        """Compare every row with its checksum, and the files with their list; see `VectorIndex.verify`."""
        try:
            found = self._read(lambda table: verified(table.search().to_batches(READ_AT_ONCE)))
        except StoredIndexError as error:
            found = Verified(unreadable=str(error))
        found.note_files(self._table_folder.name, self._writer.wrong_files())
        return found

    @property
    def plan(self) -> Plan | None:
        """How the vectors are asked, if not all of them are read."""
        plan = Plan.read(self._folder)
        return plan if plan is not None and plan.is_good else None

    @property
    def is_optimizing_due(self) -> bool:
        """Whether the rows are too many for memory and for being read, or twice as many as when they were indexed."""
        return self._read(partial(pays, plan=Plan.read(self._folder)))

    def _read(self, read: Callable[[LanceTable], T]) -> T:
        # A writer may tidy a version away between its choice and the reading of its files: then choose again.
        with told(self._folder, "read"):
            for _ in range(4):
                try:
                    return read(self._table)
                except (RuntimeError, ValueError, OSError) as error:
                    if isinstance(error, LookalikeError) or not is_gone(error):
                        raise
            return read(self._table)

    @property
    def _table_folder(self) -> Path:
        return self._folder / f"{TABLE}.lance"

    def _write(self, commit: Callable[[LanceTable], T]) -> T:
        with self._writer.change("written"):
            result = commit(self._table)
        self._writer.tidy_if_due()
        return result


def _connect(folder: Path) -> lancedb.DBConnection:
    # Zero: every read sees what other processes have committed.
    return lancedb.connect(folder, read_consistency_interval=timedelta(0))
