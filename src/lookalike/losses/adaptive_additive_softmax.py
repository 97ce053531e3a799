"""AdaptiveAdditiveSoftmaxLoss: one margin per (sample, negative proxy), from distances in another modality."""

import math
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.margin_softmax import margin_softmax
from lookalike.losses.proxies import Proxies, own_or_shared

Direction = Literal["dissimilar", "similar"]
Curve = Literal["linear", "sqrt", "square"]
TextOf = Literal["class", "item"]
ROUNDING = 1e-3


class AdaptiveAdditiveSoftmaxLoss(Loss):
    r"""Classifies embeddings by proxies, pushing each negative class away by a margin that follows its text distance.

    Use it when classes have descriptions (or any other vectors or distances) that say how unlike they are. Without
    them it is CosFace: take `NormalizedSoftmaxLoss(margin=...)`. The formula is our reconstruction of the paper's idea.

    .. math::
        M_{jk} = \beta + a \, g(\|t_j - t_k\|^2) \; (j \ne k), \quad a = \frac{1}{4 - \beta}, \quad g(d) = d^2 / 4

        L = -\frac1B \sum_i \log \frac{e^{s \cos_{i,y}}}{e^{s \cos_{i,y}} + \sum_{c \ne y} e^{s (\cos_{i,c} + M_{y,c})}}

    in formula | in code            | what it is, shape, unit, range
    x          | embeddings         | (batch, dim), any length: rows are made unit length here
    p          | proxies            | (classes, dim), learned
    t          | class_side_vectors | (classes, side_dim), rows made unit length; fixed, no gradient. A row of zeros
               |                    | (no text) is at distance 2, the middle, from all
    |t_j-t_k|² | class_distances    | (classes, classes), in [0, 4], instead of t; symmetry is not required
    beta       | base_margin        | in [0, 4)
    a          | slope              | >= 0; None: 1 / (4 - beta)
    g          | curve              | linear: d, sqrt: 2 sqrt(d), square: d^2 / 4; each takes [0, 4] to [0, 4]
    M_yc       | text               | class: as above; item: from the text of the item itself to that of class c, given
               |                    | in the call as side_vectors, (batch, side_dim); takes class_side_vectors
    s          | scale              | > 0

    `direction="similar"` puts 4 - |t_j - t_k|^2 in place of the distance: near classes are pushed harder.

    Needs: labels.       With text="item" also side_vectors.
    Terms: "softmax".
    Args: chunk_rows: rows of the batch worked on at a time; 0: chosen by size, all at once where B C is small.
    Raises: LossInputError: neither or both of vectors and distances, wrong shapes or ranges, labels not in 0..C-1,
    side_vectors missing, or given without text="item".
    Limits (tested): equal texts => CosFace with margin beta; beta = 0 too => normalized softmax; the text of its class
    for each item => text="class"; any chunk_rows gives the same; only all at once can it be differentiated twice.
    Cost: time O(B C (D + T)); memory O(C D) for the gradient of the proxies, O(C T) for t and beyond them
    O(B (D + T) + C chunk_rows): for unit vectors |t_j - t_k|^2 = 2 - 2 t_j.t_k, so that a linear margin is T more
    columns of the cosines, and its constant moves to the own class. O(C^2) if distances are given.
    Relations: NormalizedSoftmaxLoss is the same with one margin for all.
    Source: Fehervari and Macedo, arXiv 2006.14693: a margin per sample and negative proxy, looked up from class
    distances in the other modality [paper]; the formula, its range, slope, curve, `direction`, text="item" and the
    linear memory [ours]; the form of M follows the margin of the adaptive triplet loss, Zhao et al., arXiv 1909.12939
    [reported].

    >>> _ = torch.manual_seed(0)
    >>> loss = AdaptiveAdditiveSoftmaxLoss(num_classes=3, dim=4, class_side_vectors=torch.eye(3))
    >>> [round(margin, 3) for margin in loss.margins(torch.tensor([0]))[0].tolist()]
    [0.0, 0.25, 0.25]
    """

    class_side_vectors: Tensor | None
    class_distances: Tensor | None
    class_axes: ClassVar[Mapping[str, int] | None] = {"class_side_vectors": 0, "class_distances": 1}

    def __init__(
        self,
        num_classes: int | None = None,
        dim: int | None = None,
        class_side_vectors: Tensor | None = None,
        class_distances: Tensor | None = None,
        base_margin: float = 0.0,
        scale: float = 20.0,
        direction: Direction = "dissimilar",
        slope: float | None = None,
        curve: Curve = "square",
        text: TextOf = "class",
        chunk_rows: int = 0,
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__()
        if not (0 < scale < math.inf and 0 <= base_margin < 4):
            raise LossInputError(f"scale must be above 0 and base_margin in [0, 4), not {scale} and {base_margin}")
        slope = 1 / (4 - base_margin) if slope is None else slope
        if not (0 <= slope < math.inf and chunk_rows >= 0):
            raise LossInputError(f"slope and chunk_rows must be at least 0, not {slope} and {chunk_rows}")
        for name, value, choices in (
            ("direction", direction, Direction),
            ("curve", curve, Curve),
            ("text", text, TextOf),
        ):
            if value not in get_args(choices):
                raise LossInputError(f"{name} must be one of {', '.join(get_args(choices))}, not {value!r}")
        self.proxies = own_or_shared(proxies, num_classes, dim)
        self.base_margin, self.scale, self.direction = base_margin, scale, direction
        self.slope, self.curve, self.text, self.chunk_rows = slope, curve, text, chunk_rows
        check_side(class_side_vectors, class_distances, self.proxies.num_classes)
        if text == "item" and class_side_vectors is None:
            raise LossInputError("text='item' measures from items to classes: it takes class_side_vectors [C, T]")
        vectors = None if class_side_vectors is None else F.normalize(class_side_vectors.detach().float(), dim=1)
        self.register_buffer("class_side_vectors", vectors)
        distances = None if class_distances is None else class_distances.detach().clamp(0, 4)
        self.register_buffer("class_distances", distances)

    @property
    def inputs(self) -> dict[str, bool]:
        """Labels; the side vectors of the items where those are asked for, and only there."""
        return {"labels": True} | ({"side_vectors": True} if self.text == "item" else {})

    def terms(self, embeddings: Tensor, labels: Tensor, *, side_vectors: Tensor | None = None) -> dict[str, Tensor]:
        """The cross entropy of the scaled cosines with the margins added to the negatives."""
        labels = check_batch(embeddings, labels, self.proxies.num_classes)
        unit, weight = self.proxies.unit_rows(embeddings), self.proxies.weight
        softmax = partial(
            margin_softmax, unit, weight, labels, scale=self.scale, chunk=self.chunk_rows, shard=self.proxies.shard
        )
        from_text = self._text_of(labels, side_vectors)
        if self.curve == "linear" and from_text is not None:
            assert self.class_side_vectors is not None
            text, twice = text_factors(from_text, self.class_side_vectors, self.slope, self.direction)
            value = softmax(own_margins=self.base_margin + twice, text=text, largest=twice)
        else:
            value = softmax(
                margins=lambda rows: self._margins(labels[rows], None if from_text is None else from_text[rows]),
                largest=self.base_margin + 4 * self.slope,
            )
        return {"softmax": value}

    @torch.no_grad()
    def margins(self, labels: Tensor, side_vectors: Tensor | None = None) -> Tensor:
        """M of these items to all classes: [B, C], 0 at the own class. With text="item" it takes their side vectors."""
        margins = self._margins(labels, self._text_of(labels, side_vectors))
        return margins.scatter(1, labels[:, None], 0.0)

    def _text_of(self, labels: Tensor, side_vectors: Tensor | None) -> Tensor | None:
        """The unit text vectors the margins are measured from [B, T]; None: distances were given."""
        if (side_vectors is not None) != (self.text == "item"):
            raise LossInputError("side_vectors, one row an item, belong to text='item', and are needed there")
        vectors = self.class_side_vectors
        if side_vectors is None:
            return None if vectors is None else self.proxies.rows_of(vectors, labels)
        assert vectors is not None
        expected = (len(labels), vectors.shape[1])
        if side_vectors.shape != expected:
            raise LossInputError(f"side_vectors must be {list(expected)}, not {tuple(side_vectors.shape)}")
        return F.normalize(side_vectors.detach().to(vectors), dim=1)

    def _margins(self, labels: Tensor, from_text: Tensor | None) -> Tensor:
        """beta + a g(d), of the own class too, which has no margin."""
        if from_text is None:
            assert self.class_distances is not None
            distances = self.class_distances[labels]
        else:
            assert self.class_side_vectors is not None
            distances = (from_text @ self.class_side_vectors.T).mul_(-2).add_(2).clamp_(0, 4)
        if self.direction == "similar":
            distances = distances.neg_().add_(4)
        if self.curve == "sqrt":
            distances = distances.sqrt_().mul_(2)
        if self.curve == "square":
            distances = distances.square_().div_(4)
        return distances.mul_(self.slope).add_(self.base_margin)


def text_factors(
    from_text: Tensor, vectors: Tensor, slope: float, direction: Direction
) -> tuple[tuple[Tensor, Tensor], float]:
    """Margins a |t - t_c|^2 (similar: a (4 - |t - t_c|^2)) as products of two tables, but for a constant, and that one.

    beta + a d = (beta + 2 a) - 2 a t.t_c, and with 4 - d for d it is (beta + 2 a) + 2 a t.t_c.

    Args:
        from_text: t, unit rows [B, T].
        vectors: t_c, unit rows [C, T].
        slope: a.
        direction: whether far or near texts get the larger margin.
    """
    twice = 2 * slope
    return (from_text * (-twice if direction == "dissimilar" else twice), vectors), twice


def check_side(vectors: Tensor | None, distances: Tensor | None, num_classes: int) -> None:
    """Refuse both or neither, wrong shapes, and numbers out of range."""
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
