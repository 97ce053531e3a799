"""The images of each class in groups of K: what batches of classes are put together from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Groups:
    """Groups of K images of one class, class by class.

    Attributes:
        rows: int64 [G, K], row numbers.
        classes: int64 [G], the class of each group, counted from 0 over those that have images; ascending.
        sizes: int64 [C], groups of each class.
        class_order: int64 [C], the classes by chance, those of the same domains next to each other if balanced.
        names: int64 [C], the number of each class in the labels.
    """

    rows: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray
    class_order: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_classes(self) -> int:
        """C, classes that have images."""
        return len(self.sizes)

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 [C], the first group of each class."""
        return np.asarray(np.cumsum(self.sizes) - self.sizes)

    def in_order(self, classes: np.ndarray) -> np.ndarray:
        """The numbers of all groups, class by class in this order of classes."""
        sizes = self.sizes[classes]
        return np.asarray(np.repeat(self.starts[classes], sizes) + _counted(sizes))


def group_images(
    labels: np.ndarray,
    num_images: int,
    rng: np.random.Generator,
    *,
    domains: Sequence[str | None] | None = None,
    balanced: bool = False,
) -> Groups:
    """The labeled rows in groups of K of a class, by chance; the last group of a class repeats images if it must.

    The domains of a class are spread over its groups evenly; balanced, they take turns, and the rarer ones repeat
    their images until the most frequent one is through.
    """
    rows = np.flatnonzero(labels >= 0)
    rows = rows[rng.permutation(len(rows))]
    names, classes = np.unique(labels[rows], return_inverse=True)
    domain = np.zeros(len(rows), dtype=np.int64)
    if domains is not None:
        domain = np.unique([str(domains[row]) for row in rows.tolist()], return_inverse=True)[1].astype(np.int64)
    order = np.lexsort((domain, classes))
    rows, classes, domain = rows[order], classes[order], domain[order]
    # A cell is a domain of a class.
    begins = np.flatnonzero(np.r_[True, (np.diff(classes) != 0) | (np.diff(domain) != 0)][: len(rows)])
    lengths = np.diff(np.r_[begins, len(rows)])
    class_of_cell = classes[begins]
    if balanced:
        rows, classes, place = _in_turns(rows, begins, lengths, class_of_cell)
    else:
        # The i-th image of n of a domain goes to place i/n, so that each domain is spread over the whole row.
        place = (_counted(lengths) + 0.5) / np.repeat(lengths, lengths)
    rows = rows[np.lexsort((place, classes))]
    counts = np.bincount(classes, minlength=len(names))
    sizes = -(-counts // num_images)
    slots = sizes * num_images
    firsts = np.cumsum(counts) - counts
    filled = rows[np.repeat(firsts, slots) + _counted(slots) % np.repeat(counts, slots)]
    chance = rng.permutation(len(names))
    if balanced:
        chance = chance[np.argsort(_domain_sets(class_of_cell, domain[begins], len(names))[chance], kind="stable")]
    return Groups(filled.reshape(-1, num_images), np.repeat(np.arange(len(names)), sizes), sizes, chance, names)


def filled_up(
    batch: np.ndarray, groups: Groups, following: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """A batch with too few classes, filled up with groups of others.

    Args:
        batch: numbers of groups of different classes.
        groups: of all classes.
        following: classes to take from, in this order; enough of them are not in the batch.
        count: classes wanted.
        rng: says which group of a class.

    Returns:
        Numbers of `count` groups of different classes.
    """
    others = following[~np.isin(following, groups.classes[batch])][: count - len(batch)]
    return np.concatenate([batch, groups.starts[others] + rng.integers(groups.sizes[others])])


def _in_turns(
    rows: np.ndarray, begins: np.ndarray, lengths: np.ndarray, class_of_cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every domain of a class as often as its largest one: rows, their classes and their places in the class."""
    num_classes = int(class_of_cell[-1]) + 1 if len(class_of_cell) else 0
    longest = np.zeros(num_classes, dtype=np.int64)
    np.maximum.at(longest, class_of_cell, lengths)
    repeats = longest[class_of_cell]
    turn = _counted(repeats)
    chosen = rows[np.repeat(begins, repeats) + turn % np.repeat(lengths, repeats)]
    cells = np.bincount(class_of_cell, minlength=num_classes)
    cell_in_class = np.repeat(_counted(cells), repeats)
    place = turn + cell_in_class / np.repeat(cells[class_of_cell], repeats)
    return chosen, np.repeat(class_of_cell, repeats), place


def _domain_sets(class_of_cell: np.ndarray, domain: np.ndarray, num_classes: int) -> np.ndarray:
    """A number for the set of domains each class has."""
    sets: list[tuple[int, ...]] = [() for _ in range(num_classes)]
    for number, name in zip(class_of_cell.tolist(), domain.tolist(), strict=True):
        sets[number] = (*sets[number], name)
    numbers = {key: number for number, key in enumerate(sorted(set(sets)))}
    return np.array([numbers[key] for key in sets], dtype=np.int64)


def _counted(sizes: np.ndarray) -> np.ndarray:
    """0, 1, .. n - 1 for each n."""
    return np.asarray(np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes))
