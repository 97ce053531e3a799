"""Brute force in memory over one Arrow table: the reference that every other index must equal."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.index.checksums import Verified, verify_rows, with_checksums
from lookalike.index.filters import compile_filter
from lookalike.index.index import Hit
from lookalike.index.question import Question
from lookalike.index.ranking import hits
from lookalike.index.rows import ITEM_ID, checked, empty_schema, fitted, id_list, places, spread, vectors_of, widened
from lookalike.index.scoring import best_rows, fulfilling
from lookalike.index.versions import KEPT, Version, chosen


class ExactIndex:
    """A `VectorIndex` in memory; gone with the process."""

    def __init__(self, dim: int):
        self._table: pa.Table = empty_schema(dim).empty_table()
        self._dim = dim
        self._kept: list[tuple[Version, pa.Table]] = []

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    @property
    def schema(self) -> pa.Schema:
        """The stored columns."""
        return self._table.schema

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def add(self, rows: pa.Table) -> None:
        """Store rows, replacing those of the same item_id; see `VectorIndex.add`."""
        rows = checked(rows, self._dim)
        if not rows.num_rows:
            return
        schema = widened(self.schema, rows)
        rows = with_checksums(fitted(rows, schema))
        kept = fitted(self._without(rows.column(ITEM_ID).combine_chunks()), schema)
        self._table = pa.concat_tables([kept, rows])

    def remove(self, item_ids: Sequence[str]) -> int:
        """Forget these items; returns how many there were."""
        before = len(self)
        self._table = self._without(pa.array(id_list(item_ids), pa.string()))
        return before - len(self)

    def get(self, item_ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of these items that are in the index, in the order asked for; see `VectorIndex.get`."""
        rows = self._table.take(places(id_list(item_ids), self._table))
        return rows if columns is None else rows.select(list(columns))

    def scan(self, columns: Sequence[str], where: str | None = None) -> pa.Table:
        """These columns of all rows that fulfil `where`."""
        table = self._table
        if where is not None:
            table = table.filter(pa.array(fulfilling(table, compile_filter(where, self.schema))))
        return table.select(list(columns))

    def sample(self, count: int) -> np.ndarray:
        """The vectors of up to `count` rows from all over the index."""
        return vectors_of(self._table.take(pa.array(spread(len(self), count))))

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
        question = Question.of(self.schema, vectors, k, where, group_by, without)
        found = best_rows(self._table, vectors_of(self._table), question)
        return [hits(self._table.take(pa.array(rows)), scores) for rows, scores in found]

    def optimize(self, recall_target: float = 0.99, approximate: bool | None = None) -> None:
        """Nothing to do: every row is read."""

    def keep(self) -> None:
        """Keep the rows as they are now, to go back to."""
        self._keep()
        self._kept = self._kept[-KEPT:]

    @property
    def versions(self) -> list[Version]:
        """What can be gone back to, oldest first."""
        return [version for version, _ in self._kept]

    def rollback(self, number: int) -> None:
        """Make the rows what they were; see `VectorIndex.rollback`."""
        then = dict(self._kept)[chosen(self.versions, number)]
        self._keep()
        self._table, self._kept = then, self._kept[-KEPT:]

    def verify(self) -> Verified:
        """Compare every row with its checksum."""
        verify_rows(self._table, found := Verified(), set())
        return found

    @property
    def is_optimizing_due(self) -> bool:
        """Never."""
        return False

    def _keep(self) -> None:
        self._kept.append((Version.after(self.versions, len(self)), self._table))

    def _without(self, ids: pa.Array) -> pa.Table:
        return self._table.filter(pc.invert(pc.is_in(self._table.column(ITEM_ID), value_set=ids)))
