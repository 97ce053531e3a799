"""Weak labels: each way against its definition, chains taken apart, and what comes out told truly."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lookalike.errors import SideError
from lookalike.side import weak_labels as module
from lookalike.side.weak_labels import WeakLabels, weak_labels

Parts = set[frozenset[int]]


def parts_of(labels: np.ndarray) -> Parts:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels[labels >= 0])}


def vectors_of(count: int, dim: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def texts_for(vectors: np.ndarray) -> list[str | None]:
    return [f"text {number}" for number in range(len(vectors))]


def cosines_of(points: np.ndarray) -> list[list[float]]:
    rows = points.astype(np.float64).tolist()
    return [[sum(a * b for a, b in zip(one, other, strict=True)) for other in rows] for one in rows]


def near_in_loops(cosines: list[list[float]], similarity: float, max_texts: int, num_neighbors: int) -> Parts:
    """The definition, part by part, in plain Python."""
    numbers = range(len(cosines))
    nearest = [sorted(set(numbers) - {i}, key=lambda j, i=i: -cosines[i][j])[:num_neighbors] for i in numbers]

    def joined(i: int, j: int, least: float) -> bool:
        return j in nearest[i] and i in nearest[j] and cosines[i][j] >= least

    def split(points: set[int], least: float, more: int) -> Parts:
        found: Parts = set()
        while points:
            reached, ahead = set(), {min(points)}
            while ahead:
                reached |= ahead
                ahead = {j for i in ahead for j in points - reached if joined(i, j, least)}
            points = points - reached
            is_done = len(reached) <= max_texts or more == 1
            found |= {frozenset(reached)} if is_done else split(reached, (1 + least) / 2, more - 1)
        return found

    return split(set(numbers), similarity, module.TIGHTENINGS)


@given(
    count=st.integers(2, 30),
    similarity=st.floats(0.05, 0.95),
    max_texts=st.integers(1, 8),
    seed=st.integers(0, 10**6),
)
def test_near_is_the_graph_of_the_definition(count: int, similarity: float, max_texts: int, seed: int) -> None:
    vectors = vectors_of(count, seed=seed)
    points, place = module._distinct(vectors)
    cosines = cosines_of(points)
    limits = [1 - (1 - similarity) / 2**step for step in range(8)]
    assume(all(abs(value - limit) > 1e-6 for row in cosines for value in row for limit in limits))
    expected = near_in_loops(cosines, similarity, max_texts, module.NEIGHBORS)
    found = weak_labels(
        texts_for(vectors), vectors, "near", similarity=similarity, max_texts=max_texts, smallest=1
    ).labels
    assert {frozenset(int(place[row]) for row in part) for part in parts_of(found)} == expected


def test_the_distinct_points_are_centered_unit_rows() -> None:
    vectors = vectors_of(5, dim=4) + 10
    points, place = module._distinct(np.concatenate([vectors, np.zeros((1, 4), np.float32), vectors[[2]]]))
    assert (points.shape, place[5], place[6]) == ((5, 4), -1, place[2])
    centered = vectors - vectors.mean(axis=0)
    expected = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    assert points[place[:5]] == pytest.approx(expected, abs=1e-5)
    assert (vectors @ vectors.T).min() > 0 > min(cosines_of(points)[0])  # what all share would have hidden this


def chain(length: int) -> np.ndarray:
    """Texts that change a little from each to the next, both ways around a circle, so that their mean is zero."""
    angles = np.linspace(0, 2 * np.pi, length, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_a_chain_is_taken_apart() -> None:
    circle = chain(60)
    whole = weak_labels(texts_for(circle), circle, "near", similarity=0.9, max_texts=60)
    assert whole.sizes.tolist() == [60]  # opposite texts in one class
    bounded = weak_labels(texts_for(circle), circle, "near", similarity=0.9, max_texts=59, smallest=1)
    assert bounded.sizes.tolist() == [1] * 60  # all its links are equal, so they break together


def test_only_what_is_too_large_is_taken_apart() -> None:
    rng = np.random.default_rng(0)
    tight = np.array([0, 0, 1]) + 0.01 * rng.standard_normal((6, 3))
    circle = np.concatenate([chain(60), np.full((60, 1), -0.1)], axis=1)
    vectors = np.concatenate([tight, circle]).astype(np.float32)
    found = weak_labels(texts_for(vectors), vectors, "near", similarity=0.9, max_texts=20)
    assert parts_of(found.labels) == {frozenset(range(6))}


def test_a_text_near_to_many_joins_few_of_them() -> None:
    hub, spokes = np.eye(31)[:1], np.eye(31)[0] + np.linspace(0.5, 0.6, 30)[:, None] * np.eye(31)[1:]
    star = np.concatenate([hub, spokes])
    points = np.concatenate([star, -star])
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    assert (points[1:31] @ points[0]).min() > 0.85 > np.sort(points[1:31] @ points[1:31].T)[:, -2].max()
    found = parts_of(module._near(points, 0.85, 62))
    # By the threshold alone all 31 would be one part; the hub takes its ten nearest.
    assert frozenset(range(11)) in found
    assert frozenset({30}) in found


WORDS = st.sampled_from(["red", "Red", "shoe", "SHOE!", "wool", ""])


@given(st.lists(st.none() | st.lists(WORDS, max_size=3).map(", ".join), min_size=1, max_size=15))
def test_same_text_is_the_same_words(texts: list[str | None]) -> None:
    bags = [sorted(text.replace(",", "").replace("!", "").lower().split()) if text else [] for text in texts]
    same = {(i, j) for i, j in combinations(range(len(texts)), 2) if bags[i] == bags[j] != []}
    if not same:
        with pytest.raises(SideError, match="no 2 descriptions are alike"):
            weak_labels(texts)
        return
    labels = weak_labels(texts).labels
    assert same == {(i, j) for i, j in combinations(range(len(texts)), 2) if labels[i] == labels[j] >= 0}


@pytest.mark.parametrize("how", ["near", "clusters"])
def test_equal_vectors_are_in_one_class_and_no_words_in_none(how: module.How) -> None:
    vectors = vectors_of(40)[np.random.default_rng(0).integers(0, 40, 120)]
    vectors[[3, 50]] = 0
    labels = weak_labels(texts_for(vectors), vectors, how, items_per_class=6, smallest=1).labels
    assert np.flatnonzero(labels < 0).tolist() == [3, 50]
    for i, j in combinations(range(120), 2):
        if np.array_equal(vectors[i], vectors[j]):
            assert labels[i] == labels[j]


def test_clusters_find_what_is_there() -> None:
    rng = np.random.default_rng(0)
    centers = vectors_of(8, dim=6, seed=3)
    truth = rng.integers(0, 8, 200)
    vectors = (centers[truth] + 0.01 * rng.standard_normal((200, 6))).astype(np.float32)
    found = weak_labels(texts_for(vectors), vectors, "clusters", items_per_class=25)
    assert parts_of(found.labels) == parts_of(truth)
    assert len(weak_labels(texts_for(vectors), vectors, "clusters", items_per_class=10, smallest=1).sizes) == 20


@pytest.mark.parametrize("how", ["same_text", "near", "clusters"])
def test_the_same_call_gives_the_same_classes_and_the_order_of_items_none(how: module.How) -> None:
    vectors = np.repeat(vectors_of(60), 2, axis=0)
    texts: list[str | None] = [f"text {row // 2}" for row in range(120)]
    made = weak_labels(texts, vectors, how, similarity=0.6, items_per_class=8)
    assert np.array_equal(weak_labels(texts, vectors, how, similarity=0.6, items_per_class=8).labels, made.labels)
    order = np.random.default_rng(0).permutation(120)
    shuffled = weak_labels([texts[row] for row in order], vectors[order], how, similarity=0.6, items_per_class=8)
    assert {frozenset(int(order[row]) for row in part) for part in parts_of(shuffled.labels)} == parts_of(made.labels)
    assert 1 < len(made.sizes) <= 60


def test_the_largest_class_comes_first_and_the_small_are_dissolved() -> None:
    texts = ["a", "b", "b", "c", "c", "c", "d", None]
    assert weak_labels(texts).labels.tolist() == [-1, 1, 1, 0, 0, 0, -1, -1]
    assert weak_labels(texts, smallest=3).labels.tolist() == [-1, -1, -1, 0, 0, 0, -1, -1]
    assert weak_labels(texts, smallest=1).labels.tolist() == [2, 1, 1, 0, 0, 0, 3, -1]


def test_what_is_told_of_them() -> None:
    made = weak_labels(["Red Shoe", "red shoe", "red shoe", "a bag", "a bag", "one", None])
    assert made.sizes.tolist() == [3, 2]
    assert made.share_labeled == pytest.approx(5 / 7)
    assert made.texts_of(0) == [("red shoe", 2), ("Red Shoe", 1)]
    assert made.texts_of(0, most=1) == [("red shoe", 2)]
    assert made.to_dict() == {
        "items": 7,
        "labeled": 5,
        "classes": 2,
        "sizes": {"min": 2, "median": 2.5, "max": 3},
        "examples": [
            {"class": 0, "items": 3, "texts": {"red shoe": 2, "Red Shoe": 1}},
            {"class": 1, "items": 2, "texts": {"a bag": 2}},
        ],
    }


def test_the_examples_reach_from_the_largest_to_the_smallest() -> None:
    labels = np.repeat(np.arange(50), np.arange(51, 1, -1))
    shown = WeakLabels(labels, [f"{label}" for label in labels]).to_dict(classes=4)["examples"]
    assert isinstance(shown, list)
    assert [example["items"] for example in shown] == [51, 35, 19, 2]


@pytest.mark.parametrize("how", ["near", "clusters"])
@pytest.mark.parametrize("known", [0, 1, 2])
def test_few_texts(how: module.How, known: int) -> None:
    vectors = np.zeros((4, 3), np.float32)
    vectors[:known] = vectors_of(known)
    if known:
        labels = weak_labels(["a"] * 8, np.concatenate([vectors, vectors]), how).labels
        assert parts_of(labels) == {frozenset({row, row + 4}) for row in range(known)}
        return
    with pytest.raises(SideError, match=r"no 2 descriptions are alike \(weak_labels.how = '\w+'\); choose another way"):
        weak_labels(["a"] * 4, vectors, how)


def test_wrong_settings() -> None:
    vectors = vectors_of(2)
    with pytest.raises(SideError, match=r"no way 'cluster' to make weak labels. Did you mean 'clusters'\?"):
        weak_labels(["a", "b"], vectors, "cluster")  # type: ignore[arg-type]
    with pytest.raises(SideError, match=r"a similarity between 0 and 1, not 1.0"):
        weak_labels(["a", "b"], vectors, "near", similarity=1.0)
    with pytest.raises(SideError, match=r"smallest of at least 1, not 50, 0, 2"):
        weak_labels(["a", "b"], vectors, "clusters", items_per_class=0)
    with pytest.raises(SideError, match=r"by 'near' need vectors \[2, T\] of the texts, not None"):
        weak_labels(["a", "b"], None, "near")
    with pytest.raises(SideError, match=r"not \(3, 3\)"):
        weak_labels(["a", "b"], vectors_of(3), "clusters")
