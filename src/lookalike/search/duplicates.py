"""Items that look the same: every pair of an index compared, in blocks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lookalike.errors import StoredIndexError, did_you_mean
from lookalike.index import VectorIndex
from lookalike.index.ranking import MARGIN
from lookalike.index.rows import HIDDEN, ITEM_ID, VECTOR, vectors_of
from lookalike.progress import track

#: Rows and columns of a block of scores: 64 MiB in float32.
BLOCK_ROWS, BLOCK_COLUMNS = 2_048, 8_192


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An item of a group that looks the same."""

    item_id: str
    #: the item most like it, and their cosine similarity
    twin: str
    score: float
    #: label, text and whatever else the catalog knew of it
    attributes: dict[str, Any]


def duplicates(stored: VectorIndex, threshold: float, across: str | None, where: str | None) -> list[list[Duplicate]]:
    """See `Index.duplicates`.

    Raises:
        StoredIndexError: the threshold is no similarity, or there is no such column.
        FilterError: `where` cannot be understood.
    """
    if not -1 < threshold <= 1:
        raise StoredIndexError(f"threshold = {threshold}: it must be a similarity, above -1 and at most 1")
    known = [name for name in stored.schema.names if name not in HIDDEN]
    if across is not None and across not in known:
        raise StoredIndexError(f"across={across!r}: there is no such column.{did_you_mean(across, known)}")
    rows = stored.scan([*known, VECTOR], where).sort_by(ITEM_ID)
    kinds = None if across is None else _numbers(rows.column(across))
    groups, twins, scores = pairs_above(vectors_of(rows), threshold, kinds)

    ids = rows.column(ITEM_ID).to_pylist()
    members = np.flatnonzero(twins >= 0)
    about = rows.select(known).take(pa.array(members)).to_pylist()
    found: dict[int, list[Duplicate]] = {}
    for row, attributes in zip(members.tolist(), about, strict=True):
        attributes.pop(ITEM_ID)
        found.setdefault(int(groups[row]), []).append(
            Duplicate(ids[row], ids[int(twins[row])], float(scores[row]), attributes)
        )
    each = [sorted(group, key=lambda item: (-item.score, item.item_id)) for group in found.values()]
    return sorted(each, key=lambda group: (-group[0].score, -len(group), group[0].item_id))


def pairs_above(
    vectors: np.ndarray, threshold: float, kinds: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs whose similarity is at least the threshold.

    Time O(N^2 D). Memory: a block of scores and a few numbers a row, however many pairs there are.

    Args:
        vectors: unit rows, float32 [N, D].
        threshold: a cosine.
        kinds: int64 [N]; only pairs of different kinds count, and none with a row of kind -1.

    Returns:
        For each row: the number of its group (pairs chained), int [N]; the row most like it, -1 if it is in no pair,
        int64 [N]; and their similarity, float64 [N].
    """
    count = len(vectors)
    groups = np.arange(count)
    twins, scores = np.full(count, -1), np.full(count, -np.inf)
    blocks = range(0, count, BLOCK_ROWS)
    for top in track(blocks, "comparing", total=len(blocks)):
        for left in range(top, count, BLOCK_COLUMNS):
            one, other, similarity = _block(vectors, threshold, kinds, top, left)
            if not len(one):
                continue
            both_ways = np.concatenate([one, other]), np.concatenate([other, one])
            _keep_best(twins, scores, *both_ways, np.tile(similarity, 2))
            edges = coo_array((np.ones(len(one), bool), (groups[one], groups[other])), shape=(count, count))
            groups = connected_components(edges, directed=False)[1][groups]
    return groups, twins, scores


def _block(
    vectors: np.ndarray, threshold: float, kinds: np.ndarray | None, top: int, left: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs (one < other) of a block and their similarities."""
    rows, columns = vectors[top : top + BLOCK_ROWS], vectors[left : left + BLOCK_COLUMNS]
    product = rows @ columns.T
    one, other = np.nonzero(product >= threshold - MARGIN)
    # To as many digits as float32 has: equal pictures are equally alike, in whatever block they are.
    similarity = product[one, other].astype(np.float64).round(6).clip(-1, 1)
    one, other = one + top, other + left
    real = one < other
    if kinds is not None:
        real &= (kinds[one] != kinds[other]) & (kinds[one] >= 0) & (kinds[other] >= 0)
    one, other, similarity = one[real], other[real], similarity[real]
    found = similarity >= threshold
    return one[found], other[found], similarity[found]


def _keep_best(
    twins: np.ndarray, scores: np.ndarray, mine: np.ndarray, theirs: np.ndarray, similarity: np.ndarray
) -> None:
    """Note the best pair of each row so far; of equal ones the first."""
    order = np.lexsort((theirs, -similarity, mine))
    rows, first = np.unique(mine[order], return_index=True)
    best = order[first]
    better = similarity[best] > scores[rows]
    twins[rows[better]], scores[rows[better]] = theirs[best[better]], similarity[best[better]]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Equal values have equal numbers; an unknown one is -1: int64 [N]."""
    codes = column.combine_chunks().dictionary_encode().indices
    return np.array(codes.fill_null(-1), dtype=np.int64)
