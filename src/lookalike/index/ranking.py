"""Scores and their order, to the last bit the same for every index.

A fast product in float32 depends on the block a row happens to lie in, so that equal vectors may get unequal scores.
Hence an index only proposes candidates, `MARGIN` below the k-th best included, and they are scored again here, one row
at a time in float64.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lookalike.errors import StoredIndexError
from lookalike.index.index import Hit
from lookalike.index.rows import HIDDEN, ITEM_ID, THUMBNAIL, vectors_of

#: Far above the error of a float32 product of unit vectors, far below any difference that matters.
MARGIN = 1e-5


def unit_queries(vectors: np.ndarray, dim: int, k: int) -> np.ndarray:
    """The queries as unit vectors, float32 [queries, dim].

    Raises:
        StoredIndexError: a query is zero, not finite or of another dimension, or k < 1.
    """
    if k < 1:
        raise StoredIndexError(f"k = {k}: ask for at least 1 match")
    queries = np.asarray(vectors, dtype=np.float64)
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise StoredIndexError(f"queries have shape {list(queries.shape)}; this index takes [queries, {dim}]")
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    for number, length in enumerate(lengths[:, 0]):
        if not np.isfinite(length):
            raise StoredIndexError(f"query vector {number} has values that are not finite; was the picture encoded?")
        if length == 0:
            raise StoredIndexError(f"query vector {number} is all zeros, so that nothing is near it or far from it")
    units: np.ndarray = (queries / lengths).astype(np.float32)
    return units


def best(candidates: pa.Table, query: np.ndarray, k: int) -> list[Hit]:
    """The k best rows of `candidates` for one unit query [dim], best first, ties in the order of item_id."""
    order, scores = ranked(candidates, query, k)
    return hits(candidates.take(pa.array(order)), scores)


def ranked(candidates: pa.Table, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the k best rows, best first, and their scores: int64 [k], float64 [k]."""
    scores = _scores(vectors_of(candidates), query)
    ids: Sequence[str] = candidates.column(ITEM_ID).to_pylist()
    order = np.array(sorted(range(len(ids)), key=lambda row: (-scores[row], ids[row]))[:k], np.int64)
    return order, scores[order]


def hits(rows: pa.Table, scores: np.ndarray) -> list[Hit]:
    """These rows as they are answered, in their order."""
    shown = [name for name in rows.column_names if name == THUMBNAIL or name not in HIDDEN]
    return [
        Hit(row.pop(ITEM_ID), float(score), thumbnail=row.pop(THUMBNAIL), attributes=row)
        for score, row in zip(scores, rows.select(shown).to_pylist(), strict=True)
    ]


def _scores(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    # Product, then a sum over each contiguous row: the order of additions is the same for every row.
    scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    return np.asarray(scores.clip(-1.0, 1.0))
