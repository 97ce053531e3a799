"""NormalizedSoftmaxLoss, with CosFace as its margin."""

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.margin_softmax import margin_softmax
from lookalike.losses.proxies import Proxies, own_or_shared


class NormalizedSoftmaxLoss(Loss):
    r"""Classifies embeddings by their cosine to one proxy per class.

    The plainest proxy loss and a strong one. Needs a table of classes; batches may hold one image per class. With very
    many classes it is light: the logits are worked off by rows of the batch.

    .. math::
        L = -\frac1B \sum_i \log
            \frac{e^{s (\cos_{i,y} - m)}}{e^{s (\cos_{i,y} - m)} + \sum_{c \ne y} e^{s \cos_{i,c}}}

    in formula | in code    | what it is, shape, unit, range
    x          | embeddings | (batch, dim), any length: rows are made unit length here
    p          | proxies    | (classes, dim), learned
    s          | scale      | > 0
    m          | margin     | a cosine, >= 0; above 0 this is CosFace

    Needs: labels.
    Terms: "softmax".
    Args: chunk_rows: rows of the batch worked on at a time; 0: chosen by size, all at once where B C is small.
    Raises: LossInputError: scale not above 0, margin or chunk_rows below 0, labels not in 0..C-1.
    Limits (tested): any chunk_rows gives the same; only all at once can it be differentiated twice.
    Cost: time O(B C D), memory O(C D) for the gradient of the proxies, and beyond it O(B D + C chunk_rows).
    Relations: AdaptiveAdditiveSoftmaxLoss has a margin for each pair of classes.
    Source: Zhai and Wu, arXiv 1811.12649 [related]; the margin: Wang et al., CosFace, CVPR 2018 [related]; the chunks
    [ours].

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> loss = NormalizedSoftmaxLoss(num_classes=3, dim=4)
    >>> loss(torch.eye(4)[:2], torch.tensor([0, 2])).shape
    torch.Size([])
    """

    class_axes: ClassVar[Mapping[str, int] | None] = {}

    def __init__(
        self,
        num_classes: int | None = None,
        dim: int | None = None,
        scale: float = 20.0,
        margin: float = 0.0,
        chunk_rows: int = 0,
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__()
        if not (0 < scale < math.inf and 0 <= margin < math.inf and chunk_rows >= 0):
            raise LossInputError(
                f"scale must be above 0, margin and chunk_rows at least 0, not {scale}, {margin} and {chunk_rows}"
            )
        self.proxies = own_or_shared(proxies, num_classes, dim)
        self.scale, self.margin, self.chunk_rows = scale, margin, chunk_rows

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross entropy of the scaled cosines."""
        labels = check_batch(embeddings, labels, self.proxies.num_classes)
        unit, weight = self.proxies.unit_rows(embeddings), self.proxies.weight
        softmax = margin_softmax(
            unit,
            weight,
            labels,
            scale=self.scale,
            own_margins=self.margin,
            chunk=self.chunk_rows,
            shard=self.proxies.shard,
        )
        return {"softmax": softmax}
