"""What is read of a LanceDB table."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
from lancedb.table import LanceTable

from lookalike.index.conditions import Condition, both
from lookalike.index.filter_values import sql_literal
from lookalike.index.grouping import best_of_groups, but_items
from lookalike.index.index import Hit
from lookalike.index.plan import Plan
from lookalike.index.question import Question
from lookalike.index.ranking import MARGIN, best
from lookalike.index.rows import ITEM_ID, VECTOR, spread

#: Ids in one condition.
IDS_AT_ONCE = 2_000
#: Candidates fetched beyond k, so that ties at the k-th place are usually complete at the first attempt.
SPARE = 16

#: Fewer rows than this that fulfil a filter are read through, vector index or not.
FEW_ROWS = 10_000

T = TypeVar("T")


class Read(Protocol):
    """Reads the table, again if a writer tidied files away meanwhile."""

    def __call__(self, read: Callable[[LanceTable], T], /) -> T:
        """What `read` makes of the table."""


def answer(read: Read, question: Question, plan: Plan | None) -> list[list[Hit]]:
    """The hits of each query: by the vector index as the plan says, or every row read."""
    condition = question.condition
    if question.column is None:
        return [_best(read, query, question.k, condition, plan, question.without) for query in question.queries]
    if question.without:
        condition = both(condition, but_items(question.without))

    def found(query: np.ndarray, count: int, more: Condition | None) -> list[Hit]:
        return _best(read, query, count, both(condition, more), plan)

    return [best_of_groups(partial(found, query), question.k, question.column) for query in question.queries]


def nearest(table: LanceTable, query: np.ndarray, limit: int, condition: str | None, plan: Plan | None) -> pa.Table:
    """The rows nearest to the query, nearest first, with their `_distance`."""
    # For unit vectors 1 - dot product is the cosine distance, without dividing again.
    search = table.search(query, vector_column_name=VECTOR).distance_type("dot").limit(limit)
    if plan is None:
        search = search.bypass_vector_index()
    else:
        search = search.nprobes(plan.probes_for(limit)).refine_factor(plan.refine)
    if condition is not None:
        search = search.where(condition, prefilter=True)
    return search.to_arrow()


def candidates(read: Read, query: np.ndarray, k: int, condition: str | None, plan: Plan | None) -> pa.Table:
    """At least the k best rows and all that tie with the last of them, nearest first."""
    limit = k + SPARE
    while True:
        found = read(partial(nearest, query=query, limit=limit, condition=condition, plan=plan))
        distances = found.column("_distance").to_numpy()
        if len(distances) < limit or distances[-1] > distances[k - 1] + MARGIN:
            return found.drop_columns(["_distance"])
        limit *= 4


def rows_where(table: LanceTable, condition: str | None, columns: Sequence[str] | None = None) -> pa.Table:
    """These columns, or all, of the rows that fulfil a condition, or of all."""
    search = table.search() if columns is None else table.search().select(list(columns))
    return (search if condition is None else search.where(condition)).to_arrow()


def rows_within(table: LanceTable, columns: Sequence[str], most_bytes: int) -> pa.Table | None:
    """These columns of all rows, each in one piece; None if they take more bytes, which are then not read."""
    reader = table.search().select(list(columns)).to_batches()
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if size > most_bytes:
            return None
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema).combine_chunks()


def rows_at(table: LanceTable, numbers: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """These columns of the rows of these numbers, counted as they are scanned, in any order."""
    return table.take_offsets(numbers.tolist()).select(list(columns)).to_arrow()


def spread_rows(table: LanceTable, count: int) -> pa.Table:
    """The vectors of up to `count` rows from all over the table."""
    return rows_at(table, spread(table.count_rows(), count), [VECTOR])


def conditions(ids: list[str]) -> list[str]:
    """Conditions that choose these items, each of a length that the database can take."""
    ids = list(dict.fromkeys(ids))
    parts = [ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE)]
    return [f"{ITEM_ID} IN ({', '.join(map(sql_literal, part))})" for part in parts]


def _best(
    read: Read, query: np.ndarray, k: int, condition: Condition | None, plan: Plan | None, without: Sequence[str] = ()
) -> list[Hit]:
    # A few more and then fewer: cheaper than a condition, which every row would have to meet.
    count = k + len(without)
    sql = None if condition is None else condition.sql
    hits = best(candidates(read, query, count, sql, _plan_for(read, sql, plan)), query, count)
    return [hit for hit in hits if hit.item_id not in without][:k]


def _plan_for(read: Read, condition: str | None, plan: Plan | None) -> Plan | None:
    if plan is None or condition is None:
        return plan
    # With a filter the nearest rows may be in any cluster. Few rows are read through.
    rows = read(lambda table: int(table.count_rows(condition)))
    return replace(plan, probes=plan.clusters) if rows >= FEW_ROWS else None
