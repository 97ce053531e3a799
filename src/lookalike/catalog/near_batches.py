"""Batches of classes that are hard to tell apart: of one category, or with like descriptions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.catalog.groups import filled_up, group_images

#: Classes that are compared with each other all at once.
BLOCK = 2048
#: Class numbers [C], P and a generator to an order of 0..C-1 in which classes that belong together are neighbors.
Order = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class NeighborBatches:
    """Batches of P classes that are neighbors in an order, with K images of each.

    The order is drawn anew in every epoch and cut into batches, once for the first K images of each class, once for the
    next K of those that have more, and so on; the last batch of each cut is filled up with the classes that follow. The
    batches then come by chance, so that a network does not forget one category over another.

    Args:
        labels: int64 [N], class numbers; items with -1 are left out.
        num_classes: P, classes in a batch; all of them where there are fewer.
        num_images: K, images of each class in a batch.
        seed: the batches follow from seed and epoch alone.
        order: of the classes; `by_category` or `by_vectors`.
        domains: [N] domain names, if the items have any; spread over the images of a class.
    """

    labels: np.ndarray
    num_classes: int
    num_images: int
    seed: int
    order: Order
    domains: Sequence[str | None] | None = None

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch, each an int64 array of row numbers; a class's images stand together."""
        rng = np.random.default_rng([self.seed, number])
        groups = group_images(self.labels, self.num_images, rng, domains=self.domains)
        if not len(groups):
            return
        count = min(self.num_classes, groups.num_classes)
        order = self.order(groups.names, count, rng)
        place = np.argsort(order)
        batches = []
        for turn in range(int(groups.sizes.max())):
            cut = order[groups.sizes[order] > turn]
            for start in range(0, len(cut), count):
                chosen = cut[start : start + count]
                following = order[(place[chosen[-1]] + np.arange(1, count + 1)) % len(order)]
                batches.append(filled_up(groups.starts[chosen] + turn, groups, following, count, rng))
        for batch in rng.permutation(len(batches)):
            yield groups.rows[batches[batch]].ravel()

    def __len__(self) -> int:
        """Batches of an epoch."""
        counts = np.unique(self.labels[self.labels >= 0], return_counts=True)[1]
        sizes = -(-counts // self.num_images)
        # Of the cuts, the one for the next K images has the classes with at least so many groups.
        in_cut = len(sizes) - np.cumsum(np.bincount(sizes))[:-1]
        return int((-(-in_cut // max(1, min(self.num_classes, len(sizes))))).sum())


def by_category(categories: np.ndarray) -> Order:
    """Categories by chance, and by chance the classes in each.

    Args:
        categories: int64 [C], the category of each class.
    """

    def order(names: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        numbers = categories[names]
        chance = rng.permutation(int(numbers.max()) + 1)
        return np.lexsort((rng.random(len(names)), chance[numbers]))

    return order


def by_vectors(vectors: np.ndarray) -> Order:
    """A class by chance and those most like it, P in all; of the others again one by chance; and so on.

    Of more than 2,048 classes it is only nearly so: they are halved first, again and again, by two that are not alike.

    Args:
        vectors: float32 [C, T], unit rows; how like two classes are is their inner product.
    """

    def order(names: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        blocks = _halves(rng.permutation(len(names)), vectors[names], count, rng)
        return np.concatenate([_nearest_first(block, vectors[names[block]], count) for block in blocks])

    return order


def _halves(rows: np.ndarray, vectors: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    if len(rows) <= max(BLOCK, 2 * count):
        return [rows]
    one = vectors[rows[0]]
    other = vectors[rows[np.argmin(vectors[rows] @ one)]]
    sorted_rows = rows[np.argsort(vectors[rows] @ (other - one), kind="stable")]
    half = count * round(len(rows) / 2 / count)  # so that no batch lies in both
    return [
        block
        for part in (sorted_rows[:half], sorted_rows[half:])
        for block in _halves(rng.permutation(part), vectors, count, rng)
    ]


def _nearest_first(block: np.ndarray, vectors: np.ndarray, count: int) -> np.ndarray:
    alike = vectors @ vectors.T
    left = np.arange(len(block))
    ordered = []
    while len(left):
        # The first one left is by chance; it is the nearest to itself whatever its vector.
        nearest = np.argsort(-alike[left[0], left[1:]], kind="stable")[: count - 1] + 1
        ordered.append(left[np.r_[0, nearest]])
        left = np.delete(left, np.r_[0, nearest])
    return block[np.concatenate(ordered)]
