"""Pairs within a batch: distances, margins, and sums over all triplets without B^3 memory."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lookalike.losses.relations import Relation

#: Numbers in one block [rows, B] of distances: a few of them stay in the cache of one core.
BLOCK = 2**17
#: Up to this many positives an anchor, comparing all with one positive after the other beats searching (measured).
FEW = 64


@dataclass(frozen=True)
class Margins:
    """m(a, n) = base + slope |t_a - t_n|^2 of the unit rows t of `vectors` [B, T]; without vectors it is base."""

    base: float
    slope: float = 0.0
    vectors: Tensor | None = None

    @property
    def far(self) -> float:
        """Beyond any distance less a margin: at -far a positive, at far a negative takes no part in a comparison."""
        return 16 + self.base + 4 * self.slope

    def subtracted_from(self, distances: Tensor) -> Tensor:
        """`distances` [A, B], of the first A items to all, less the margins."""
        if self.vectors is None:
            return distances - self.base
        left, right = self.factors(distances)
        return distances - self.base + left[: len(distances)] @ right.T

    @torch.no_grad()
    def factors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Two tables [B, T + 2] whose product is -slope |t_a - t_n|^2. A row of zeros has length 0, not 1."""
        assert self.vectors is not None
        unit = F.normalize(self.vectors.to(like), dim=1)
        squares, ones = -self.slope * unit.square().sum(dim=1, keepdim=True), torch.ones_like(unit[:, :1])
        return torch.cat([2 * self.slope * unit, squares, ones], dim=1), torch.cat([unit, ones, squares], dim=1)


class HingeSum(NamedTuple):
    """Hinges added up, in how many triplets, and in how many of them the hinge is above 0."""

    total: Tensor
    valid: Tensor
    active: Tensor


def unit_rows(embeddings: Tensor) -> Tensor:
    """Rows of length 1, in float32 at least."""
    return F.normalize(embeddings if embeddings.dtype == torch.float64 else embeddings.float(), dim=1)


def squared_distances(embeddings: Tensor, first: int | None = None) -> Tensor:
    """Squared Euclidean distances of the first A (or all) rows of `embeddings` [B, D] as unit vectors to all.

    [A, B], in [0, 4].
    """
    unit = unit_rows(embeddings)
    return (2 - 2 * unit[:first] @ unit.T).clamp(0, 4)


def sum_over_triplets(
    embeddings: Tensor, relation: Relation, margins: Margins, semihard: bool = False, block: int = BLOCK
) -> HingeSum:
    r"""Sum of [ d(a,p) - d(a,n) + m(a,n) ]_+ over all triplets of the batch, in O(B^2) instead of O(B^3).

    With x_p = d(a,p) and z_n = d(a,n) - m(a,n) the sum of an anchor is sum_p k_p x_p - sum_n c_n z_n, where k_p counts
    the negatives with z_n < x_p and c_n the positives with x_p > z_n: the gradient of the distances is these counts.
    It is made in the forward pass, by blocks of anchors, so that B x B need not exist at once. The counts are whole
    numbers, so the result does not depend on the order of adding them.

    Args:
        embeddings: [B, D], any length.
        relation: who is whose positive.
        margins: m.
        semihard: only triplets of the window d(a,p) < d(a,n) < d(a,p) + m(a,n).
        block: how many distances, or in small batches comparisons, are held at once; changes speed and memory only.
    """
    total, valid, active = _SumOverTriplets.apply(unit_rows(embeddings), relation, margins, semihard, block)
    return HingeSum(total, active if semihard else valid, active)


class _SumOverTriplets(torch.autograd.Function):
    """The sum as a function of unit rows. Its second derivative is refused: only the first is made and kept."""

    @staticmethod
    def forward(
        ctx: Any, unit: Tensor, relation: Relation, margins: Margins, semihard: bool, block: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        text = None if margins.vectors is None else margins.factors(unit)
        gradient: Tensor | None
        if 2 * len(unit[: relation.first]) * len(unit) ** 2 <= block:
            total, valid, active, gradient = _at_once(unit, relation, margins, text, semihard)
        else:
            order = relation.order()
            rows = unit if order is None else unit[order]
            text = text if text is None or order is None else (text[0][order], text[1][order])
            total, valid, active, gradient = _by_blocks(
                rows, relation, margins, text, semihard, block, ctx.needs_input_grad[0]
            )
            if order is not None and gradient is not None:
                gradient = torch.empty_like(gradient).index_copy_(0, order, gradient)
        ctx.save_for_backward(unit, gradient)
        ctx.mark_non_differentiable(valid, active)
        return total, valid, active

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *of_counts: Tensor) -> tuple[Tensor, None, None, None, None]:
        return grad * _NoDerivative.apply(*ctx.saved_tensors), None, None, None, None


