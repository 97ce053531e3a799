"""Weak labels: classes of items that nobody labeled, from their descriptions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import BisectingKMeans
from sklearn.neighbors import NearestNeighbors

from lookalike.errors import SideError, did_you_mean
from lookalike.side.cleaning import words

How = Literal["same_text", "near", "clusters"]
#: Two texts are near only if each is among so many nearest of the other: a text near to hundreds joins few of them.
NEIGHBORS = 10
#: Halvings of the distance that splits a class of too many texts; what is still together then is as good as equal.
TIGHTENINGS = 20


@dataclass(frozen=True)
class WeakLabels:
    """Classes made from descriptions, and what is to be known of them.

    Attributes:
        labels: int64 [N], class numbers 0..C-1, the largest class first; -1 for an item in no class.
        texts: [N], what they were made from.
    """

    labels: np.ndarray
    texts: Sequence[str | None]

    @property
    def sizes(self) -> np.ndarray:
        """int64 [C], items of each class, descending."""
        return np.bincount(self.labels[self.labels >= 0])

    @property
    def share_labeled(self) -> float:
        """Share of the items that are in a class, in [0, 1]."""
        return float((self.labels >= 0).mean())

    def texts_of(self, label: int, most: int | None = None) -> list[tuple[str, int]]:
        """The distinct texts of a class with how many items have each, the commonest first."""
        return Counter(str(self.texts[row]) for row in np.flatnonzero(self.labels == label).tolist()).most_common(most)

    def to_dict(self, classes: int = 10, texts: int = 5) -> dict[str, object]:
        """Counts, and examples: some classes from the largest to the smallest, each with its commonest texts."""
        sizes = self.sizes
        shown = np.unique(np.linspace(0, len(sizes) - 1, min(classes, len(sizes))).astype(int)).tolist()
        return {
            "items": len(self.labels),
            "labeled": int((self.labels >= 0).sum()),
            "classes": len(sizes),
            "sizes": {"min": int(sizes.min()), "median": float(np.median(sizes)), "max": int(sizes.max())},
            "examples": [
                {"class": label, "items": int(sizes[label]), "texts": dict(self.texts_of(label, texts))}
                for label in shown
            ],
        }


def weak_labels(
    texts: Sequence[str | None],
    vectors: np.ndarray | None = None,
    how: How = "same_text",
    *,
    similarity: float = 0.9,
    max_texts: int = 50,
    items_per_class: int = 20,
    smallest: int = 2,
    seed: int = 0,
) -> WeakLabels:
    """Classes of items whose descriptions say the same.

    The idea is of Zhao et al. (arXiv 1909.12939: descriptions define fine-grained classes implicitly [paper]); the
    three ways to make them are [ours]:

    - same_text: the same words, in whatever order, case and punctuation.
    - near: connected parts of the graph that joins two texts if their similarity is at least `similarity` and each is
      among the 10 nearest of the other. Such parts grow into chains (a - b - c, a unlike c), so one of more than
      `max_texts` distinct texts is taken apart again: of its edges only those of half the distance stay, and so on.
    - clusters: k-means, bisecting, with one cluster per `items_per_class` items.

    The last two look at the vectors' differences from their mean: descriptions of one shop share most of their words,
    so that all their vectors point one way. Equal vectors are always in one class, and an item without a word in none.

    Args:
        texts: [N] descriptions.
        vectors: [N, T], their vectors, zeros where a text holds no word; not needed for same_text.
        how: as above.
        similarity: cosine of the centered vectors, in (0, 1); for near.
        max_texts: at least 1; for near.
        items_per_class: on average, at least 1; for clusters.
        smallest: classes of fewer items are dissolved (-1), since alone an item has no positive.
        seed: of k-means; the same seed gives the same classes.

    Raises:
        SideError: there is no such way, a setting is out of range, the vectors are missing or do not fit the texts, or
            not one class comes out.
    """
    if how not in get_args(How):
        raise SideError(f"there is no way {how!r} to make weak labels.{did_you_mean(how, get_args(How))}")
    if not 0 < similarity < 1 or min(max_texts, items_per_class, smallest) < 1:
        raise SideError(
            f"weak labels need a similarity between 0 and 1, not {similarity}, and max_texts, items_per_class and "
            f"smallest of at least 1, not {max_texts}, {items_per_class}, {smallest}"
        )
    if how == "same_text":
        groups = _same_text(texts)
    elif vectors is None or vectors.ndim != 2 or len(vectors) != len(texts):
        shape = None if vectors is None else vectors.shape
        raise SideError(f"weak labels by {how!r} need vectors [{len(texts)}, T] of the texts, not {shape}")
    else:
        points, place = _distinct(vectors)
        count = round((place >= 0).sum() / items_per_class)
        parts = _near(points, similarity, max_texts) if how == "near" else _clusters(points, count, seed)
        groups = np.where(place >= 0, parts[place], -1) if len(parts) else place
    labels = _largest_first(groups, smallest)
    if not (labels >= 0).any():
        raise SideError(
            f"no {smallest} descriptions are alike (weak_labels.how = {how!r}); choose another way "
            f"({', '.join(way for way in get_args(How) if way != how)}), or fill the text column"
        )
    return WeakLabels(labels, texts)


def _same_text(texts: Sequence[str | None]) -> np.ndarray:
    """int64 [N], a number for each bag of words; -1 for none."""
    bags = [tuple(sorted(words(text))) for text in texts]
    numbers = {bag: number for number, bag in enumerate(sorted(set(bags) - {()}))}
    return np.array([numbers.get(bag, -1) for bag in bags], dtype=np.int64)


def _distinct(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct vectors but zero, centered, as unit rows float32 [U, T]; and of each item its row, -1 for none."""
    distinct, place = np.unique(vectors, axis=0, return_inverse=True)
    known = distinct.any(axis=1)
    numbers = np.where(known, np.cumsum(known) - 1, -1)
    points = distinct[known].astype(np.float64)
    points -= points.mean(axis=0) if len(points) > 1 else 0
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    points = np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 1e-12)
    return points.astype(np.float32), numbers[place.ravel()]


