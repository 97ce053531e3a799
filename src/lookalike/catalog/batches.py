"""Batches of row numbers: P classes, K images of each; or any rows.

All samplers keep to this: an epoch follows from seed and number alone, so that a resumed run goes on as the first would
have and every process of a distributed run can draw the same batches and take its part; every labeled image is used in
every epoch; all batches of an epoch have the same size; and there are exactly `len()` of them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lookalike.catalog.groups import Groups, filled_up, group_images


class Batches(Protocol):
    """What a sampler is."""

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch, each an int64 array of row numbers."""

    def __len__(self) -> int:
        """Batches of an epoch."""


@dataclass(frozen=True)
class ClassBatches:
    """Batches of P classes drawn by chance, with K images of each.

    A class with fewer than K images repeats them; one with more gives several groups of K, in different batches. The
    images of a group come from as many domains as the class has, so that a loss sees pairs across domains. A class with
    more groups than there would be batches makes more batches, filled up with other classes.

    Args:
        labels: int64 [N], class numbers; items with -1 are left out.
        num_classes: P, classes in a batch; all of them where there are fewer.
        num_images: K, images of each class in a batch.
        seed: the batches follow from seed and epoch alone.
        domains: [N] domain names, if the items have any.
        balanced: the domains of a class have equal parts in what is drawn of it (as equal as the classes allow in every
            batch), so that images of its rarer domains come again; else each image comes once, as nearly as K allows.
    """

    labels: np.ndarray
    num_classes: int
    num_images: int
    seed: int
    domains: Sequence[str | None] | None = None
    balanced: bool = False

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch, each an int64 array of row numbers; a class's images stand together."""
        rng = np.random.default_rng([self.seed, number])
        groups = self._groups(rng)
        count = min(self.num_classes, groups.num_classes)
        for number, batch in enumerate(_spread(groups, count, rng)):
            # Of the next P classes at least as many as are missing are not there yet.
            following = groups.class_order[(number * count + np.arange(count)) % groups.num_classes]
            chosen = filled_up(batch[batch >= 0], groups, following, count, rng)
            yield groups.rows[rng.permutation(chosen)].ravel()

    def __len__(self) -> int:
        """Batches of an epoch."""
        groups = self._groups(np.random.default_rng(self.seed))
        return _num_batches(groups, min(self.num_classes, groups.num_classes))

    def _groups(self, rng: np.random.Generator) -> Groups:
        return group_images(self.labels, self.num_images, rng, domains=self.domains, balanced=self.balanced)


@dataclass(frozen=True)
class RandomBatches:
    """Batches of rows drawn by chance, for losses that compare images with classes alone.

    Args:
        labels: int64 [N], class numbers; items with -1 are left out.
        size: of a batch; the last one is filled up with rows of the first.
        seed: the batches follow from seed and epoch alone.
    """

    labels: np.ndarray
    size: int
    seed: int

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch, each an int64 array of row numbers."""
        rows = np.random.default_rng([self.seed, number]).permutation(np.flatnonzero(self.labels >= 0))
        yield from np.resize(rows, (len(self), min(self.size, len(rows))))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return math.ceil(int((self.labels >= 0).sum()) / self.size)


def _num_batches(groups: Groups, count: int) -> int:
    return max(math.ceil(len(groups) / count), int(groups.sizes.max())) if len(groups) else 0


def _spread(groups: Groups, count: int, rng: np.random.Generator) -> np.ndarray:
    """Groups dealt out to batches, at most one of a class to each: numbers of groups [batches, count], -1 for none.

    The groups lie class by class and are dealt out in rounds, one to each batch (McNaughton's rule for jobs on
    machines, 1959). A class has at most as many groups as there are batches, so it meets itself only where it goes on
    from one round to the next; there it takes batches it has not been in.
    """
    batches = _num_batches(groups, count)
    slots = np.full((batches, count), -1, dtype=np.int64)
    ordered = groups.in_order(groups.class_order)
    classes = groups.classes[ordered]
    for turn, start in enumerate(range(0, len(ordered), max(batches, 1))):
        dealt = ordered[start : start + batches]
        places = rng.permutation(batches)
        if turn:
            been = slots[:, turn - 1]
            met = np.zeros(batches, dtype=bool)
            met[been >= 0] = groups.classes[been[been >= 0]] == classes[start]
            straddling = int((classes[start : start + batches] == classes[start]).sum())
            first = places[~met[places]][:straddling]
            places = np.concatenate([first, places[~np.isin(places, first)]])
        slots[places[: len(dealt)], turn] = dealt
    return slots
