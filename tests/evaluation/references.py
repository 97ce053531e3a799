"""The figures of retrieval as plain loops over plain floats, as near to their definitions as code can be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class Figures:
    recall_at: dict[int, float]
    r_precision: float
    map_at_r: float
    counted: list[int]
    first_hit: list[int | None]


def retrieval(
    queries: np.ndarray,
    query_labels: Sequence[int],
    gallery: np.ndarray | None,
    gallery_labels: Sequence[int] | None,
    k: Sequence[int],
) -> Figures | None:
    """None where no query has anything to find."""
    counted, first_hit, precisions, averages = [], [], [], []
    for query in range(len(queries)):
        order = ranking(queries, query, gallery)
        labels = query_labels if gallery_labels is None else gallery_labels
        hits = [labels[number] == query_labels[query] for number in order]
        to_find = sum(hits)
        if to_find == 0:
            continue
        counted.append(query)
        first_hit.append(hits.index(True) + 1)
        precisions.append(sum(hits[:to_find]) / to_find)
        average = 0.0
        for rank in range(1, to_find + 1):
            if hits[rank - 1]:
                average += sum(hits[:rank]) / rank
        averages.append(average / to_find)
    if not counted:
        return None
    return Figures(
        recall_at={size: sum(first <= size for first in first_hit) / len(counted) for size in k},
        r_precision=sum(precisions) / len(counted),
        map_at_r=sum(averages) / len(counted),
        counted=counted,
        first_hit=first_hit,
    )


def figures(hits: Sequence[int], to_find: int, k: int) -> dict[str, float]:
    """The figures of one ranking; ranks beyond its end hit nothing."""
    hits = [*hits, *[0] * (k + to_find)]
    precision = [sum(hits[:rank]) / rank for rank in range(1, len(hits) + 1)]

    def average(depth: int, over: int) -> float:
        return sum(precision[rank] for rank in range(depth) if hits[rank]) / over

    def discounted(gains: Sequence[int]) -> float:
        return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))

    return {
        "r_precision": precision[to_find - 1],
        "map_at_r": average(to_find, to_find),
        f"precision_at_{k}": precision[k - 1],
        f"map_at_{k}": average(k, min(k, to_find)),
        f"ndcg_at_{k}": discounted(hits[:k]) / discounted([1] * min(k, to_find)),
        f"mrr_at_{k}": 1 / (hits.index(1) + 1) if 1 in hits[:k] else 0.0,
    }


def options(
    queries: np.ndarray,
    query_labels: Sequence[set[int]],
    gallery: np.ndarray | None,
    gallery_labels: Sequence[set[int]] | None,
    groups: Sequence[int] | None,
    gallery_groups: Sequence[int] | None,
    k: int,
) -> dict[int, dict[str, float]]:
    """The figures of each query that has anything to find, several labels an item, its own group not seen."""
    found = {}
    labels = query_labels if gallery_labels is None else gallery_labels
    theirs = groups if gallery_groups is None else gallery_groups
    for query in range(len(queries)):
        order = ranking(queries, query, gallery)
        if groups is not None and theirs is not None:
            order = [number for number in order if theirs[number] != groups[query]]
        hits = [int(bool(labels[number] & query_labels[query])) for number in order]
        if sum(hits):
            found[query] = figures(hits, sum(hits), k) | {f"recall_at_{k}": float(1 in hits[:k])}
    return found


def ranking(queries: np.ndarray, query: int, gallery: np.ndarray | None) -> list[int]:
    """All of the gallery, nearest first; without one the other queries."""
    among = queries if gallery is None else gallery
    q = queries[query].astype(np.float64)
    cosines = {}
    for number, row in enumerate(among.astype(np.float64)):
        if gallery is not None or number != query:
            cosines[number] = q @ row / np.linalg.norm(q) / np.linalg.norm(row)
    return sorted(cosines, key=lambda number: -cosines[number])
