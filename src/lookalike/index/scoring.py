"""Every row of a table in memory scored: what `ExactIndex` and the rows kept of a LanceDB table share."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from lookalike.index.conditions import Condition
from lookalike.index.question import Question
from lookalike.index.ranking import MARGIN, ranked
from lookalike.index.rows import ITEM_ID, VECTOR

#: To copy more than this share of the vectors takes longer than to score them all.
COPIED_SHARE = 1 / 4


def best_rows(table: pa.Table, vectors: np.ndarray, question: Question) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each query the numbers of its best rows, best first, and their scores: int64 [k], float64 [k].

    Args:
        table: has the item ids, the vectors and the columns that the question names.
        vectors: those of the table, float32 [N, D].
        question: what is asked.
    """
    rows = np.flatnonzero(_allowed(table, question))
    groups = None if question.column is None else _groups(table.column(question.column.name).take(pa.array(rows)))
    are_few = len(rows) <= COPIED_SHARE * len(vectors)
    scored = vectors[rows] if are_few else vectors
    found = []
    for query in question.queries:
        scores = scored @ query if are_few or len(rows) == len(vectors) else (scored @ query)[rows]
        places = _candidates(scores, question.k) if groups is None else _best_of_each(scores, groups, question.k)
        candidates = table.select([ITEM_ID, VECTOR]).take(pa.array(rows[places]))
        order, exact = ranked(candidates, query, question.k if groups is None else len(places))
        if groups is not None:
            first = np.sort(np.unique(groups[places[order]], return_index=True)[1])[: question.k]
            order, exact = order[first], exact[first]
        found.append((rows[places[order]], exact))
    return found


def fulfilling(table: pa.Table, condition: Condition) -> np.ndarray:
    """Which rows fulfil a condition: bool [N]."""
    # Faster than to filter the table: only the columns of the condition are read, and nothing is copied.
    answer = ds.dataset(table).to_table(columns={"holds": condition.expression}, use_threads=False)
    return np.asarray(pc.fill_null(answer.column("holds"), False).to_numpy())


def _allowed(table: pa.Table, question: Question) -> np.ndarray:
    allowed = np.ones(table.num_rows, bool)
    if question.condition is not None:
        allowed &= fulfilling(table, question.condition)
    if question.without:
        ids = pa.array(question.without, pa.string())
        allowed &= ~pc.is_in(table.column(ITEM_ID), value_set=ids).to_numpy()
    return allowed


def _candidates(scores: np.ndarray, k: int) -> np.ndarray:
    if len(scores) <= k:
        return np.arange(len(scores))
    return np.flatnonzero(scores >= np.partition(scores, -k)[-k] - MARGIN)


def _groups(column: pa.ChunkedArray) -> np.ndarray:
    """The number of each row's group, counted from 0; a row without a value has its own: int64 [N]."""
    codes = column.combine_chunks().dictionary_encode()
    numbers = np.array(codes.indices.fill_null(-1), dtype=np.int64)
    alone = np.flatnonzero(numbers < 0)
    numbers[alone] = len(codes.dictionary) + np.arange(len(alone))
    return numbers


def _best_of_each(scores: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
    """Of the k best groups what may be their best row."""
    highest = np.full(groups.max(initial=-1) + 1, -np.inf, np.float32)
    np.maximum.at(highest, groups, scores)
    places = np.flatnonzero(scores >= highest[groups] - MARGIN)
    if len(highest) > k:
        places = places[scores[places] >= np.partition(highest, -k)[-k] - 2 * MARGIN]
    return places
