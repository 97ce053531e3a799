"""Brute force in memory over one Arrow table: the reference that every other index must equal."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.index.filters import compile_filter
from lookalike.index.index import Hit
from lookalike.index.ranking import MARGIN, best, unit_queries
from lookalike.index.rows import ITEM_ID, checked, empty_schema, fitted, id_list, places, vectors_of, widened


class ExactIndex:
    """A `VectorIndex` in memory; gone with the process."""

    def __init__(self, dim: int):
        self._table: pa.Table = empty_schema(dim).empty_table()
        self._dim = dim

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
        rows = fitted(rows, schema)
        kept = fitted(self._without(rows.column(ITEM_ID).combine_chunks()), schema)
        self._table = pa.concat_tables([kept, rows])

    def remove(self, item_ids: Sequence[str]) -> int:
        """Forget these items; returns how many there were."""
        before = len(self)
        self._table = self._without(pa.array(id_list(item_ids), pa.string()))
        return before - len(self)

    def get(self, item_ids: Sequence[str]) -> pa.Table:
        """The rows of these items that are in the index, in the order asked for."""
        return self._table.take(places(id_list(item_ids), self._table))

    def search(self, vectors: np.ndarray, k: int, where: str | None = None) -> list[list[Hit]]:
        """The k best rows for each query; see `VectorIndex.search`."""
        queries = unit_queries(vectors, self._dim, k)
        table = self._table
        if where is not None:
            table = table.filter(compile_filter(where, self.schema).expression)
        stored = vectors_of(table)
        return [best(_candidates(table, stored, query, k), query, k) for query in queries]

    def _without(self, ids: pa.Array) -> pa.Table:
        return self._table.filter(pc.invert(pc.is_in(self._table.column(ITEM_ID), value_set=ids)))


def _candidates(table: pa.Table, stored: np.ndarray, query: np.ndarray, k: int) -> pa.Table:
    if len(stored) <= k:
        return table
    scores = stored @ query
    kth_best = np.partition(scores, -k)[-k]
    return table.take(pa.array(np.flatnonzero(scores >= kth_best - MARGIN)))
