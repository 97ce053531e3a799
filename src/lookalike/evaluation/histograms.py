"""How similar items of one class and of two are, and how densely each class lies."""

from typing import Any

import numpy as np

#: Of cosines from -1 to 1, and of densities from 0 to 1.
BINS = {"cosine": 80, "density": 25}
#: Items whose pairs are counted: whole classes drawn until there are so many.
ITEMS = 5000
#: Classes whose density is told, and items of each: more are drawn from.
CLASSES, ITEMS_OF_CLASS = 2000, 200
#: Of the kernel of the density, a distance: that of `losses.DensityPenalty`.
BANDWIDTH = 0.5


def similarities(embeddings: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Histograms of the cosines of pairs of different items, of the same class and of different classes.

    Args:
        embeddings: float32 [N, D], no row of them zero.
        labels: int64 [N], none below 0.
        seed: of the classes drawn.

    Returns:
        Shares by bin (of each kind their sum is 1), and the mean cosine of each kind; None where there is no
        such pair.
    """
    rows = _whole_classes(labels, seed)
    unit, numbers = _unit(embeddings[rows]), labels[rows]
    counts, sums = np.zeros((2, BINS["cosine"]), dtype=np.int64), np.zeros(2)
    for start in range(0, len(rows), 500):
        part = slice(start, start + 500)
        cosines = unit[part] @ unit[start:].T
        # Each pair once: the columns from the block's first row on, above the diagonal.
        above = np.triu(np.ones(cosines.shape, dtype=bool), 1)
        same = numbers[part, None] == numbers[start:]
        for kind, chosen in enumerate((same & above, ~same & above)):
            counts[kind] += np.histogram(cosines[chosen].clip(-1, 1), BINS["cosine"], (-1, 1))[0]
            sums[kind] += cosines[chosen].sum(dtype=np.float64)
    found: dict[str, Any] = {"items": len(rows)}
    for kind, name in enumerate(("same", "different")):
        total = int(counts[kind].sum())
        found[name] = (counts[kind] / total).round(6).tolist() if total else None
        found[f"{name}_mean"] = float(sums[kind] / total) if total else None
    return found


def class_densities(embeddings: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Histogram of the densities of the classes of at least two items.

    The density of a class is the mean of e^(-|x_i - x_j|^2 / (2 h^2)) over its pairs of unit rows, h = `BANDWIDTH`: 1
    where all are one point, and near 0 where none has another near it.

    Args:
        embeddings: float32 [N, D], no row of them zero.
        labels: int64 [N], none below 0.
        seed: of the classes and items drawn where there are many.

    Returns:
        Shares by bin, the mean and the number of classes; None as shares where no class has two items.
    """
    densities = np.array([_density(_unit(embeddings[rows])) for rows in _classes_of_several(labels, seed)])
    if not len(densities):
        return {"classes": 0, "shares": None, "mean": None}
    shares = np.histogram(densities, BINS["density"], (0, 1))[0] / len(densities)
    return {"classes": len(densities), "shares": shares.round(6).tolist(), "mean": float(densities.mean())}


def _density(unit: np.ndarray) -> float:
    kernel = np.exp(np.minimum(unit @ unit.T - 1, 0) / BANDWIDTH**2)
    np.fill_diagonal(kernel, 0)
    return min(1.0, float(kernel.sum(dtype=np.float64)) / (len(unit) * (len(unit) - 1)))


def _classes_of_several(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    classes = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    several = [rows[:ITEMS_OF_CLASS] for rows in classes if len(rows) > 1]
    return [several[place] for place in rng.permutation(len(several))[:CLASSES]]


def _whole_classes(labels: np.ndarray, seed: int) -> np.ndarray:
    """Rows of classes in random order, at most `ITEMS`: so that pairs of one class stay as frequent as they are."""
    _, numbers, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    places = np.random.default_rng(seed).permutation(len(sizes))
    return np.argsort(places[numbers], kind="stable")[:ITEMS]


def _unit(embeddings: np.ndarray) -> np.ndarray:
    rows: np.ndarray = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return rows
