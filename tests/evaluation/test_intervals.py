"""Intervals by resampling classes: they cover the truth, and are as wide as they must be."""

import math

import numpy as np
import pytest
from scipy import stats

from lookalike.errors import EvaluationError
from lookalike.evaluation import intervals
from lookalike.evaluation.intervals import class_bootstrap, sign_flip_p
from tests.evaluation.shops import figures

TRUTH = 0.6


def draw(rng: np.random.Generator, classes: int = 40, most: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Hits of queries whose classes are hard or easy: the mean over all classes there could be is TRUTH."""
    sizes = rng.integers(2, most, classes)
    easy = rng.beta(3 * TRUTH, 3 * (1 - TRUTH), classes)
    labels = np.repeat(np.arange(classes), sizes)
    return (rng.random(len(labels)) < easy[labels]).astype(np.float64), labels


def covers(interval: tuple[float, float]) -> bool:
    return interval[0] <= TRUTH <= interval[1]


def test_covers_the_truth_about_95_times_of_100() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw(rng) for _ in range(200)]
    assert 0.91 <= np.mean([covers(class_bootstrap(*sample)) for sample in drawn]) <= 0.98
    assert 0.43 <= np.mean([covers(class_bootstrap(*sample, level=0.5)) for sample in drawn]) <= 0.57
    # The case is not trivial: queries resampled one by one, as if each were a class, promise too much.
    alone = [class_bootstrap(values, np.arange(len(values))) for values, _ in drawn[:100]]
    assert np.mean([covers(interval) for interval in alone]) < 0.88


def test_holds_the_mean_and_is_the_same_every_time() -> None:
    values, labels = draw(np.random.default_rng(1))
    low, high = class_bootstrap(values, labels)
    assert low < values.mean() < high
    assert class_bootstrap(values, labels) == (low, high) != class_bootstrap(values, labels, seed=1)


def test_order_and_names_of_the_classes_do_not_matter_much() -> None:
    values, labels = draw(np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(len(values))
    low, high = class_bootstrap(values, labels)
    assert class_bootstrap(values[order], labels[order] * 7 + 2**40) == pytest.approx((low, high), abs=1e-12)


def test_wider_when_classes_are_few() -> None:
    values, labels = draw(np.random.default_rng(3), classes=160)

    def width(classes: int) -> float:
        low, high = class_bootstrap(values[labels < classes], labels[labels < classes])
        return high - low

    assert width(10) > 1.4 * width(40) > 1.4 * 1.4 * width(160) > 0


def test_wider_for_a_higher_level() -> None:
    sample = draw(np.random.default_rng(4))
    (low, high), (lower, higher) = class_bootstrap(*sample, level=0.5), class_bootstrap(*sample, level=0.99)
    assert lower < low < high < higher


def test_queries_weigh_the_same_whatever_their_class() -> None:
    """One class of 98 hits, one of 2 misses: a resample is all hits, all misses or as it is: mean 0.98."""
    values, labels = np.array([1.0] * 98 + [0.0] * 2), np.array([0] * 98 + [1] * 2)
    assert class_bootstrap(values, labels, level=0.4) == (0.98, 0.98)


@pytest.mark.parametrize("size", [1, 5])
def test_a_single_class_gives_no_interval(size: int) -> None:
    low, high = class_bootstrap(np.linspace(0, 1, size), np.full(size, 3))
    assert math.isnan(low) and math.isnan(high)


def test_no_spread_gives_a_point() -> None:
    assert class_bootstrap(np.full(6, 0.25), np.arange(6) % 3) == (0.25, 0.25)


def test_the_same_queries_compared_one_by_one_are_told_apart_better() -> None:
    rng = np.random.default_rng(5)
    before, labels = draw(rng)
    after = np.maximum(before, rng.random(len(before)) < 0.15)
    first, second = figures(before, labels), figures(after, labels)
    (low, high), apart = (
        second.gain_interval(first, "recall_at_1"),
        [r.interval("recall_at_1") for r in (first, second)],
    )
    assert low < after.mean() - before.mean() < high
    unpaired = math.hypot(*(high - low for low, high in apart))
    assert high - low < unpaired / 2
    assert low > 0, "the gain is clear when paired"
    assert apart[0][1] > apart[1][0], "and the intervals of the two overlap"


def test_a_model_gains_nothing_over_itself() -> None:
    one = figures(*draw(np.random.default_rng(6)))
    assert one.gain_interval(one, "map_at_r") == (0, 0)


def test_gain_changes_its_sign_with_the_order() -> None:
    values, labels = draw(np.random.default_rng(7))
    worse, better = figures(values, labels), figures(np.ones_like(values), labels)
    low, high = better.gain_interval(worse, "recall_at_1")
    assert worse.gain_interval(better, "recall_at_1") == pytest.approx((-high, -low))


def test_answers_to_other_queries_are_not_compared() -> None:
    values, labels = draw(np.random.default_rng(8))
    sentence = "two results can be compared only if they answer the same queries"
    with pytest.raises(EvaluationError, match=sentence):
        figures(values, labels).gain_interval(figures(values[1:], labels[1:]), "recall_at_1")


def test_draws_in_pieces_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values, labels = draw(np.random.default_rng(9))
    whole = class_bootstrap(values, labels), sign_flip_p(values - TRUTH, labels)
    monkeypatch.setattr(intervals, "DRAWN", 41)  # one resample of 40 classes
    in_pieces = class_bootstrap(values, labels), sign_flip_p(values - TRUTH, labels)
    assert in_pieces[0] == pytest.approx(whole[0], abs=0.01) and in_pieces[1] == pytest.approx(whole[1], abs=0.02)


def test_by_query_each_query_is_drawn_by_itself() -> None:
    values, labels = draw(np.random.default_rng(10), classes=10)
    found = figures(values, labels)
    by_class, by_query = found.interval("recall_at_1"), found.interval("recall_at_1", by="query")
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert by_query == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert by_query[1] - by_query[0] < by_class[1] - by_class[0]


def test_p_by_hand() -> None:
    """Three classes all gaining alike: of the 8 ways to flip them, 2 are as large."""
    assert sign_flip_p(np.full(6, 0.5), np.arange(6) // 2) == pytest.approx(2 / 8, abs=0.015)
    # Gains 1, 1 and 3: as large in sum, 5 of either sign; 3 - 1 - 1 is not.
    assert sign_flip_p(np.array([1.0, 1, 3]), np.arange(3)) == pytest.approx(2 / 8, abs=0.015)


def test_p_is_that_of_scipy() -> None:
    gains = np.random.default_rng(11).normal(0.15, 1, 60)
    theirs = stats.permutation_test((gains,), np.mean, permutation_type="samples", rng=0).pvalue
    assert sign_flip_p(gains, np.arange(60)) == pytest.approx(theirs, abs=0.02)


def test_p_below_5_of_100_comes_5_times_of_100_by_chance() -> None:
    rng = np.random.default_rng(12)
    chance = []
    for _ in range(200):
        gains = np.repeat(rng.standard_normal(15), 4)  # a class gains or loses as one
        chance.append(sign_flip_p(gains, np.arange(60) // 4) < 0.05)
    assert 0.01 <= np.mean(chance) <= 0.1


def test_a_clear_gain_is_told_from_chance_and_none_is_not() -> None:
    values, labels = draw(np.random.default_rng(13))
    worse, better = figures(values, labels), figures(np.ones_like(values), labels)
    assert better.gain_p_value(worse, "map_at_r") == worse.gain_p_value(better, "map_at_r") < 0.001
    assert worse.gain_p_value(worse, "map_at_r") == 1
    assert better.gain_p_value(worse, "map_at_r", by="query") < 0.001
