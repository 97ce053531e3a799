"""NormalizedSoftmaxLoss, with CosFace as its margin."""

import math

import torch.nn.functional as F
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch, mean_cross_entropy
from lookalike.losses.proxies import Proxies, own_or_shared


class NormalizedSoftmaxLoss(Loss):
    r"""Classifies embeddings by their cosine to one proxy per class.

    The plainest proxy loss and a strong one. Needs a table of classes; batches may hold one image per class.

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
    Raises: LossInputError: scale not above 0, margin below 0, labels not in 0..C-1.
    Cost: time O(B C D), memory O(B C).
    Source: Zhai and Wu, arXiv 1811.12649 [related]; the margin: Wang et al., CosFace, CVPR 2018 [related].

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> loss = NormalizedSoftmaxLoss(num_classes=3, dim=4)
    >>> loss(torch.eye(4)[:2], torch.tensor([0, 2])).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int | None = None,
        dim: int | None = None,
        scale: float = 20.0,
        margin: float = 0.0,
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__()
        if not (0 < scale < math.inf and 0 <= margin < math.inf):
            raise LossInputError(f"scale must be above 0 and margin at least 0, not {scale} and {margin}")
        self.proxies = own_or_shared(proxies, num_classes, dim)
        self.scale, self.margin = scale, margin

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross entropy of the scaled cosines."""
        labels = check_batch(embeddings, labels, self.proxies.num_classes)
        cosines = self.proxies.cosines(embeddings)
        if self.margin:
            own = F.one_hot(labels, self.proxies.num_classes).to(cosines.dtype)
            cosines = cosines - self.margin * own
        return {"softmax": mean_cross_entropy(self.scale * cosines, labels)}
