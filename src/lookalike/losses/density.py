"""DensityPenalty: keeps classes from collapsing to points; and how dense each class of a batch is."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.pairs import unit_rows

#: Rows compared at a time with the others of their classes.
BLOCK_ROWS = 256


class DensityPenalty(Loss):
    r"""Pushes the items of a class apart where they lie denser than a limit.

    A regularizer, to be added to any loss that draws each class to a point and so forgets how its items differ. Needs
    batches with several items of a class.

    .. math::
        \rho_c = \frac{1}{n_c (n_c - 1)} \sum_{i \ne j \in c} e^{-\|x_i - x_j\|^2 / (2 h^2)} \qquad
        L = \frac{1}{|K|} \sum_{c \in K} [\rho_c - \rho_{max}]_+^2

    in formula | in code     | what it is, shape, unit, range
    x          | embeddings  | (batch, dim), any length: rows are made unit length here
    rho_max    | max_density | in [0, 1]; 1: no penalty
    h          | bandwidth   | > 0, a distance: pairs much nearer than it count fully
    K          |             | the classes with at least two items in the batch

    Needs: labels.
    Terms: "density", in [0, 1]; 0 if no class has two items.
    Raises: LossInputError: a setting out of range.
    Cost: time O(B D (n + 256)) for n items in the largest class, memory O(B (n + 256)).
    Relations: DensityAwareLineLoss has it as a term.
    Source: density adaptivity as a regularizer, Li et al., arXiv 1909.03909 [related]; this kernel, the limit and its
    start values [ours].

    >>> together, apart = torch.ones(2, 2), torch.eye(2)
    >>> loss, labels = DensityPenalty(max_density=0.6), torch.tensor([0, 0])
    >>> [round(loss(embeddings, labels).item(), 2) for embeddings in (together, apart)]
    [0.16, 0.0]
    """

    def __init__(self, max_density: float = 0.6, bandwidth: float = 0.5) -> None:
        super().__init__()
        check_ranges(max_density=(max_density, 0, 1), bandwidth=(bandwidth, 1e-3, math.inf))
        self.max_density, self.bandwidth = max_density, bandwidth

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """How far the classes of the batch are above the limit, squared."""
        labels, unit = check_batch(embeddings, labels), unit_rows(embeddings)
        groups = Groups.of(labels)
        return {"density": crowding(groups, densities(unit, groups, self.bandwidth), self.max_density)}


class Groups(NamedTuple):
    """The K classes of a batch."""

    classes: Tensor  # int64 [K], their numbers
    of_item: Tensor  # int64 [B], in 0..K-1
    sizes: Tensor  # int64 [K], at least 1

    @classmethod
    def of(cls, labels: Tensor) -> "Groups":
        """The classes of these labels."""
        return cls(*labels.unique(return_inverse=True, return_counts=True))

    @property
    def several(self) -> Tensor:
        """Which have at least two items: bool [K]."""
        return self.sizes > 1

    def sums(self, values: Tensor) -> Tensor:
        """Sums over the items [B, ...] of each class: [K, ...]."""
        return values.new_zeros(len(self.classes), *values.shape[1:]).index_add(0, self.of_item, values)

    def means(self, values: Tensor) -> Tensor:
        """Means over the items [B, ...] of each class: [K, ...]."""
        return self.sums(values) / self.sizes.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))

    def mean_of_several(self, values: Tensor) -> Tensor:
        """The mean of `values` [K] over the classes of at least two items: scalar, 0 if there is none."""
        return torch.where(self.several, values, 0).sum() / self.several.sum().clamp_min(1)


def densities(unit: Tensor, groups: Groups, bandwidth: float, block: int = BLOCK_ROWS) -> Tensor:
    """rho of each class, from unit rows [B, D]: [K] in [0, 1], 0 where a class has fewer than two items.

    A row without length counts as at right angles to all. Only blocks of `block` rows in order of their classes are
    compared with the classes in them, so that B x B need not exist.
    """
    order = groups.of_item.argsort(stable=True)
    unit, group = unit[order], groups.of_item[order]
    ends = groups.sizes.cumsum(0)
    numbers, begins = torch.arange(len(unit), device=unit.device), range(0, len(unit), block)
    first = (ends - groups.sizes)[group[::block]].tolist() if len(begins) > 1 else [0]
    last = [*(ends[group[block - 1 :: block]].tolist() if len(begins) > 1 else []), len(unit)]
    sums = [unit.sum(dim=1)[:0]]
    for begin, left, right in zip(begins, first, last, strict=False):
        rows, others = slice(begin, begin + block), slice(left, right)
        kernel = ((unit[rows] @ unit[others].T - 1) / bandwidth**2).clamp_max(0).exp()
        counts = (group[rows, None] == group[others]) & (numbers[rows, None] != numbers[others])
        sums.append((kernel * counts).sum(dim=1))
    pairs = (groups.sizes * (groups.sizes - 1)).clamp_min(1)
    return unit.new_zeros(len(ends)).index_add(0, group, torch.cat(sums)) / pairs


def crowding(groups: Groups, densities: Tensor, max_density: float) -> Tensor:
    """The mean over the classes of at least two items of [rho - rho_max]_+^2."""
    return groups.mean_of_several((densities - max_density).relu().square())


class RunningDensities(nn.Module):
    """The densities of C classes, for batches that hold one item of a class: the running mean, kept while training.

    A class never seen with two items has density 1, so that what is not known adds no margin.
    """

    densities: Tensor

    def __init__(self, num_classes: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("densities", torch.ones(num_classes))

    @torch.no_grad()
    def forward(self, groups: Groups, densities: Tensor) -> Tensor:
        """Those of the batch [K] where a class has at least two items in it, else the running ones; no gradient."""
        known = self.densities[groups.classes]
        now = densities.to(known.dtype)
        if self.training:
            # Only equal points have density 1, so 1 stands for "not seen yet": the first density replaces it.
            mixed = torch.where(known == 1, now, self.momentum * known + (1 - self.momentum) * now)
            self.densities.index_copy_(0, groups.classes, torch.where(groups.several, mixed, known))
        return torch.where(groups.several, now, known)


def check_ranges(**settings: tuple[float, float, float]) -> None:
    """Refuse a setting outside its range: name=(value, least, most); infinity is in no range."""
    for name, (value, least, most) in settings.items():
        if not (least <= value <= most and math.isfinite(value)):
            up_to = f"in [{least:g}, {most:g}]" if math.isfinite(most) else f"at least {least:g}"
            raise LossInputError(f"{name} must be {up_to}, not {value}")
