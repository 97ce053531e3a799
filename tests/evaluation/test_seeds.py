"""Means, intervals and differences over seeds, against scipy and by hand."""

import json
import math
from statistics import mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lookalike.evaluation.seeds import compare_over_seeds, estimate

FIGURES = st.lists(st.integers(0, 1000).map(lambda count: count / 1000), min_size=2, max_size=8)


def test_by_hand() -> None:
    """Mean 2, deviation 1, error 1 / sqrt(3), t of 2 degrees 4.3027: 2 ± 2.4841; t = 3.4641, p 0.0742."""
    found = estimate([1, 2, 3])
    assert (found.mean, found.low, found.high) == pytest.approx((2, -0.4841, 4.4841), abs=1e-4)
    assert found.p == pytest.approx(0.0742, abs=1e-4)
    assert found.half_width == pytest.approx(2.4841, abs=1e-4)


@given(FIGURES)
def test_is_the_t_test_of_scipy(values: list[float]) -> None:
    found = estimate(values)
    if np.ptp(values) == 0:
        assert found.mean == pytest.approx(values[0]) and math.isnan(found.low) and math.isnan(found.p)
        return
    test = stats.ttest_1samp(values, 0)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(test.pvalue)


def test_one_seed_says_nothing_of_the_next() -> None:
    found = compare_over_seeds({"a": {0: 0.5}, "b": {0: 0.9}}, "a")
    assert math.isnan(found["b"].over_seeds.low) and not found["b"].best
    difference = found["b"].difference
    assert difference is not None and difference.mean == pytest.approx(0.4) and math.isnan(difference.p)
    said = json.loads(json.dumps(found["b"].to_dict(), allow_nan=False))
    assert said["interval"] is None and said["difference"]["interval"] is None and said["difference"]["p"] is None


def test_differences_are_paired_by_seed() -> None:
    """The seeds vary by far more than the rows differ: only the pairs show it."""
    low = {0: 0.1, 1: 0.5, 2: 0.9}
    high = {2: 0.921, 0: 0.12, 1: 0.522}
    found = compare_over_seeds({"low": low, "high": high}, "low")
    difference = found["high"].difference
    assert difference is not None
    assert difference.mean == pytest.approx(0.021) and difference.low > 0.01 and difference.p < 0.001
    assert found["high"].over_seeds.low < mean(low.values())  # unpaired, nothing would be seen
    assert found["low"].difference is None
    assert found["high"].best and not found["low"].best


def test_best_must_beat_every_row() -> None:
    one, other = {0: 0.80, 1: 0.81, 2: 0.83}, {0: 0.81, 1: 0.80, 2: 0.82}
    base = {0: 0.1, 1: 0.12, 2: 0.11}
    found = compare_over_seeds({"base": base, "one": one, "other": other}, "base")
    assert not any(row.best for row in found.values())
    differences = [found[name].difference for name in ("one", "other")]
    assert all(difference is not None and difference.low > 0 for difference in differences)
    assert compare_over_seeds({"base": base, "one": one}, "base")["one"].best
    assert not compare_over_seeds({"base": base}, "base")["base"].best  # nobody to beat


def test_only_common_seeds_are_paired() -> None:
    found = compare_over_seeds({"a": {0: 0.1, 1: 0.2, 2: 0.6}, "b": {1: 0.3, 2: 0.5}, "c": {7: 0.5}}, "a")
    difference = found["b"].difference
    assert difference is not None and difference.mean == pytest.approx(0.0)
    assert found["c"].difference is None
    assert all(row.difference is None for row in compare_over_seeds({"b": {1: 0.3}}, "a").values())


@given(st.lists(st.integers(0, 100), min_size=3, max_size=5, unique=True))
def test_a_row_is_never_better_than_itself(counts: list[int]) -> None:
    values = {seed: count / 100 for seed, count in enumerate(counts)}
    found = compare_over_seeds({"a": values, "b": dict(values)}, "a")
    assert not found["a"].best and not found["b"].best
    assert found["b"].difference is not None and found["b"].difference.mean == 0
