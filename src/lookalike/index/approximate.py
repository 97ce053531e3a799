"""The vector index of a large table: how to ask it, and how much of the truth its answers hold, measured.

IVF_RQ: rows in clusters, each with a code of four bits a number (with one, most of the nearest rows of a query that is
far from all rows were missed); the best by their codes are scored again in full.
"""

import numpy as np
import pyarrow as pa
from lancedb.index import Bitmap, BTree, IvfFlat, IvfRq
from lancedb.table import LanceTable

from lookalike.errors import StoredIndexError
from lookalike.index.filter_values import kind_of
from lookalike.index.plan import LIMIT, Plan
from lookalike.index.ranking import MARGIN
from lookalike.index.resident import fits
from lookalike.index.rows import HIDDEN, VECTOR, spread, vectors_of

#: Fewer rows than this are read through about as fast as an index is asked.
ENOUGH_ROWS = 50_000
#: Rows of a cluster, and bits for each number of a code.
CLUSTER_ROWS, CODE_BITS = 2_048, 4
#: Columns with fewer values are indexed by a bitmap for each value.
FEW_VALUES = 1_000
#: What recall is measured by: so many queries, their k best, asked for as `search` asks.
QUERIES, KINDS, K = 150, 3, 10
_BLOCK = 8_192


def check_target(recall_target: float) -> None:
    """Refuse a recall that cannot be.

    Raises:
        StoredIndexError: it is not between 0 and 1.
    """
    if not 0 < recall_target <= 1:
        raise StoredIndexError(f"recall_target = {recall_target}: it must be above 0 and at most 1")


def pays(table: LanceTable, plan: Plan | None) -> bool:
    """Whether to index the vectors: there are many and too much for memory, or twice as many as when it was done."""
    rows = int(table.count_rows())
    return rows >= ENOUGH_ROWS and (not fits(table) if plan is None else rows >= 2 * plan.rows)


def build_indexes(table: LanceTable, recall_target: float) -> Plan:
    """Index the columns of filters and the vectors; see `build_vector_index`."""
    build_filter_indexes(table)
    return build_vector_index(table, recall_target)


def drop_indexes(table: LanceTable) -> None:
    """Remove all of these."""
    for index in table.list_indices():
        table.drop_index(index.name)


def build_vector_index(table: LanceTable, recall_target: float) -> Plan:
    """Index the vectors and find the fastest way of asking that reaches the recall, or the most thorough one.

    Needs the memory of a few clusters' vectors, not of the table.
    """
    rows = int(table.count_rows())
    dim = int(table.schema.field(VECTOR).type.list_size)
    clusters = max(1, rows // CLUSTER_ROWS)
    codes = IvfRq(distance_type="dot", num_partitions=clusters, num_bits=CODE_BITS)
    # RQ takes whole bytes.
    table.create_index(VECTOR, config=IvfFlat(distance_type="dot", num_partitions=clusters) if dim % 8 else codes)
    queries = _queries(table, rows)
    kth_best = _kth_best(table, queries)
    for refine in (4, 16, 64):
        for probes in [*(2**power for power in range(3, 20) if 2**power < clusters), clusters]:
            recall = _recall(table, queries, kth_best, probes, refine)
            plan = Plan(probes, clusters, refine, recall, recall_target, rows)
            if plan.is_good:
                return plan
    return plan


def build_filter_indexes(table: LanceTable) -> None:
    """Index the columns that filters compare, and the item ids."""
    for field in table.schema:
        if field.name not in HIDDEN and _is_filterable(field):
            table.create_index(field.name, config=Bitmap() if _has_few_values(table, field) else BTree())


def _is_filterable(field: pa.Field) -> bool:
    try:
        kind_of(field.name, field.type)
    except StoredIndexError:
        return False
    return True


def _has_few_values(table: LanceTable, field: pa.Field) -> bool:
    if field.type not in (pa.string(), pa.int64(), pa.bool_()):  # bitmaps of others are not to be had
        return False
    values: set[object] = set()
    for batch in table.search().select([field.name]).to_batches(_BLOCK):
        values |= set(batch.column(0).unique().to_pylist())
        if len(values) >= FEW_VALUES:
            return False
    return True


def _queries(table: LanceTable, rows: int) -> np.ndarray:
    """Items, what is between two of them, and directions that are near to none, as words may be: unit rows."""
    found = vectors_of(table.take_offsets(spread(rows, QUERIES).tolist()).select([VECTOR]).to_arrow())
    between = found + np.roll(found, len(found) // 2 + 1, axis=0)
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (len(found), len(found)))
    kinds = np.arange(len(found))[:, None] % KINDS
    queries = np.select([kinds == 0, kinds == 1], [found, between], signs @ found)
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    return np.where(lengths > 1e-3, queries / np.maximum(lengths, 1e-3), found)


def _kth_best(table: LanceTable, queries: np.ndarray) -> np.ndarray:
    """The score of each query's k-th best row, found by reading all: float32 [queries]."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    for batch in table.search().select([VECTOR]).to_batches(_BLOCK):
        scores = queries @ vectors_of(pa.table(batch)).T
        best = np.partition(np.concatenate([best, scores], axis=1), -K, axis=1)[:, -K:]
    return np.asarray(best[:, 0])


def _recall(table: LanceTable, queries: np.ndarray, kth_best: np.ndarray, probes: int, refine: int) -> float:
    """Share of the k best rows that are found, for the hardest of the kinds of queries."""
    found = np.zeros(len(queries))
    for number, (query, score) in enumerate(zip(queries, kth_best, strict=True)):
        search = table.search(query, vector_column_name=VECTOR).distance_type("dot").limit(LIMIT)
        distances = search.nprobes(probes).refine_factor(refine).select(["_distance"]).to_arrow().column("_distance")
        found[number] = min(K, (distances.to_numpy() <= 1 - score + MARGIN).sum())
    return float(min(found[kind::KINDS].mean() for kind in range(KINDS)) / K)
