"""What is said of a run, for every way it can end."""

import math

import numpy as np
import pytest

from lookalike.evaluation.compare import REMEDIES, Gain, gains, verdict
from tests.evaluation.shops import figures

LABELS = np.repeat(np.arange(20), 4)
HALF = np.arange(80) % 2

HELPED, HARMED = Gain("all", 12.34, 8.0, 15.06), Gain("street -> studio", -5.0, -9.0, -1.04)
UNCLEAR = Gain("studio -> street", 0.5, -1.0, 2.0)


def test_gain_is_measured_in_points_on_every_protocol() -> None:
    better = np.maximum(HALF, np.arange(80) % 5 == 0)
    found = gains(
        {"all": figures(HALF, LABELS), "a -> b": figures(better, LABELS)},
        {"all": figures(better, LABELS), "a -> b": figures(HALF, LABELS)},
    )
    up, down = found
    assert (up.protocol, down.protocol) == ("all", "a -> b")
    assert up.points == pytest.approx(10) and down.points == pytest.approx(-10)
    assert 0 < up.low < 10 < up.high and up.helped and not up.harmed
    assert down.low < -10 < down.high < 0 and down.harmed and not down.helped


def test_gain_is_in_recall_at_the_smallest_k_and_says_so() -> None:
    frozen, trained = figures(HALF, LABELS, k=(10, 5)), figures(np.ones(80), LABELS, k=(10, 5))
    (gain,) = gains({"all": frozen}, {"all": trained})
    assert str(gain) == f"all: +50.0 points of Recall@5 (95 % {gain.low:+.1f} to {gain.high:+.1f})"


def test_gain_says_where_there_is_no_interval() -> None:
    one_class = np.zeros(80, dtype=int)
    (gain,) = gains({"all": figures(HALF, one_class)}, {"all": figures(np.ones(80), one_class)})
    assert math.isnan(gain.low) and not gain.helped and not gain.harmed
    assert str(gain) == "all: +50.0 points of Recall@1 (one class: no interval)"
    assert verdict([gain], trained=True).startswith("Training made no clear difference to the frozen backbone (all: ")


def test_gain_as_a_sentence() -> None:
    assert str(HELPED) == "all: +12.3 points of Recall@1 (95 % +8.0 to +15.1)"
    assert str(HARMED) == "street -> studio: -5.0 points of Recall@1 (95 % -9.0 to -1.0)"


def test_an_interval_that_touches_zero_says_nothing() -> None:
    for gain in (Gain("all", 1, 0, 2), Gain("all", -1, -2, 0), Gain("all", 0, 0, 0)):
        assert not gain.helped and not gain.harmed


@pytest.mark.parametrize("trained", [True, False])
def test_verdict_where_nothing_could_be_judged(trained: bool) -> None:
    sentence = "Nothing could be judged: no test class has two pictures, so no query has anything to find."
    assert verdict([], trained=trained) == sentence


def test_verdict_where_the_start_was_kept() -> None:
    for found, start in (([UNCLEAR], ""), ([HELPED], f" That start helps beside the raw features on {HELPED}.")):
        said = verdict(found, trained=False)
        assert said.startswith("Training did not help: no epoch was better on the validation classes than the start")
        assert said.endswith(f"is the frozen backbone with its untrained head.{start} {REMEDIES}")


def test_verdict_where_it_helped() -> None:
    assert verdict([HELPED, UNCLEAR], trained=True) == f"Training helped on {HELPED}."
    assert verdict([HELPED, HELPED], trained=True) == f"Training helped on {HELPED}; {HELPED}."


def test_verdict_where_it_made_it_worse_somewhere() -> None:
    for found in ([HARMED], [UNCLEAR, HARMED]):
        assert verdict(found, trained=True) == f"Training made it worse on {HARMED}. {REMEDIES}"
    both = f"Training made it worse on {HARMED}. It helped on {HELPED}. {REMEDIES}"
    assert verdict([HELPED, HARMED], trained=True) == both


def test_verdict_where_nothing_is_clear() -> None:
    said = f"Training made no clear difference to the frozen backbone ({UNCLEAR}). {REMEDIES}"
    assert verdict([UNCLEAR], trained=True) == said
