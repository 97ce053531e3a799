"""Queries beside what they find: the best, some drawn at random, the worst."""

from typing import Any

import numpy as np

from lookalike.evaluation.figures import Row, neighbor_rows
from lookalike.evaluation.protocol import Protocol
from lookalike.evaluation.result import Retrieval
from lookalike.evaluation.thumbnails import Shown

QUERIES_SHOWN = 6
#: Ranks above this were not looked at.
LAST_RANK = 2**31


def grids(
    protocol: Protocol, embeddings: np.ndarray, labels: np.ndarray, result: Retrieval, shown: Shown, seed: int = 0
) -> dict[str, Any]:
    """Three grids of one protocol.

    Best and worst go by MAP@R; among equals the worst is the one whose first right answer comes last, and then chance
    decides.

    Args:
        protocol: who queries whom.
        embeddings: float32 [N, D] of the whole catalog.
        labels: int64 [N].
        result: the figures of this protocol and these embeddings.
        shown: collects the pictures.
        seed: of chance.

    Returns:
        The protocol's name, and under "best", "random" and "worst" rows of a query with what it found.
    """
    rng = np.random.default_rng(seed)
    mixed = rng.permutation(len(result.query_numbers))
    from_best = mixed[np.lexsort((result.first_hit[mixed], -result.values("map_at_r")[mixed]))]
    count = min(QUERIES_SHOWN, len(mixed))
    parts = {"best": from_best[:count], "random": mixed[:count], "worst": from_best[::-1][:count]}
    return {"protocol": protocol.name} | {
        name: [
            _row(row, int(result.first_hit[place]), float(result.values("map_at_r")[place]), shown)
            for place, row in zip(
                places,
                neighbor_rows(protocol, embeddings, labels, result.query_numbers[places].tolist()),
                strict=True,
            )
        ]
        for name, places in parts.items()
    }


def _row(row: Row, first_hit: int, map_at_r: float, shown: Shown) -> dict[str, Any]:
    found = zip(row.neighbors, row.cosines, row.right, strict=True)
    if True in row.right:
        first_hit = row.right.index(True) + 1  # also where the judging did not look that far
    return {
        "query": shown.add(row.query),
        "first_hit": first_hit if first_hit < LAST_RANK else None,
        "map_at_r": map_at_r,
        "found": [[shown.add(item), round(cosine, 4), bool(right)] for item, cosine, right in found],
    }
