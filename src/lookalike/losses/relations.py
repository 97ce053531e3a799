"""Who is whose positive in a batch: the items of its class, or those whose texts are near its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Anchors(NamedTuple):
    """Some anchors of a batch at a time.

    Attributes:
        rows: which of the anchors they are.
        own: int64 [b, 1], their row numbers.
        positives: int64 [b, P], row numbers, filled up with the anchor's own where it has fewer.
        hidden: what is no negative of each: row numbers [b, H], or a mask [b, B].
        triplets: how many they have.
    """

    rows: slice
    own: Tensor
    positives: Tensor
    hidden: Tensor
    triplets: Tensor


@dataclass(frozen=True)
class SameClass:
    """Positives are the other items of the class, negatives the items of others; `labels` int64 [B].

    With `first` only the first so many items are anchors: A of them, else B.

    >>> positive, negative = SameClass(torch.tensor([7, 7, 9])).pairs()
    >>> positive.int().tolist(), negative[0].tolist()
    ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], [False, False, True])
    """

    labels: Tensor
    first: int | None = None

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Masks [A, B]: pairs of one class without an item and itself, and pairs of two classes."""
        same = self.labels[: self.first, None] == self.labels
        return same.clone().fill_diagonal_(False), ~same

    def order(self) -> Tensor:
        """The order of the batch in which `blocks` gives it: class by class."""
        return self.labels.argsort(stable=True)

    def anchors(self) -> Tensor | None:
        """Where in that order the anchors are; None: everywhere."""
        return None if self.first is None else (self.order() < self.first).nonzero().squeeze(1)

    def blocks(self, rows: int) -> Iterator[Anchors]:
        """The ordered batch by so many anchors at a time; no anchors if none has a positive."""
        _, sizes = self.labels.sort().values.unique_consecutive(return_counts=True)
        most = int(sizes.max()) - 1 if len(sizes) else 0
        if most < 1:
            return
        size = sizes.repeat_interleave(sizes)
        first = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        triplets = (size - 1) * (len(size) - size)
        numbers, anchors = torch.arange(len(size), device=sizes.device), self.anchors()
        if anchors is not None:
            numbers, size, first, triplets = anchors, size[anchors], first[anchors], triplets[anchors]
        ranks = torch.arange(most, device=sizes.device)
        for start in range(0, len(size), rows):
            part = slice(start, min(start + rows, len(size)))
            own = numbers[part, None]
            others = first[part, None] + ranks
            others += others >= own
            others = torch.where(ranks < size[part, None] - 1, others, own)
            yield Anchors(part, own, others, torch.cat([others, own], dim=1), triplets[part].sum())


@dataclass(frozen=True)
class NearTexts:
    """Positives are the items whose texts lie within `distance`, negatives those whose texts lie beyond it.

    An item without text (a row of zeros) is neither. `vectors` [B, T]; `distance` is squared, of unit rows. `first` as
    of SameClass.
    """

    vectors: Tensor
    distance: float
    first: int | None = None

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Masks [A, B] of positive and of negative pairs."""
        return self._of(*self._known(), slice(0, self._num_anchors))

    def order(self) -> None:
        """`blocks` gives the batch as it is."""

    def anchors(self) -> Tensor | None:
        """Where the anchors are; None: everywhere."""
        return None if self.first is None else torch.arange(self.first, device=self.vectors.device)

    def blocks(self, rows: int) -> Iterator[Anchors]:
        """The batch by so many anchors at a time; those of which none has a positive are left out."""
        unit, known = self._known()
        for start in range(0, self._num_anchors, rows):
            part = slice(start, min(start + rows, self._num_anchors))
            positive, negative = self._of(unit, known, part)
            counts = positive.sum(dim=1)
            if not (most := int(counts.max())):
                continue
            # The positives of each come first, in the order of the batch: False sorts before True.
            others = (~positive).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
            own = torch.arange(part.start, part.stop, device=unit.device)[:, None]
            others = torch.where(torch.arange(most, device=unit.device) < counts[:, None], others, own)
            yield Anchors(part, own, others, ~negative, (counts * negative.sum(dim=1)).sum())

    @property
    def _num_anchors(self) -> int:
        return len(self.vectors) if self.first is None else self.first

    def _known(self) -> tuple[Tensor, Tensor]:
        vectors = self.vectors.detach()
        unit = F.normalize(vectors if vectors.dtype == torch.float64 else vectors.float(), dim=1)
        return unit, unit.any(dim=1)

    def _of(self, unit: Tensor, known: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        near = 2 - 2 * unit[part] @ unit.T <= self.distance
        both = known[part, None] & known
        positive = near & both
        positive[:, part].fill_diagonal_(False)
        return positive, both & ~near


Relation = SameClass | NearTexts
