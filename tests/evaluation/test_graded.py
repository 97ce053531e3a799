"""Shares that agree and nDCG of grades, against loops and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from lookalike.errors import EvaluationError
from lookalike.evaluation.graded import attribute_precision, graded_ndcg, shared_grades, similar_grades
from tests.evaluation import references


def generic(rows: int, seed: int, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 20), st.integers(1, 19), st.integers(0, 999))
def test_agreement_equals_a_loop(items: int, k: int, seed: int) -> None:
    k = min(k, items - 1)
    rng = np.random.default_rng(seed)
    x, attributes = generic(items, seed), {name: rng.integers(-1, 3, items) for name in ("color", "type")}
    found = attribute_precision(x, attributes, k)
    for name, column in attributes.items():
        for item in range(items):
            near = references.ranking(x, item, None)[:k]
            agree = sum(column[other] == column[item] for other in near) / k
            assert found[name][item] == pytest.approx(agree) if column[item] >= 0 else np.isnan(found[name][item])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"attribute 'color' has shape \(3,\), not one value for 4 items"):
        attribute_precision(generic(4, 0), {"color": np.zeros(3, int)}, 2)
    with pytest.raises(EvaluationError, match=r"k must lie in 1\.\.3 for so many items, not 4"):
        attribute_precision(generic(4, 0), {"color": np.zeros(4, int)}, 4)
    with pytest.raises(EvaluationError, match="grades must be at least 0"):
        graded_ndcg(generic(4, 0), None, lambda rows: -torch.ones(len(rows), 4), 2)


@pytest.mark.parametrize("k", [1, 5, 19])
def test_ndcg_is_that_of_scikit_learn(k: int) -> None:
    x, y, side_x, side_y = (generic(20, seed) for seed in range(4))
    found = graded_ndcg(x, y, similar_grades(side_x, side_y), k)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y, side_x, side_y)]
    expected = [
        ndcg_score([grades], [cosines], k=k)
        for grades, cosines in zip((unit[2] @ unit[3].T).clip(0), unit[0] @ unit[1].T, strict=True)
    ]
    assert 0.1 < found.mean() < 0.95
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_levels_worked_out_by_hand() -> None:
    """A query of product 1 in category 0 finds: another of the category, a stranger, the product."""
    angles = np.deg2rad([0, 1, 2, 3])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    label, category = np.array([1, 2, 3, 1]), np.array([0, 0, 5, 0])
    grades = shared_grades([(0.5, category, category), (1.0, label, label)])
    assert grades(torch.tensor([0])).tolist() == [[1.0, 0.5, 0.0, 1.0]]
    found = graded_ndcg(x, None, grades, 3)
    assert found[0] == pytest.approx((0.5 + 1 / np.log2(4)) / (1 + 0.5 / np.log2(3)))
    assert np.isnan(found[2]), "nothing is right for the stranger"


def test_the_unknown_share_nothing() -> None:
    grades = shared_grades([(1.0, np.array([-1, 2]), np.array([-1, 2, 3]))])
    assert grades(torch.tensor([0, 1])).tolist() == [[0, 0, 0], [0, 1, 0]]
