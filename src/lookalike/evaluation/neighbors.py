"""Exact nearest neighbors by cosine, block by block."""

import torch
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
    for start in range(0, max(1, len(queries)), step):  # one empty block where nothing is asked
        block = queries[start : start + step] @ gallery.T
        if exclude is not None:
            block.scatter_(1, exclude[start : start + step, None], -torch.inf)
        top = block.topk(k, dim=1)
        numbers.append(top.indices)
        cosines.append(top.values)
    return torch.cat(numbers), torch.cat(cosines)


def _unit_rows(embeddings: Tensor, what: str) -> Tensor:
    embeddings = embeddings.float()
    # By its largest number first: the squares of a very short or very long row are no float32 numbers.
    embeddings = embeddings / embeddings.abs().amax(dim=1, keepdim=True)
    lengths = embeddings.norm(dim=1)
    bad = ~torch.isfinite(lengths)  # 0 / 0 is NaN, and so is infinity / infinity
    if bool(bad.any()):
        raise EvaluationError(
            f"{int(bad.sum())} {what} embeddings are zero or not finite, the first in row {int(bad.nonzero()[0])}; "
            "the model has collapsed or diverged: train again with smaller learning rates"
        )
    unit: Tensor = embeddings / lengths[:, None]
    return unit
