"""What is asked of an index, checked: the same for rows in memory and on disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lookalike.index.conditions import Column, Condition
from lookalike.index.filters import compile_filter
from lookalike.index.grouping import group_column
from lookalike.index.ranking import unit_queries
from lookalike.index.rows import VECTOR, id_list


@dataclass(frozen=True, slots=True)
class Question:
    """Queries and what their answers must be."""

    #: unit vectors, float32 [queries, dim]
    queries: np.ndarray
    k: int
    #: what rows must fulfil
    condition: Condition | None
    #: only the best row of each value of this column
    column: Column | None
    #: item ids that are passed over
    without: list[str]

    @classmethod
    def of(
        cls,
        schema: pa.Schema,
        vectors: np.ndarray,
        k: int,
        where: str | None,
        group_by: str | None,
        without: Sequence[str],
    ) -> "Question":
        """Check what a user asks of a table with these columns; see `VectorIndex.search`.

        Raises:
            StoredIndexError: a vector is zero, not finite or of another dimension, k < 1, or nothing can be grouped by
                that column.
            FilterError: `where` cannot be understood.
        """
        return cls(
            unit_queries(vectors, schema.field(VECTOR).type.list_size, k),
            k,
            None if where is None else compile_filter(where, schema),
            None if group_by is None else group_column(group_by, schema),
            id_list(without),
        )
