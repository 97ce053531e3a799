"""Exact nearest neighbors by cosine, block by block."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lookalike.errors import EvaluationError

#: Similarities held at one time: 16 Mi float32, 64 MiB.
BLOCK = 2**24


def nearest(queries: Tensor, gallery: Tensor, k: int, *, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k nearest gallery rows of every query.

    Args:
        queries: [Q, D], rows of any length above 0.
        gallery: [G, D].
        k: at most G, or G - 1 with `exclude`.
        exclude: int64 [Q], for each query the one gallery row that is itself: left out by number, not by value.

    Returns:
        Gallery row numbers int64 [Q, k], best first, and their cosines float32 [Q, k].

    Raises:
        EvaluationError: k is out of range, or an embedding is zero or not finite.
    """
    available = len(gallery) - (exclude is not None)
    if not 1 <= k <= available:
        raise EvaluationError(f"k must lie in 1..{available} for a gallery of {len(gallery)}, not {k}")
    queries, gallery = _unit_rows(queries, "query"), _unit_rows(gallery, "gallery")
    step = max(1, BLOCK // len(gallery))
    numbers, cosines = [], []
    for start in range(0, len(queries), step):
        block = queries[start : start + step] @ gallery.T
        if exclude is not None:
            block.scatter_(1, exclude[start : start + step, None], -torch.inf)
        top = block.topk(k, dim=1)
        numbers.append(top.indices)
        cosines.append(top.values)
    return torch.cat(numbers), torch.cat(cosines)


def _unit_rows(embeddings: Tensor, what: str) -> Tensor:
    embeddings = embeddings.float()
    lengths = embeddings.norm(dim=1)
    # A NaN length is not above 0 either.
    bad = ~((lengths > 0) & torch.isfinite(lengths))
    if bool(bad.any()):
        raise EvaluationError(
            f"{int(bad.sum())} {what} embeddings are zero or not finite, the first in row {int(bad.nonzero()[0])}; "
            "the model has collapsed or diverged: train again with smaller learning rates"
        )
    return F.normalize(embeddings, dim=1)
