"""Pairs within a batch: distances, who is whose positive, margins, and sums over all triplets without B^3 memory."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Beyond any distance of unit vectors less a margin, in [-4, 4]: at -FAR a positive, at FAR a negative takes no part.
FAR = 16.0
#: Numbers in one block [rows, B] of distances: a few of them stay in the cache of one core.
BLOCK = 2**17
#: Up to this many positives an anchor, comparing all with one positive after the other beats searching (measured).
FEW = 24


@dataclass(frozen=True)
class Margins:
    """m(a, n) = base + slope |t_a - t_n|^2 of the unit rows t of `vectors` [B, T]; without vectors it is base."""

    base: float
    slope: float = 0.0
    vectors: Tensor | None = None

    def subtracted_from(self, distances: Tensor) -> Tensor:
        """`distances` [B, B] less the margins."""
        if self.vectors is None:
            return distances - self.base
        left, right = self.factors(distances)
        return distances - self.base + left @ right.T

    @torch.no_grad()
    def factors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Two tables [B, T + 2] whose product is -slope |t_a - t_n|^2. A row of zeros has length 0, not 1."""
        assert self.vectors is not None
        unit = F.normalize(self.vectors.detach().to(like), dim=1)
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


def squared_distances(embeddings: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of `embeddings` [B, D] as unit vectors: [B, B], in [0, 4]."""
    unit = unit_rows(embeddings)
    return (2 - 2 * unit @ unit.T).clamp(0, 4)


def positive_and_negative_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Masks [B, B]: pairs of one class without an item and itself, and pairs of two classes."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def sum_over_triplets(
    embeddings: Tensor, labels: Tensor, margins: Margins, semihard: bool = False, block: int = BLOCK
) -> HingeSum:
    r"""Sum of [ d(a,p) - d(a,n) + m(a,n) ]_+ over all triplets of the batch, in O(B^2) instead of O(B^3).

    With x_p = d(a,p) and z_n = d(a,n) - m(a,n) the sum of an anchor is sum_p k_p x_p - sum_n c_n z_n, where k_p counts
    the negatives with z_n < x_p and c_n the positives with x_p > z_n: the gradient of the distances is these counts.
    It is made in the forward pass, by blocks of anchors, so that B x B need not exist at once. The counts are whole
    numbers, so the result does not depend on the order of adding them.

    Args:
        embeddings: [B, D], any length.
        labels: int64 [B].
        margins: m.
        semihard: only triplets of the window d(a,p) < d(a,n) < d(a,p) + m(a,n).
        block: numbers in a block of distances; changes speed and memory only.
    """
    total, valid, active = _SumOverTriplets.apply(unit_rows(embeddings), labels, margins, semihard, block)
    return HingeSum(total, active if semihard else valid, active)


class _SumOverTriplets(torch.autograd.Function):
    """The sum as a function of unit rows. Its second derivative is refused: only the first is made and kept."""

    @staticmethod
    def forward(
        ctx: Any, unit: Tensor, labels: Tensor, margins: Margins, semihard: bool, block: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(unit.device.type, enabled=False):
            order = labels.argsort(stable=True)
            _, sizes = labels[order].unique_consecutive(return_counts=True)
            anchors = _Anchors(unit[order], sizes, None)
            if margins.vectors is not None:
                left, right = margins.factors(unit)
                anchors = anchors._replace(text=(left[order], right[order]))
            total, active, gradient = _by_blocks(anchors, margins.base, semihard, block, ctx.needs_input_grad[0])
        if gradient is not None:
            ctx.save_for_backward(torch.empty_like(gradient).index_copy_(0, order, gradient))
        valid = (sizes * (sizes - 1) * (len(unit) - sizes)).sum().to(unit.dtype)
        ctx.mark_non_differentiable(valid, active)
        return total, valid, active

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor, *of_counts: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return grad * gradient, None, None, None, None


class _Anchors(NamedTuple):
    """A batch ordered by class: unit rows, the size of each class, and the factors of the text margins."""

    unit: Tensor
    sizes: Tensor
    text: tuple[Tensor, Tensor] | None


def _by_blocks(
    anchors: _Anchors, base: float, semihard: bool, block: int, differentiable: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Total and active number as 0-dim tensors, and the gradient of the unit rows."""
    unit, sizes, text = anchors
    batch = len(unit)
    total = torch.zeros((), dtype=torch.float64, device=unit.device)
    active = torch.zeros_like(total)
    gradient = torch.zeros_like(unit) if differentiable else None
    others = _others_of_the_class(sizes)
    rows = max(1, block // max(batch, 1))
    two = unit.new_full((), 2.0)
    for start in range(0, batch if others.shape[1] else 0, rows):
        part = slice(start, start + rows)
        distances = torch.addmm(two, unit[part], unit.T, alpha=-2)
        own = torch.arange(start, start + len(distances), device=unit.device)[:, None]
        is_other = others[part] != own
        to_positives = distances.gather(1, others[part]).masked_fill_(~is_other, -FAR)
        far = torch.cat([others[part], own], dim=1)
        less_margin = distances - base if semihard else distances.sub_(base)
        if text is not None:
            less_margin.addmm_(text[0][part], text[1].T)
        less_margin.scatter_(1, far, FAR)
        of_positives, of_negatives = _counts(to_positives, less_margin)
        if semihard:
            nearer = _counts(to_positives, distances.scatter_(1, far, FAR), or_equal=True)
            of_positives, of_negatives = of_positives - nearer[0], of_negatives - nearer[1]
        active += of_positives.sum(dtype=torch.float64)
        total += _dot(of_positives, to_positives) - _dot(of_negatives, less_margin)
        if gradient is not None:
            weights = of_negatives.neg_().scatter_(1, others[part], of_positives)
            gradient[part].addmm_(weights, unit, alpha=-2)
            gradient.addmm_(weights.T, unit[part], alpha=-2)
    return total.to(unit.dtype), active.to(unit.dtype), gradient
