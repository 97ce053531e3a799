"""Scaling against its formula in loops; hubness against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import SideError
from lookalike.side.distances import from_vectors
from lookalike.side.scaling import SCALINGS, SHRINKAGE, Scaling, hubness, scaled


def points(count: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, dim)) * rng.uniform(0.1, 3, dim) + rng.standard_normal(dim)
    vectors[rng.random(count) < 0.2] = 0
    return vectors


def scaled_in_loops(vectors: np.ndarray, scaling: str) -> np.ndarray:
    """The formulas of `scaled`, row by row; the inverse root by the definition R R S' = I."""
    rows = [row for row in vectors.tolist() if any(row)]
    dim, count = vectors.shape[1], len(rows)
    mean = [sum(row[i] for row in rows) / count for i in range(dim)] if scaling != "raw" else [0.0] * dim
    spread = np.array(
        [[sum((r[i] - mean[i]) * (r[j] - mean[j]) for r in rows) / count for j in range(dim)] for i in range(dim)]
    )
    shift = SHRINKAGE * sum(spread[i, i] for i in range(dim)) / dim
    root = np.linalg.cholesky(np.linalg.inv(spread + shift * np.eye(dim))).T if scaling == "whitened" else np.eye(dim)
    result = []
    for row in vectors.tolist():
        moved = root @ [row[i] - mean[i] for i in range(dim)] if any(row) else np.zeros(dim)
        length = sum(value * value for value in moved) ** 0.5
        result.append(moved / length if length > 0 else moved)
    return np.array(result)


@given(st.integers(2, 12), st.integers(1, 5), st.sampled_from(SCALINGS), st.integers(0, 99))
def test_distances_are_those_of_the_definition(count: int, dim: int, scaling: Scaling, seed: int) -> None:
    vectors = points(count, dim, seed)
    if np.any(vectors, axis=1).sum() < 2:
        return
    found = scaled(vectors, scaling)
    expected = scaled_in_loops(vectors, scaling)
    # Two inverse roots of one matrix differ by a rotation, which changes no distance.
    assert found @ found.T == pytest.approx(expected @ expected.T, abs=1e-4)
    assert found.dtype == np.float32
    assert (found.any(axis=1) <= vectors.any(axis=1)).all()


def test_whitening_evens_the_directions_out() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 4)) * [10, 1, 1, 1] + [5, 0, 0, 0]
    spread = {scaling: scaled(vectors, scaling)[:, 0].std() for scaling in SCALINGS}
    assert spread["centered"] > 0.9
    assert 0.5 < spread["whitened"] < spread["centered"] - 0.05


@pytest.mark.parametrize("scaling", SCALINGS)
def test_nothing_and_equal_rows_stay_finite(scaling: Scaling) -> None:
    assert scaled(np.zeros((3, 2)), scaling).tolist() == [[0, 0]] * 3
    assert scaled(np.zeros((0, 2)), scaling).shape == (0, 2)
    same = scaled(np.ones((4, 2)), scaling)
    assert same.any() == (scaling == "raw")
    assert np.isfinite(same).all()


def test_an_unknown_scaling_is_refused() -> None:
    with pytest.raises(SideError, match=r"there is no scaling 'centred'. Did you mean 'centered'"):
        scaled(np.eye(2), "centred")  # type: ignore[arg-type]


@given(st.integers(3, 15), st.integers(1, 4), st.integers(0, 99))
def test_hubness_is_that_of_the_definition(count: int, k: int, seed: int) -> None:
    distances = from_vectors(scaled(np.random.default_rng(seed).standard_normal((count, 3)), "raw"))
    times = [0] * count
    for row in range(count):
        others = sorted((other for other in range(count) if other != row), key=lambda other: distances[row, other])
        for near in others[: min(k, count - 1)]:
            times[near] += 1
    mean = sum(times) / count
    spread = (sum((n - mean) ** 2 for n in times) / count) ** 0.5
    expected = sum((n - mean) ** 3 for n in times) / count / spread**3 if spread else 0.0
    assert hubness(distances, k) == pytest.approx(expected, abs=1e-9)


def test_a_hub_is_seen() -> None:
    spokes = np.eye(9)
    hub = np.full((1, 9), 1 / 3)
    assert hubness(from_vectors(np.vstack([spokes, hub])), k=1) > 2
    assert hubness(from_vectors(spokes[:2])) == 0
