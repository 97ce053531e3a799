"""Confidence intervals by resampling classes: queries of one class stand or fall together."""

import numpy as np

RESAMPLES = 2000


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
    counts = np.bincount(numbers).astype(np.float64)
    if len(counts) < 2:
        return float("nan"), float("nan")
    sums = np.bincount(numbers, weights=values)
    classes = len(counts)
    drawn = np.random.default_rng(seed).multinomial(classes, np.full(classes, 1 / classes), size=RESAMPLES)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