class _NoDerivative(torch.autograd.Function):
    """The gradient as a function of the unit rows. Torch's `once_differentiable` would pass it as constant, unseen."""

    @staticmethod
    def forward(ctx: Any, unit: Tensor, gradient: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        raise RuntimeError("a sum over all or semi-hard triplets cannot be differentiated twice: use mining='hard'")


def _at_once(
    unit: Tensor, relation: Relation, margins: Margins, text: tuple[Tensor, Tensor] | None, semihard: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Total, valid and active number and the gradient of the unit rows, by B^3 comparisons: fewer calls, so faster
    for small batches.
    """
    positive, negative = relation.pairs()
    anchors = unit[: relation.first]
    distances = torch.addmm(unit.new_tensor(2.0), anchors, unit.T, alpha=-2)
    less_margin = distances - margins.base
    if text is not None:
        less_margin.addmm_(text[0][: relation.first], text[1].T)
    to_positives = torch.where(positive, distances, -margins.far)[:, :, None]
    less_margin = torch.where(negative, less_margin, margins.far)
    counted = less_margin[:, None] < to_positives
    if semihard:
        counted &= distances[:, None] > to_positives
    of_positives, of_negatives = counted.sum(dim=2), counted.sum(dim=1)
    weights = (of_positives - of_negatives).to(unit.dtype)
    total = (weights * torch.where(positive, distances, less_margin)).sum()
    valid = (positive.sum(dim=1) * negative.sum(dim=1)).sum()
    gradient = weights.T @ (-2 * anchors)
    gradient[: relation.first].addmm_(weights, unit, alpha=-2)
    return total, valid, of_positives.sum(), gradient


def _by_blocks(
    unit: Tensor,
    relation: Relation,
    margins: Margins,
    text: tuple[Tensor, Tensor] | None,
    semihard: bool,
    block: int,
    differentiable: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Total, valid and active number as 0-dim tensors, and the gradient of the unit rows, in the relation's order."""
    total, valid, active = torch.zeros(3, dtype=_wide(unit), device=unit.device)
    gradient = torch.zeros_like(unit) if differentiable else None
    where, anchors, of_anchors = relation.anchors(), unit, gradient
    if where is not None:
        anchors, text = unit[where], text and (text[0][where], text[1])
        of_anchors = torch.zeros_like(anchors)
    two, rows = unit.new_tensor(2.0), max(1, min(block // max(len(unit), 1), len(unit)))
    # Room for any block: memory taken anew for each comes in pages not yet mapped, which cost more than the arithmetic.
    room = unit.new_empty(4 if semihard else 3, rows, len(unit))
    for part, own, others, hidden, triplets in relation.blocks(rows):
        less_margin, weights, scratch, *far_ones = room[:, : len(others)]
        distances = torch.addmm(two, anchors[part], unit.T, alpha=-2, out=far_ones[0] if semihard else less_margin)
        to_positives = distances.gather(1, others).masked_fill_(others == own, -margins.far)
        torch.sub(distances, margins.base, out=less_margin)
        if text is not None:
            less_margin.addmm_(text[0][part], text[1].T)
        _hide(less_margin, hidden, margins.far)
        of_positives = _count(to_positives, less_margin, weights.zero_(), scratch)
        if semihard:  # whatever is no farther than the positive lies within the margin too: take it away again
            _hide(distances, hidden, margins.far)
            of_positives -= _count(to_positives, distances, weights, scratch, taken_away=True)
        valid += triplets
        active += of_positives.sum(dtype=_wide(unit))
        total += _dot(of_positives, to_positives) + _dot(weights, less_margin, scratch)
        if gradient is not None and of_anchors is not None:  # of 2 - 2 x_a . x_b
            weights.scatter_(1, others, of_positives)
            of_anchors[part].addmm_(weights, unit, alpha=-2)
            gradient.addmm_(weights.T, anchors[part], alpha=-2)
    if where is not None and gradient is not None and of_anchors is not None:
        gradient.index_add_(0, where, of_anchors)
    return total.to(unit.dtype), valid.to(unit.dtype), active.to(unit.dtype), gradient


def _hide(values: Tensor, hidden: Tensor, far: float) -> None:
    """What is no negative [b, H] or mask [b, B] is put so far that no comparison finds it."""
    if hidden.dtype == torch.bool:
        values.masked_fill_(hidden, far)
    else:
        values.scatter_(1, hidden, far)


def _count(
    positives: Tensor, negatives: Tensor, of_negatives: Tensor, scratch: Tensor, taken_away: bool = False
) -> Tensor:
    """Negatives [b, B] below each positive [b, P], returned; positives above each negative, subtracted in place.

    Taken away again are those of a wider count, negatives equal to the positive with them: added in place instead.
    """
    if positives.shape[1] > FEW:
        return _count_by_search(positives, negatives, of_negatives, taken_away)
    compare, sign, of_positives = torch.le if taken_away else torch.lt, 1 if taken_away else -1, []
    for positive in positives.split(1, dim=1):
        of_positives.append(compare(negatives, positive, out=scratch).sum(dim=1))
        of_negatives.add_(scratch, alpha=sign)
    return torch.stack(of_positives, dim=1)


def _count_by_search(positives: Tensor, negatives: Tensor, of_negatives: Tensor, taken_away: bool) -> Tensor:
    ascending, order = positives.sort(dim=1)
    #: How many positives are not above the negative: the first place, in order, of one that is.
    place = torch.searchsorted(ascending, negatives, right=not taken_away)
    num = positives.shape[1]
    at_place = positives.new_zeros(len(positives), num + 1).scatter_add_(1, place, torch.ones_like(negatives))
    of_negatives.add_(num - place, alpha=1 if taken_away else -1)
    return torch.empty_like(positives).scatter_(1, order, at_place.cumsum(dim=1)[:, :num])


def _dot(a: Tensor, b: Tensor, scratch: Tensor | None = None) -> Tensor:
    return torch.mul(a, b, out=scratch).sum(dim=1).sum(dtype=_wide(a))


def _wide(tensor: Tensor) -> torch.dtype:
    """What long sums are added in: float64 where the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
