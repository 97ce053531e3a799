"""What is read of a LanceDB table."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from lancedb.table import LanceTable

from lookalike.index.filter_values import sql_literal
from lookalike.index.plan import Plan
from lookalike.index.ranking import MARGIN
from lookalike.index.rows import ITEM_ID, VECTOR, spread

#: Ids in one condition.
IDS_AT_ONCE = 2_000
#: Candidates fetched beyond k, so that ties at the k-th place are usually complete at the first attempt.
SPARE = 16

#: Reads the table, again if a writer tidied files away meanwhile.
Read = Callable[[Callable[[LanceTable], pa.Table]], pa.Table]


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


def spread_rows(table: LanceTable, count: int) -> pa.Table:
    """The vectors of up to `count` rows from all over the table."""
    return table.take_offsets(spread(table.count_rows(), count).tolist()).select([VECTOR]).to_arrow()


def conditions(ids: list[str]) -> list[str]:
    """Conditions that choose these items, each of a length that the database can take."""
    ids = list(dict.fromkeys(ids))
    parts = [ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE)]
    return [f"{ITEM_ID} IN ({', '.join(map(sql_literal, part))})" for part in parts]
