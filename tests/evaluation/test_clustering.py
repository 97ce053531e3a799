"""k-means and its figures: by hand, against scikit-learn, and against pairs counted one by one."""

from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.cluster import KMeans

from lookalike.errors import EvaluationError
from lookalike.evaluation import clustering
from lookalike.evaluation.clustering import clustering_metrics, kmeans


def blobs(classes: int, each: int, noise: float, dim: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    x = rng.standard_normal((classes, dim))[labels] + noise * rng.standard_normal((len(labels), dim))
    return x.astype(np.float32), labels


def test_classes_far_apart_are_found_whole() -> None:
    x, labels = blobs(20, 8, 0.005)
    found = clustering_metrics(x, labels)
    assert (found.nmi, found.ami, found.f1) == pytest.approx((1, 1, 1))
    assert len(np.unique(found.assigned)) == 20


def test_figures_are_those_of_the_pairs() -> None:
    x, labels = blobs(10, 6, 0.9)
    found = clustering_metrics(x, labels)
    pairs = list(combinations(range(60), 2))
    one_class = np.array([labels[i] == labels[j] for i, j in pairs])
    one_cluster = np.array([found.assigned[i] == found.assigned[j] for i, j in pairs])
    precision, recall = one_class[one_cluster].mean(), one_cluster[one_class].mean()
    assert 0.1 < found.f1 < 0.95
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert found.nmi == metrics.normalized_mutual_info_score(labels, found.assigned) > found.ami > 0.1


def test_random_clusters_have_nmi_but_no_ami() -> None:
    rng = np.random.default_rng(0)
    found = clustering_metrics(rng.standard_normal((300, 8)), rng.integers(0, 60, 300))
    assert found.nmi > 0.5 and abs(found.ami) < 0.1


def test_as_good_as_scikit_learn() -> None:
    x, _ = blobs(30, 20, 0.7, seed=1)
    x /= np.linalg.norm(x, axis=1, keepdims=True)

    def inertia(assigned: np.ndarray) -> float:
        return sum(float(((x[assigned == c] - x[assigned == c].mean(0)) ** 2).sum()) for c in np.unique(assigned))

    ours = np.median([inertia(kmeans(torch.from_numpy(x), 30, seed=seed).numpy()) for seed in range(5)])
    theirs = np.median([KMeans(30, n_init=1, random_state=seed).fit(x).inertia_ for seed in range(5)])
    from_chance = inertia(np.random.default_rng(0).integers(0, 30, len(x)))
    assert ours < theirs + 0.1 * (from_chance - theirs)


def test_the_same_every_time_and_other_with_another_seed() -> None:
    x, labels = blobs(12, 10, 0.8)
    first, again, other = (clustering_metrics(x, labels, seed=seed).assigned for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = blobs(12, 10, 0.8)
    whole = clustering_metrics(x, labels)
    monkeypatch.setattr(clustering, "BLOCK", 4 * 12 * 7)
    assert clustering_metrics(x, labels).nmi == pytest.approx(whole.nmi, abs=0.02)


def test_the_unlabeled_are_left_out() -> None:
    x, labels = blobs(5, 6, 0.05)
    labels[3] = -1
    assert len(clustering_metrics(x, labels).assigned) == 29


@pytest.mark.parametrize("rows", [2, 7])
def test_equal_rows_and_as_many_clusters_as_rows_do_no_harm(rows: int) -> None:
    found = clustering_metrics(np.ones((rows, 3)), np.arange(rows))
    assert 0 <= found.nmi <= 1 and np.isfinite(found.f1)
    assert clustering_metrics(np.eye(rows), np.arange(rows)).nmi == pytest.approx(1)


def test_one_class_is_refused() -> None:
    with pytest.raises(EvaluationError, match="with two classes or more"):
        clustering_metrics(np.eye(3), np.array([1, 1, -1]))
