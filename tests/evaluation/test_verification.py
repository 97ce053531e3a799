"""Error rates over all pairs, and thresholds, against sorted lists of all pairs."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from lookalike.errors import EvaluationError
from lookalike.evaluation import verification
from lookalike.evaluation.verification import STEPS, fnmr_at_fmr, threshold_for_precision


def products(items: int, classes: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, items)
    x = rng.standard_normal((classes, 12))[labels] + noise * rng.standard_normal((items, 12))
    return x.astype(np.float32), labels


@pytest.mark.parametrize("block", [1, 5000, 2**24])
def test_rates_are_those_of_all_pairs(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "BLOCK", block)
    x, labels = products(120, 12, 1.3)
    labels[:5] = -1  # a class of its own each
    unit = x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = list(combinations(range(120), 2))
    cosines = np.array([unit[i] @ unit[j] for i, j in pairs])
    same = np.array([labels[i] == labels[j] != -1 for i, j in pairs])
    wrong, right, _ = roc_curve(same, cosines, drop_intermediate=False)
    for wanted, found in fnmr_at_fmr(x, labels, [0.5, 0.1, 0.01, 0.001]).items():
        best = right[wrong <= wanted].max()
        assert found.fnmr == pytest.approx(1 - best, abs=1e-12) and 0 < best < 1
        assert found.fmr <= wanted
        assert found.fmr == (cosines[~same] >= found.threshold).mean()
        assert found.fnmr == pytest.approx((cosines[same] < found.threshold).mean())


def test_equal_vectors_of_two_classes_cannot_be_told_apart() -> None:
    found = fnmr_at_fmr(np.ones((4, 2)), np.array([0, 0, 1, 1]), [0.5, 1.0])
    assert found[0.5].threshold > 1 and (found[0.5].fmr, found[0.5].fnmr) == (0, 1)
    assert (found[1.0].fmr, found[1.0].fnmr) == (1, 0)


def test_classes_far_apart_make_no_errors() -> None:
    x = torch.eye(3).repeat_interleave(4, dim=0)
    (found,) = fnmr_at_fmr(x, torch.arange(12) // 4, [1e-4]).values()
    assert (found.fmr, found.fnmr) == (0, 0) and 0 < found.threshold < 2 / STEPS


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [-1, -1, -1]])
def test_pairs_of_one_kind_only_are_refused(labels: list[int]) -> None:
    with pytest.raises(EvaluationError, match="needs pairs of one class and pairs of two"):
        fnmr_at_fmr(np.eye(3), np.array(labels))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)
def test_the_threshold_is_the_lowest_that_is_precise_enough(answers: list[tuple[int, bool]], precision: float) -> None:
    scores, right = (np.array(column) for column in zip(*answers, strict=True))
    good = [score for score in scores if right[scores >= score].mean() >= precision]
    found = threshold_for_precision(scores / 10, right, precision)
    if found is None:
        assert not good
        return
    answered = scores / 10 >= found.score
    assert found.score == min(good) / 10
    assert found.precision == right[answered].mean() >= precision
    assert found.answered == answered.mean()


@pytest.mark.parametrize(
    ("scores", "right", "precision", "sentence"),
    [
        ([], [], 0.5, r"one score and one truth a query, not \(0,\) and \(0,\)"),
        ([1.0], [True, False], 0.5, r"not \(1,\) and \(2,\)"),
        ([1.0], [True], 0.0, "a precision lies above 0 and up to 1, not 0"),
        ([1.0], [True], 1.1, "not 1.1"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    scores: list[float], right: list[bool], precision: float, sentence: str
) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        threshold_for_precision(np.array(scores), np.array(right), precision)
