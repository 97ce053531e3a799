"""P x K batches: P classes, K images of each."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassBatches:
    """Batches of row numbers with P classes and K images of each; every image is used in every epoch.

    A class with fewer than K images repeats them; one with more gives several groups of K. The images of a group come
    from as many domains as the class has, so that a loss sees pairs across domains.

    Args:
        labels: [N] class numbers; items with -1 are left out.
        num_classes: P, classes in a batch.
        num_images: K, images of each class in a batch.
        seed: the batches follow from seed and epoch alone.
        domains: [N] domain names, if the items have any.
    """

    labels: np.ndarray
    num_classes: int
    num_images: int
    seed: int
    domains: list[str] | None = None

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch, each an int64 array of row numbers."""
        rng = np.random.default_rng([self.seed, number])
        groups = {label: self._groups(rows, rng) for label, rows in self._rows_by_class().items()}
        while len(groups) >= self.num_classes:
            # Classes with more groups left are drawn more often, so that they do not pile up at the end.
            left = np.array([len(group) for group in groups.values()], dtype=np.float64)
            drawn = rng.choice(list(groups), self.num_classes, replace=False, p=left / left.sum())
            yield np.concatenate([self._take(groups, label) for label in drawn])
        yield from self._rest(groups, rng)

    def __len__(self) -> int:
        """Batches of an epoch, about: chance decides how many are left to the last few classes."""
        return sum(1 for _ in self.epoch(0))

    def _rest(self, groups: dict[int, list[np.ndarray]], rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The groups of the last few classes, filled up with other classes: a batch of one class is no use."""
        rows_by_class = self._rows_by_class()
        while groups:
            drawn = list(groups)
            batch = [self._take(groups, label) for label in drawn]
            others = [label for label in rows_by_class if label not in drawn]
            fill = rng.permutation(others)[: self.num_classes - len(drawn)]
            batch += [self._groups(rows_by_class[label], rng)[0] for label in fill]
            yield np.concatenate(batch)

    def _rows_by_class(self) -> dict[int, np.ndarray]:
        order = np.argsort(self.labels, kind="stable")
        classes, starts = np.unique(self.labels[order], return_index=True)
        pieces = np.split(order, starts[1:])
        # Not strict: of no items at all, np.split makes one empty piece.
        return {int(label): rows for label, rows in zip(classes, pieces, strict=False) if label >= 0}

    def _groups(self, rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        rows = self._interleave_domains(rng.permutation(rows))
        missing = -len(rows) % self.num_images
        if missing:
            rows = np.concatenate([rows, np.resize(rows, missing)])
        return list(rows.reshape(-1, self.num_images))

    def _interleave_domains(self, rows: np.ndarray) -> np.ndarray:
        if self.domains is None:
            return rows
        by_domain: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            by_domain[self.domains[row]].append(row)
        # The i-th image of n of a domain goes to place i/n, so that each domain is spread over the whole row.
        places = np.array([(i + 0.5) / len(part) for part in by_domain.values() for i in range(len(part))])
        return np.concatenate(list(by_domain.values()))[np.argsort(places, kind="stable")]

    @staticmethod
    def _take(groups: dict[int, list[np.ndarray]], label: int) -> np.ndarray:
        group = groups[label].pop()
        if not groups[label]:
            del groups[label]
        return group