def _near(points: np.ndarray, similarity: float, max_texts: int) -> np.ndarray:
    """int64 [U], connected parts of the graph of mutual neighbors, none of more than `max_texts` points."""
    if len(points) < 2:
        return np.zeros(len(points), dtype=np.int64)
    # Exact, in blocks: U x NEIGHBORS numbers are kept, never U x U.
    search = NearestNeighbors(n_neighbors=min(NEIGHBORS, len(points) - 1), algorithm="brute").fit(points)
    distances, neighbors = search.kneighbors()
    rows = np.repeat(np.arange(len(points)), neighbors.shape[1])
    cosines = csr_array((1 - distances.ravel() ** 2 / 2, (rows, neighbors.ravel())), shape=(len(points), len(points)))
    edges = cosines.minimum(cosines.T).tocoo()  # of what only one side has, the smaller is the 0 of the other
    least = np.full(len(points), similarity)  # of each point: its edges must have this
    parts = np.arange(len(points))
    for _ in range(TIGHTENINGS):
        kept = edges.data >= least[edges.row]
        graph = csr_array((edges.data[kept], (edges.row[kept], edges.col[kept])), shape=edges.shape)
        parts = connected_components(graph, directed=False)[1].astype(np.int64)
        too_large = np.bincount(parts)[parts] > max_texts
        if not too_large.any():
            break
        least[too_large] = (1 + least[too_large]) / 2
    return parts


def _clusters(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """int64 [U], a cluster for each point."""
    count = min(max(count, 2), len(points))
    if count < 2:
        return np.zeros(len(points), dtype=np.int64)
    return np.asarray(BisectingKMeans(count, random_state=seed).fit_predict(points), dtype=np.int64)


def _largest_first(groups: np.ndarray, smallest: int) -> np.ndarray:
    """Group numbers to 0..C-1 by falling size, groups of fewer than `smallest` items to -1."""
    found, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sizes = np.where((found >= 0) & (sizes >= smallest), sizes, 0)
    order = np.argsort(-sizes, kind="stable")
    numbers = np.empty(len(found), dtype=np.int64)
    numbers[order] = np.arange(len(found))
    return np.where(sizes > 0, numbers, -1)[place.ravel()]
