"""Distances of classes, each against plain loops; all lie in [0, 4] with zeros on the diagonal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import SideError
from lookalike.side.distances import from_attributes, from_matrix, from_tree, from_vectors, ranked
from lookalike.side.scaling import scaled

Values = list[str | float | None]
STEPS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)
TEXTS = st.lists(st.none() | st.sampled_from("xyz"), min_size=5, max_size=5)
NUMBERS = st.lists(st.none() | st.integers(-3, 3), min_size=5, max_size=5)


def check_range(distances: np.ndarray, *, symmetric: bool = True) -> None:
    assert distances.dtype == np.float32
    assert ((distances >= 0) & (distances <= 4)).all()
    assert not np.diagonal(distances).any()
    assert not symmetric or np.array_equal(distances, distances.T)


@given(st.integers(1, 8), st.integers(0, 99))
def test_of_vectors(count: int, seed: int) -> None:
    vectors = scaled(np.random.default_rng(seed).standard_normal((count, 3)), "raw")
    vectors[0] = 0
    found = from_vectors(vectors)
    for i, one in enumerate(vectors.tolist()):
        for j, other in enumerate(vectors.tolist()):
            assert found[i, j] == pytest.approx(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)), abs=1e-5)
    check_range(found, symmetric=False)
    assert found == pytest.approx(found.T, abs=1e-6)
    assert found[0, 1:] == pytest.approx(1)


@given(st.integers(2, 7), st.integers(0, 99))
def test_ranks_are_uniform_and_keep_the_order(count: int, seed: int) -> None:
    given_distances = np.random.default_rng(seed).integers(1, 9, (count, count)).astype(float)
    given_distances = given_distances + given_distances.T
    np.fill_diagonal(given_distances, 0)
    found = ranked(given_distances)
    check_range(found)
    others = ~np.eye(count, dtype=bool)
    pool = given_distances[others].tolist()
    for value, place in zip(pool, found[others].tolist(), strict=True):
        below, equal = sum(other < value for other in pool), sum(other == value for other in pool)
        assert place == pytest.approx(4 * (below + (equal - 1) / 2) / (len(pool) - 1), abs=1e-5)
    assert found[others].mean() == pytest.approx(2, abs=1e-5)


def test_too_many_classes_to_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.side.distances.MOST_RANKED", 2)
    with pytest.raises(SideError, match=r"3 classes are too many to rank all pairs; take text.scaling = 'centered'"):
        ranked(np.zeros((3, 3)))
    assert ranked(np.zeros((1, 1))).tolist() == [[0]]


def gower(attributes: dict[str, Values]) -> list[list[float | None]]:
    count = len(next(iter(attributes.values())))
    result: list[list[float | None]] = []
    for i in range(count):
        result.append([])
        for j in range(count):
            parts = []
            for values in attributes.values():
                known = [value for value in values if value is not None]
                one, other = values[i], values[j]
                if one is None or other is None:
                    continue
                if isinstance(one, str) or isinstance(other, str):
                    parts.append(float(one != other))
                else:
                    numbers = [float(value) for value in known]
                    parts.append(abs(one - other) / ((max(numbers) - min(numbers)) or 1))
            result[-1].append(4 * sum(parts) / len(parts) if parts else None)
    return result


@given(TEXTS, NUMBERS)
def test_of_attributes(texts: Values, numbers: Values) -> None:
    attributes = {"material": texts, "price": numbers}
    found, expected = from_attributes(attributes), gower(attributes)
    check_range(found)
    known = [expected[i][j] for i in range(5) for j in range(5) if i != j and expected[i][j] is not None]
    for i in range(5):
        for j in range(5):
            value = expected[i][j]
            middling = sum(known) / len(known) if known else 1.0
            assert found[i, j] == pytest.approx(0 if i == j else middling if value is None else value, abs=1e-5)


def test_attributes_that_do_not_fit() -> None:
    with pytest.raises(SideError, match="one value for each class; there are none"):
        from_attributes({})
    with pytest.raises(SideError, match=r"there are \{'a': 1, 'b': 2\}"):
        from_attributes({"a": ["x"], "b": [1, 2]})


@given(st.lists(STEPS, min_size=1, max_size=6))
def test_of_a_tree(paths: list[list[str]]) -> None:
    found = from_tree([" / ".join(path) for path in paths])
    check_range(found)
    for i, one in enumerate(paths):
        for j, other in enumerate(paths):
            shared = 0
            while shared < min(len(one), len(other)) and one[shared] == other[shared]:
                shared += 1
            assert found[i, j] == pytest.approx(4 * (1 - 2 * shared / (len(one) + len(other))), abs=1e-6)


def test_a_tree_in_words() -> None:
    found = from_tree(["clothes/shoes/boots", "clothes/shoes/sandals", "clothes/hats", "food"])
    assert found[0] == pytest.approx([0, 4 / 3, 2.4, 4])
    with pytest.raises(SideError, match="class 1 has an empty path; give each class one like"):
        from_tree(["a", " / "])


def test_a_given_matrix_is_kept_or_scaled_down() -> None:
    small = np.array([[0, 1, 3], [2, 0, 0.5], [3, 0.5, 0]])
    assert from_matrix(small) == pytest.approx(small)
    large = from_matrix(small * 10)
    check_range(large, symmetric=False)
    assert large == pytest.approx(small * 4 / 3)


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (np.zeros((2, 3)), r"must be \[C, C\], not \[2, 3\]"),
        (np.zeros(4), r"not \[4\]"),
        (np.array([[0, -1], [1, 0]]), "negative, infinite or NaN"),
        (np.array([[0, np.nan], [1, 0]]), "negative, infinite or NaN"),
        (np.array([[0, np.inf], [1, 0]]), "negative, infinite or NaN"),
        (np.eye(2), "must be zero on its diagonal"),
    ],
)
def test_a_matrix_that_is_none(matrix: np.ndarray, sentence: str) -> None:
    with pytest.raises(SideError, match=sentence):
        from_matrix(matrix)
