"""Recall@K, R-precision and MAP@R: against loops, by hand, and against pytorch-metric-learning."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lookalike.errors import EvaluationError
from lookalike.evaluation import Retrieval, retrieval_metrics
from tests.evaluation import references


def generic(rows: int, seed: int, dim: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def assume_no_ties(queries: np.ndarray, gallery: np.ndarray) -> None:
    """A rounding error of float32 must not decide who is nearer."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries.astype(np.float64), gallery)]
    gaps = np.diff(np.sort(unit[0] @ unit[1].T, axis=1), axis=1)
    assume(not gaps.size or gaps.min() > 1e-5)


def clusters(labels: np.ndarray, seed: int = 0, noise: float = 0.9) -> np.ndarray:
    """Embeddings that find their class often but not always."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((labels.max() + 1, 8))
    return (centers[labels] + noise * rng.standard_normal((len(labels), 8))).astype(np.float32)


def at_angles(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def assert_equal(found: Retrieval, expected: references.Figures, num_queries: int) -> None:
    assert found.recall_at == pytest.approx(expected.recall_at, abs=1e-12)
    assert found.r_precision == pytest.approx(expected.r_precision, abs=1e-12)
    assert found.map_at_r == pytest.approx(expected.map_at_r, abs=1e-12)
    assert found.query_numbers.tolist() == expected.counted
    assert found.num_queries == len(expected.counted)
    assert found.num_skipped == num_queries - len(expected.counted)
    deepest = max(found.recall_at)
    for ours, theirs in zip(found.first_hit, expected.first_hit, strict=True):
        assert ours == theirs or (ours > deepest and theirs > deepest)


LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=14)
KS = st.lists(st.integers(1, 20), min_size=1, max_size=4, unique=True)


@settings(deadline=None, max_examples=200)
@given(LABELS, KS, st.integers(0, 10**6))
def test_one_set_equals_the_reference(labels: list[int], k: list[int], seed: int) -> None:
    x = generic(len(labels), seed)
    assume_no_ties(x, x)
    expected = references.retrieval(x, labels, None, None, k)
    if expected is None:
        with pytest.raises(EvaluationError, match="has an item of its class to find"):
            retrieval_metrics(x, np.array(labels), k=k)
        return
    found = retrieval_metrics(x, np.array(labels), k=k)
    assert_equal(found, expected, len(labels))
    assert found.num_gallery == len(labels)


@settings(deadline=None, max_examples=200)
@given(LABELS, st.lists(st.integers(2, 6), min_size=1, max_size=14), KS, st.integers(0, 10**6))
def test_query_and_gallery_equal_the_reference(
    query_labels: list[int], gallery_labels: list[int], k: list[int], seed: int
) -> None:
    x, y = generic(len(query_labels), seed), generic(len(gallery_labels), seed + 1)
    assume_no_ties(x, y)
    expected = references.retrieval(x, query_labels, y, gallery_labels, k)
    arguments = (x, np.array(query_labels), y, np.array(gallery_labels))
    if expected is None:
        with pytest.raises(EvaluationError, match="has an item of its class to find"):
            retrieval_metrics(*arguments, k=k)
        return
    found = retrieval_metrics(*arguments, k=k)
    assert_equal(found, expected, len(query_labels))
    assert found.num_gallery == len(gallery_labels)


def test_a_larger_set_equals_the_reference() -> None:
    labels = np.random.default_rng(0).integers(0, 12, 90)
    x = clusters(labels)
    expected = references.retrieval(x, labels.tolist(), None, None, (1, 2, 4, 8))
    assert expected is not None and 0.3 < expected.recall_at[1] < expected.recall_at[8] < 1
    assert_equal(retrieval_metrics(x, labels), expected, 90)


def test_a_ranking_worked_out_by_hand() -> None:
    """The gallery in order of angle: hit, miss, hit, hit, miss. R = 3, so the fourth does not count.

    R-precision 2/3; MAP@R (1/1 + 2/3) / 3 = 5/9.
    """
    found = retrieval_metrics(at_angles(0), np.array([1]), at_angles(5, 1, 2, 3, 4), np.array([0, 1, 0, 1, 1]), k=[1])
    assert found.recall_at == {1: 1.0}
    assert found.r_precision == pytest.approx(2 / 3, abs=1e-12)
    assert found.map_at_r == pytest.approx(5 / 9, abs=1e-12)


def test_a_late_hit_worked_out_by_hand() -> None:
    """Miss, miss, hit, hit; R = 2: nothing at R, found within 3."""
    labels = np.array([0, 0, 1, 1])
    found = retrieval_metrics(at_angles(0), np.array([1]), at_angles(1, 2, 3, 4), labels, k=[1, 2, 3, 100])
    assert found.recall_at == {1: 0.0, 2: 0.0, 3: 1.0, 100: 1.0}
    assert found.first_hit.tolist() == [3]
    assert found.r_precision == found.map_at_r == 0.0


def test_one_set_worked_out_by_hand() -> None:
    """At 0° a, 10° b, 12° a, 30° b, 90° c. Nearest to a: b, a; to b 10°: a, a, b; to a 12°: b, a; to b 30°: a, b."""
    found = retrieval_metrics(at_angles(0, 10, 12, 30, 90), np.array([0, 1, 0, 1, 2]), k=[1, 2, 3])
    assert found.num_queries == 4 and found.num_skipped == 1
    assert found.first_hit.tolist() == [2, 3, 2, 2]
    assert found.recall_at == {1: 0.0, 2: 0.75, 3: 1.0}


def test_singletons_are_not_asked_but_are_found() -> None:
    """The lone item lies nearest to both others."""
    found = retrieval_metrics(at_angles(0, 5, 10), np.array([7, 3, 7]), k=[1, 2])
    assert found.query_numbers.tolist() == [0, 2] and found.query_labels.tolist() == [7, 7]
    assert found.recall_at == {1: 0.0, 2: 1.0}
    assert found.num_skipped == 1 and found.num_gallery == 3


def test_a_twin_is_found_although_it_is_the_same_vector() -> None:
    x = np.concatenate([generic(4, seed=0)] * 2)
    assert retrieval_metrics(x, np.arange(8) % 4, k=[1]).recall_at == {1: 1.0}
    assert retrieval_metrics(x, np.array([0, 0, 1, 1, 2, 2, 3, 3]), k=[1]).recall_at == {1: 0.0}


def test_labels_are_names_and_not_numbers() -> None:
    """Negative, far apart, unsorted, beyond 2^24, and int32 as well."""
    labels = np.array([0, 1, 2, 1, 0, 2, 1, 0, 2, 2])
    x = clusters(labels)
    expected = retrieval_metrics(x, labels)
    assert 0 < expected.map_at_r < 1
    names = np.array([2**24 + 1, -5, 2**24])[labels]
    for renamed in (names, names.astype(np.int32), torch.from_numpy(names)):
        found = retrieval_metrics(x, renamed)
        assert found.recall_at == expected.recall_at and found.map_at_r == expected.map_at_r


def test_tensors_and_lists_of_labels_are_taken_and_left_as_they_are() -> None:
    labels = np.array([0, 1, 0, 1])
    x = torch.from_numpy(generic(4, seed=0))
    before = x.clone()
    found = retrieval_metrics(x, labels.tolist())
    assert found.map_at_r == retrieval_metrics(x.numpy(), labels).map_at_r
    assert torch.equal(x, before)


def test_values_are_those_whose_mean_is_the_metric() -> None:
    labels = np.random.default_rng(1).integers(0, 6, 40)
    found = retrieval_metrics(clusters(labels), labels, k=[1, 4])
    assert 0 < found.recall_at[1] < found.recall_at[4] < 1
    for metric, figure in {
        "recall_at_1": found.recall_at[1],
        "recall_at_4": found.recall_at[4],
        "r_precision": found.r_precision,
        "map_at_r": found.map_at_r,
    }.items():
        values = found.values(metric)
        assert values.dtype == np.float64 and len(values) == found.num_queries
        assert values.mean() == pytest.approx(figure, abs=1e-12)
        low, high = found.interval(metric)
        assert low < figure < high


@pytest.mark.parametrize("metric", ["recall_at_2", "recall", "map", "recall_at_", "xrecall_at_1"])
def test_an_unknown_metric_is_refused(metric: str) -> None:
    found = retrieval_metrics(generic(4, seed=0), np.array([0, 0, 1, 1]), k=[1, 4])
    sentence = f"there is no metric '{metric}'; there are recall_at_1, recall_at_4, r_precision, map_at_r"
    with pytest.raises(EvaluationError, match=sentence):
        found.values(metric)


def test_to_dict_holds_figures_intervals_and_counts() -> None:
    labels = np.arange(30) % 5
    found = retrieval_metrics(clusters(labels), labels, k=[1, 2])
    told = found.to_dict()
    assert told["recall_at_2"] == found.recall_at[2] and told["map_at_r"] == pytest.approx(found.map_at_r)
    assert told["intervals"]["r_precision"] == list(found.interval("r_precision"))
    assert (told["num_queries"], told["num_skipped"], told["num_gallery"]) == (30, 0, 30)


@pytest.mark.parametrize("with_gallery", [False, True])
def test_equals_pytorch_metric_learning(with_gallery: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from pytorch_metric_learning.distances import CosineSimilarity
        from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
        from pytorch_metric_learning.utils.inference import CustomKNN
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    peer = AccuracyCalculator(
        include=names, k=None, device=torch.device("cpu"), knn_func=CustomKNN(CosineSimilarity()), kmeans_func=len
    )
    labels = np.random.default_rng(2).integers(0, 9, 70)
    labels[3] = 9  # a singleton
    x = clusters(labels)
    query, gallery = (x[:25], x[25:]) if with_gallery else (x, None)
    query_labels, gallery_labels = (labels[:25], labels[25:]) if with_gallery else (labels, None)
    found = retrieval_metrics(query, query_labels, gallery, gallery_labels, k=[1])
    theirs = peer.get_accuracy(
        *(a if a is None else torch.from_numpy(a) for a in (query, query_labels, gallery, gallery_labels))
    )
    assert found.num_skipped >= 1 and 0.2 < found.map_at_r < found.r_precision < found.recall_at[1] < 1
    ours = (found.recall_at[1], found.r_precision, found.map_at_r)
    assert ours == pytest.approx([theirs[name] for name in names], abs=1e-9)


X, Y = generic(4, seed=0), np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((X, Y[:3]), r"query embeddings must be \[N, D\] with labels \[N\], not \(4, 3\), \(3,\)"),
        ((X[0], Y), r"query embeddings must be \[N, D\] with labels \[N\], not \(3,\), \(4,\)"),
        ((X[:0], Y[:0]), r"query embeddings must be \[N, D\] with labels \[N\], not \(0, 3\), \(0,\)"),
        ((X, Y, X, Y[:, None]), r"gallery embeddings must be \[N, D\] with labels \[N\], not \(4, 3\), \(4, 1\)"),
        ((X, Y, X), r"the gallery embeddings need gallery_labels, integers \[N\]"),
        ((X, Y.astype(np.float32)), "query labels must be integers, not torch.float32"),
        ((X, Y, X, Y.astype(np.float64)), "gallery labels must be integers, not torch.float64"),
        ((X, Y, X[:, :2], Y), "queries have 3 dimensions, the gallery 2: not of one model"),
        ((X, np.arange(4)), "not one of 4 queries has an item of its class to find; a class needs at least two"),
        ((X, Y, X, Y + 2), "not one of 4 queries has an item of its class to find"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple[np.ndarray, ...], sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        retrieval_metrics(*arguments)


@pytest.mark.parametrize("k", [[], [0], [1, -2]])
def test_k_below_1_is_refused(k: Sequence[int]) -> None:
    with pytest.raises(EvaluationError, match="Recall@K needs K of at least 1, not "):
        retrieval_metrics(X, Y, k=k)


def test_a_collapsed_model_is_refused() -> None:
    collapsed = X.copy()
    collapsed[2] = math.nan
    with pytest.raises(EvaluationError, match="1 query embeddings are zero or not finite, the first in row 2"):
        retrieval_metrics(collapsed, Y)
