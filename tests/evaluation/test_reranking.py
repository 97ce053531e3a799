"""Re-ranking against the formulas in plain sets and loops."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from lookalike.errors import EvaluationError
from lookalike.evaluation import retrieval_metrics
from lookalike.evaluation.neighbors import Block
from lookalike.evaluation.reranking import KReciprocal, expanded_queries
from tests.evaluation import references


def noisy(items: int, classes: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(items) % classes)
    x = rng.standard_normal((classes, 10))[labels] + noise * rng.standard_normal((items, 10))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize(("k", "alpha"), [(0, 3.0), (1, 0.0), (4, 3.0)])
@pytest.mark.parametrize("with_gallery", [False, True])
def test_expansion_by_its_formula(k: int, alpha: float, with_gallery: bool) -> None:
    x, _ = noisy(20, 4, 0.3)
    y = noisy(15, 4, 0.3, seed=1)[0] if with_gallery else None
    found = expanded_queries(x, y, k=k, alpha=alpha)
    among = x if y is None else y
    for query in range(20):
        near = references.ranking(x, query, y)[:k]
        total = x[query] + sum(max(0, x[query] @ among[n]) ** alpha * among[n] for n in near)
        np.testing.assert_allclose(found[query], total / np.linalg.norm(total), atol=1e-5)


def test_expansion_helps_where_classes_are_noisy() -> None:
    x, labels = noisy(200, 10, 0.7)
    plain, expanded = retrieval_metrics(x, labels), retrieval_metrics(expanded_queries(x), labels)
    assert expanded.map_at_r > plain.map_at_r + 0.03


def descriptions(x: np.ndarray, k1: int, k2: int) -> np.ndarray:
    """Sets and loops over the paper's definitions; [N, N]."""
    count = len(x)
    order = [[item, *references.ranking(x, item, None)] for item in range(count)]

    def near(item: int, k: int) -> set[int]:
        return {other for other in order[item][: k + 1] if item in order[other][: k + 1]}

    weights = np.zeros((count, count))
    for item in range(count):
        around = near(item, k1)
        whole = set(around)
        for other in around:
            core = near(other, round(k1 / 2))
            if len(core & around) >= 2 / 3 * len(core):
                whole |= core
        for other in whole:
            weights[item, other] = np.exp(float(x[item] @ x[other]) - 1)
        weights[item] /= weights[item].sum()
    return np.stack([weights[order[item][:k2]].mean(axis=0) for item in range(count)])


@pytest.mark.parametrize("with_gallery", [False, True])
@pytest.mark.parametrize(("k1", "k2", "weight"), [(6, 3, 0.3), (5, 1, 0.0), (1, 1, 1.0)])
def test_k_reciprocal_by_its_definition(k1: int, k2: int, weight: float, with_gallery: bool) -> None:
    x, _ = noisy(24, 4, 0.6)
    queries, gallery = (x[:9], x[9:]) if with_gallery else (x, None)
    rerank = KReciprocal(queries, gallery, k1=k1, k2=k2, weight=weight, depth=10)
    described = descriptions(x, k1, k2)
    rows = torch.tensor([3, 0, 7])
    among, start = (x, 0) if gallery is None else (gallery, 9)
    numbers = torch.tensor([references.ranking(queries, row, gallery)[:12] for row in rows.tolist()])
    cosines = torch.from_numpy(np.stack([among[n] @ queries[r] for r, n in zip(rows, numbers, strict=True)]))
    found = rerank(Block(rows, numbers, cosines))
    for place, row in enumerate(rows.tolist()):

        def distance(number: int) -> float:
            own, other = described[row], described[number + start]  # noqa: B023
            jaccard = 1 - np.minimum(own, other).sum() / np.maximum(own, other).sum()
            return (1 - weight) * jaccard + weight * (1 - float(queries[row] @ among[number]))  # noqa: B023

        before, after = numbers[place].tolist(), found.numbers[place].tolist()
        assert sorted(after[:10]) == sorted(before[:10]) and after[10:] == before[10:]
        distances = [distance(number) for number in after[:10]]
        assert all(a <= b + 1e-6 for a, b in pairwise(distances))
        np.testing.assert_allclose(found.cosines[place], among[after] @ queries[row], atol=1e-6)


def test_k_reciprocal_helps_and_is_an_option_of_the_figures() -> None:
    x, labels = noisy(300, 15, 0.7)
    plain, reranked = retrieval_metrics(x, labels), retrieval_metrics(x, labels, rerank=KReciprocal(x))
    assert reranked.map_at_r > plain.map_at_r + 0.03
    cosine_only = retrieval_metrics(x, labels, rerank=KReciprocal(x, weight=1.0))
    assert cosine_only.map_at_r == pytest.approx(plain.map_at_r)


def test_what_a_query_may_not_see_stays_last() -> None:
    x, labels = noisy(60, 5, 0.5)
    groups = np.arange(60) % 6
    plain = retrieval_metrics(x, labels, groups=groups)
    found = retrieval_metrics(x, labels, groups=groups, rerank=KReciprocal(x, weight=1.0))
    assert found.map_at_r == pytest.approx(plain.map_at_r)


@pytest.mark.parametrize(
    "settings", [{"k1": 20}, {"k1": 3, "k2": 4}, {"k1": 3, "k2": 0}, {"k1": 3, "k2": 1, "weight": 2}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(EvaluationError, match=r"1 <= k2 <= k1 < 20 items and a weight in 0\.\.1"):
        KReciprocal(noisy(20, 4, 0.3)[0], **settings)  # type: ignore[arg-type]


def test_a_negative_alpha_is_refused() -> None:
    with pytest.raises(EvaluationError, match="alpha must be at least 0, not -1"):
        expanded_queries(np.eye(3), alpha=-1)
