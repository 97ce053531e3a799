"""AdaptiveAdditiveSoftmaxLoss: one margin per (sample, negative proxy), from distances in another modality."""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch, mean_cross_entropy
from lookalike.losses.proxies import Proxies, own_or_shared

Direction = Literal["dissimilar", "similar"]
ROUNDING = 1e-3


class AdaptiveAdditiveSoftmaxLoss(Loss):
    r"""Classifies embeddings by proxies, pushing each negative class away by a margin that follows its text distance.

    Use it when classes have descriptions (or any other vectors or distances) that say how unlike they are. Without
    them it is CosFace: take `NormalizedSoftmaxLoss(margin=...)`. The formula is our reconstruction of the paper's idea.

    .. math::
        M_{jk} = \beta + \frac{\|t_j - t_k\|^2}{4 - \beta} \; (j \ne k), \quad M_{jj} = 0

        L = -\frac1B \sum_i \log \frac{e^{s \cos_{i,y}}}{e^{s \cos_{i,y}} + \sum_{c \ne y} e^{s (\cos_{i,c} + M_{y,c})}}

    in formula | in code            | what it is, shape, unit, range
    x          | embeddings         | (batch, dim), any length: rows are made unit length here
    p          | proxies            | (classes, dim), learned
    t          | class_side_vectors | (classes, side_dim), rows made unit length; fixed, no gradient
    |t_j-t_k|² | class_distances    | (classes, classes), in [0, 4], instead of t; symmetry is not required
    beta       | base_margin        | in [0, 4)
    s          | scale              | > 0

    `direction="similar"` puts 4 - |t_j - t_k|^2 in place of the distance: near classes are pushed harder.

    Needs: labels.
    Terms: "softmax".
    Raises: LossInputError: neither or both of vectors and distances, wrong shapes or ranges, labels not in 0..C-1.
    Limits (tested): equal texts => CosFace with margin beta; beta = 0 too => normalized softmax.
    Cost: time O(B C (D + T)), memory O(B C), plus O(C^2) if distances are given.
    Relations: NormalizedSoftmaxLoss is the same with one margin for all.
    Source: Fehervari and Macedo, arXiv 2006.14693: a margin per sample and negative proxy, looked up from class
    distances in the other modality [paper]; the formula, its range and `direction` [ours]; the form of M follows the
    margin of the adaptive triplet loss, Zhao et al., arXiv 1909.12939 [reported].

    >>> _ = torch.manual_seed(0)
    >>> loss = AdaptiveAdditiveSoftmaxLoss(num_classes=3, dim=4, class_side_vectors=torch.eye(3))
    >>> [round(margin, 3) for margin in loss.margins(torch.tensor([0]))[0].tolist()]
    [0.0, 0.613, 0.613]
    """

    class_side_vectors: Tensor | None
    class_distances: Tensor | None

    def __init__(
        self,
        num_classes: int | None = None,
        dim: int | None = None,
        class_side_vectors: Tensor | None = None,
        class_distances: Tensor | None = None,
        base_margin: float = 0.1,
        scale: float = 20.0,
        direction: Direction = "dissimilar",
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__()
        if not (0 < scale < math.inf and 0 <= base_margin < 4):
            raise LossInputError(f"scale must be above 0 and base_margin in [0, 4), not {scale} and {base_margin}")
        if direction not in get_args(Direction):
            raise LossInputError(f"direction must be one of {', '.join(get_args(Direction))}, not {direction!r}")
        self.proxies = own_or_shared(proxies, num_classes, dim)
        self.base_margin, self.scale, self.direction = base_margin, scale, direction
        _check_side(class_side_vectors, class_distances, self.proxies.num_classes)
        vectors = None if class_side_vectors is None else F.normalize(class_side_vectors.detach().float(), dim=1)
        self.register_buffer("class_side_vectors", vectors)
        distances = None if class_distances is None else class_distances.detach().clamp(0, 4)
        self.register_buffer("class_distances", distances)

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The cross entropy of the scaled cosines with the margins added to the negatives."""
        labels = check_batch(embeddings, labels, self.proxies.num_classes)
        cosines = self.proxies.cosines(embeddings)
        logits = self.scale * (cosines + self.margins(labels).to(cosines.dtype))
        return {"softmax": mean_cross_entropy(logits, labels)}

    @torch.no_grad()
    def margins(self, labels: Tensor) -> Tensor:
        """M of these classes to all classes: [B, C], 0 at the own class."""
        distances = self._distances(labels)
        if self.direction == "similar":
            distances = 4 - distances
        margins = self.base_margin + distances / (4 - self.base_margin)
        return margins.scatter(1, labels[:, None], 0.0)

    def _distances(self, labels: Tensor) -> Tensor:
        if self.class_distances is not None:
            return self.class_distances[labels]
        vectors = self.class_side_vectors
        assert vectors is not None
        return (2 - 2 * vectors[labels] @ vectors.T).clamp(0, 4)


def _check_side(vectors: Tensor | None, distances: Tensor | None, num_classes: int) -> None:
    if (vectors is None) == (distances is None):
        raise LossInputError("give either class_side_vectors [C, T] or class_distances [C, C]")
    if vectors is not None and (vectors.ndim != 2 or len(vectors) != num_classes):
        raise LossInputError(f"class_side_vectors must be [{num_classes}, T], not {tuple(vectors.shape)}")
    if distances is not None:
        if distances.shape != (num_classes, num_classes):
            raise LossInputError(f"class_distances must be [{num_classes}] * 2, not {tuple(distances.shape)}")
        # 2 - 2 cos in float32 comes out a little below 0 on the diagonal: that much is clamped away.
        if not bool(((distances >= -ROUNDING) & (distances <= 4 + ROUNDING)).all()):
            raise LossInputError("class_distances are squared distances of unit vectors: each must lie in [0, 4]")
    if vectors is not None and not bool(torch.isfinite(vectors).all()):
        raise LossInputError("class_side_vectors hold NaN or infinite numbers")
