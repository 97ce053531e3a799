"""Confidence intervals by resampling classes: queries of one class stand or fall together. And paired comparison."""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 2000
#: Flips of all signs: the smallest p there can be is 1 / (FLIPS + 1).
FLIPS = 9999
#: Numbers drawn at one time, 8 Mi.
DRAWN = 2**23


def class_bootstrap(
    values: np.ndarray, labels: np.ndarray, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of `values` when the classes are drawn anew.

    Args:
        values: float [Q], one per query.
        labels: [Q], the class of each query.
        level: share of the resamples inside.
        seed: of the resampling.

    Returns:
        (low, high): the percentile interval. With a single class it is as wide as can be said: (nan, nan).
    """
    _, numbers = np.unique(labels, return_inverse=True)
    return bootstrap(np.bincount(numbers, weights=values), np.bincount(numbers), level=level, seed=seed)


def bootstrap(sums: np.ndarray, counts: np.ndarray, *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Interval of sum(sums) / sum(counts) when the units, float [C] each, are drawn anew; (nan, nan) for one unit."""
    if len(sums) < 2:
        return float("nan"), float("nan")
    units, rng = len(sums), np.random.default_rng(seed)
    means = []
    for size in _chunks(RESAMPLES, units):
        drawn = rng.integers(units, size=(size, units), dtype=np.int32)
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def sign_flip_p(gains: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> float:
    """Two-sided p-value of a mean gain: how often it is as large if which model is which were chance in every class.

    The paired permutation test with all queries of a class flipped together; p = (1 + those as large) / (1 + FLIPS)
    [Phipson and Smyth 2010], so never 0. Two models that answer alike get 1.

    Args:
        gains: float [Q], one model minus the other on each query.
        labels: [Q], the class of each query; all different for a test by query.
        seed: of the flips.
    """
    _, numbers = np.unique(labels, return_inverse=True)
    sums = np.bincount(numbers, weights=gains)
    seen, rng = abs(sums.sum()), np.random.default_rng(seed)
    as_large = 0
    for size in _chunks(FLIPS, len(sums)):
        flipped = np.where(rng.integers(2, size=(size, len(sums)), dtype=np.int8), sums, -sums).sum(axis=1)
        as_large += int((abs(flipped) >= seen * (1 - 1e-9)).sum())  # the same sum in another order is as large
    return (1 + as_large) / (1 + FLIPS)


def _chunks(rows: int, columns: int) -> Iterator[int]:
    step = max(1, DRAWN // columns)
    for start in range(0, rows, step):
        yield min(step, rows - start)
