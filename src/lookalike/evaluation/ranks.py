"""The figures of one query from which of its neighbors are right, best first."""

from collections.abc import Sequence

import torch
from torch import Tensor


def figures_of(hits: Tensor, to_find: Tensor, k: Sequence[int]) -> dict[str, Tensor]:
    """Figures per query, float64 [b] each, in [0, 1].

    With h_r = 1 where the neighbor of rank r is right, P_r = (h_1 + ... + h_r) / r, and R right ones in the gallery:

    - "r_precision": P_R; "map_at_r": sum over r <= R of P_r h_r / R [Musgrave, Belongie, Lim, ECCV 2020, sec. 3.2].
    - "precision_at_K": P_K, also where K is above the gallery's size.
    - "map_at_K": sum over r <= K of P_r h_r / min(K, R). Others divide by R, or by the hits among the first K.
    - "ndcg_at_K": sum over r <= K of h_r / log2(r + 1), over the same sum with a hit at each r <= min(K, R).
    - "mrr_at_K": 1 / rank of the first hit, 0 where none is among the first K.

    Args:
        hits: bool [b, n]; ranks beyond n hit nothing.
        to_find: int64 [b], R of each query, at least 1.
        k: the K.
    """
    ranks = torch.arange(1, hits.shape[1] + 1, dtype=torch.float64, device=hits.device)
    found = hits.double().cumsum(dim=1)
    precision_of_hits = (found / ranks * hits).cumsum(dim=1)
    gain = (hits / (ranks + 1).log2()).cumsum(dim=1)
    ideal = (1 / (torch.arange(1, max(k) + 1, dtype=torch.float64, device=hits.device) + 1).log2()).cumsum(dim=0)
    first = first_hit(hits).double()

    def until(sums: Tensor, rank: Tensor) -> Tensor:
        return sums.gather(1, rank.clamp_max(hits.shape[1])[:, None] - 1)[:, 0]

    figures = {
        "r_precision": until(found, to_find) / to_find,
        "map_at_r": until(precision_of_hits, to_find) / to_find,
    }
    for size in k:
        depth = torch.full_like(to_find, size)
        most = to_find.clamp_max(size)
        figures[f"precision_at_{size}"] = until(found, depth) / size
        figures[f"map_at_{size}"] = until(precision_of_hits, depth) / most
        figures[f"ndcg_at_{size}"] = until(gain, depth) / ideal[most - 1]
        figures[f"mrr_at_{size}"] = torch.where(first <= size, 1 / first, 0.0)
    return figures


def first_hit(hits: Tensor) -> Tensor:
    """Rank of the first hit of each row, from 1; the largest int64 where there is none."""
    return torch.where(hits.any(dim=1), hits.int().argmax(dim=1) + 1, torch.iinfo(torch.int64).max)
