"""Held-out classes: whole classes, the share asked for, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.catalog.splits import hold_out_classes
from lookalike.errors import CatalogError

LABELS = st.lists(st.integers(-1, 8), min_size=2, max_size=60).filter(lambda labels: len({*labels} - {-1}) >= 2)


@given(LABELS, st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_whole_classes_are_held_out_and_some_stay(given_labels: list[int], share: float, seed: int) -> None:
    labels = np.array(given_labels)
    held_out = hold_out_classes(labels, share, seed)
    out, stay = {*labels[held_out]}, {*labels[~held_out]}
    assert not out & stay
    assert -1 not in out
    classes = len(out | stay - {-1})
    assert out
    assert stay - {-1}
    assert len(out) == min(max(1, round(share * classes)), classes - 1)
    assert np.array_equal(held_out, hold_out_classes(labels, share, seed))


def test_the_seed_decides_which() -> None:
    labels = np.repeat(np.arange(40), 2)
    chosen = [hold_out_classes(labels, 0.5, seed) for seed in range(5)]
    assert all(held_out.sum() == 40 for held_out in chosen)
    assert len({held_out.tobytes() for held_out in chosen}) == 5


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_outside_its_range(share: float) -> None:
    with pytest.raises(CatalogError, match=f"must lie between 0 and 1, not {share}"):
        hold_out_classes(np.array([0, 1]), share, 0)


@pytest.mark.parametrize(("labels", "count"), [([0, 0], 1), ([-1, -1], 0), ([], 0), ([-1, 5], 1)])
def test_too_few_classes(labels: list[int], count: int) -> None:
    with pytest.raises(CatalogError, match=f"there are {count}, and at least 2 are needed"):
        hold_out_classes(np.array(labels, dtype=np.int64), 0.5, 0)
