"""Runs that differ in their seed: means with intervals over seeds, differences to a baseline, and who is best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        low: of the 95 % interval by Student's t; NaN where the values show no spread: a single one, or all the same.
        high: the same.
        p: two-sided, that the mean is 0; NaN likewise.
    """

    mean: float
    low: float
    high: float
    p: float

    @property
    def half_width(self) -> float:
        """The mean is known to plus or minus this."""
        return self.high - self.mean

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON, which knows no NaN."""
        return {"mean": self.mean, "interval": None if math.isnan(self.low) else [self.low, self.high]}


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, t interval and t test of one value a seed."""
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    mean, degrees = float(x.mean()), len(x) - 1
    # Differences of equal figures differ by rounding: no spread either.
    if np.ptp(x) < 1e-12:
        return Estimate(mean, math.nan, math.nan, math.nan)
    error = float(x.std(ddof=1)) / math.sqrt(len(x))
    half = float(stats.t.ppf((1 + LEVEL) / 2, degrees)) * error
    return Estimate(mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, degrees)))


@dataclass(frozen=True)
class Compared:
    """One metric of one row of a comparison.

    Attributes:
        values: by seed.
        over_seeds: of these values.
        difference: to the baseline, paired by seed; None for the baseline itself, or without a common seed.
        best: whether the 95 % intervals of its paired differences to all other rows lie above 0.
    """

    values: dict[int, float]
    over_seeds: Estimate
    difference: Estimate | None
    best: bool

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        difference = self.difference
        return {
            **self.over_seeds.to_dict(),
            "values": {str(seed): value for seed, value in self.values.items()},
            "difference": difference
            and difference.to_dict() | {"p": None if math.isnan(difference.p) else difference.p},
            "best": self.best,
        }


def compare_over_seeds(rows: Mapping[str, Mapping[int, float]], baseline: str) -> dict[str, Compared]:
    """Compare rows of one metric, higher being better; each holds a value by seed.

    "Best" asks a row to win against every other one, so it needs no correction for their number: a row without an
    advantage wins all of its tests no more often than one of them.
    """
    return {
        name: Compared(
            dict(values),
            estimate(list(values.values())),
            None if name == baseline else _difference(values, rows.get(baseline, {})),
            len(rows) > 1 and all(_above(values, other) for key, other in rows.items() if key != name),
        )
        for name, values in rows.items()
    }


def _difference(one: Mapping[int, float], other: Mapping[int, float]) -> Estimate | None:
    common = [seed for seed in one if seed in other]
    return estimate([one[seed] - other[seed] for seed in common]) if common else None


def _above(one: Mapping[int, float], other: Mapping[int, float]) -> bool:
    found = _difference(one, other)
    return found is not None and found.low > 0
