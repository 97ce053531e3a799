"""Every figure, label and option of retrieval: against loops, by hand, and against libraries where they agree."""

from collections.abc import Collection

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from lookalike.errors import EvaluationError
from lookalike.evaluation import retrieval_metrics
from lookalike.evaluation.ranks import figures_of, first_hit
from tests.evaluation import references


def generic(rows: int, seed: int, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def at_angles(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def figures(hits: list[int], to_find: int, k: list[int]) -> dict[str, float]:
    found = figures_of(torch.tensor([hits]).bool(), torch.tensor([to_find]), k)
    return {name: values.item() for name, values in found.items()}


def test_a_ranking_worked_out_by_hand() -> None:
    """Miss, hit, hit, miss, hit with R = 4: P = 0, 1/2, 2/3, 1/2, 3/5."""
    found = figures([0, 1, 1, 0, 1], 4, [1, 3, 5])
    discounts = 1 / np.log2(np.arange(2, 7))
    assert found == pytest.approx(
        {
            "r_precision": 2 / 4,
            "map_at_r": (1 / 2 + 2 / 3) / 4,
            "precision_at_1": 0,
            "precision_at_3": 2 / 3,
            "precision_at_5": 3 / 5,
            "map_at_1": 0,
            "map_at_3": (1 / 2 + 2 / 3) / 3,
            "map_at_5": (1 / 2 + 2 / 3 + 3 / 5) / 4,
            "ndcg_at_1": 0,
            "ndcg_at_3": discounts[[1, 2]].sum() / discounts[:3].sum(),
            "ndcg_at_5": discounts[[1, 2, 4]].sum() / discounts[:4].sum(),
            "mrr_at_1": 0,
            "mrr_at_3": 1 / 2,
            "mrr_at_5": 1 / 2,
        },
        abs=1e-12,
    )


def test_k_above_what_there_is_finds_no_more() -> None:
    found = figures([0, 1], 1, [2, 10])
    assert found["precision_at_10"] == pytest.approx(1 / 10)
    assert found["map_at_10"] == found["map_at_2"] == 1 / 2
    assert found["ndcg_at_10"] == found["ndcg_at_2"] == pytest.approx(1 / np.log2(3))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=12), st.integers(0, 5), st.integers(1, 15))
def test_figures_equal_the_reference(hits: list[int], more: int, k: int) -> None:
    to_find = sum(hits) + more
    if to_find:
        assert figures(hits, to_find, [k]) == pytest.approx(references.figures(hits, to_find, k), abs=1e-12)


def test_ndcg_is_that_of_scikit_learn() -> None:
    """Of whole rankings, where scores are the ranks turned round."""
    hits = np.random.default_rng(0).integers(0, 2, (20, 12))
    hits[:, 3] = 1
    ours = figures_of(torch.from_numpy(hits).bool(), torch.from_numpy(hits.sum(1)), [5])["ndcg_at_5"]
    theirs = [sklearn_metrics.ndcg_score([row], [-np.arange(12)], k=5) for row in hits]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    average = figures_of(torch.from_numpy(hits).bool(), torch.from_numpy(hits.sum(1)), [12])["map_at_12"]
    theirs = [sklearn_metrics.average_precision_score(row, -np.arange(12)) for row in hits]
    np.testing.assert_allclose(average, theirs, atol=1e-12)


def test_no_hit_comes_last_of_all() -> None:
    assert first_hit(torch.tensor([[False, True], [False, False]])).tolist() == [2, torch.iinfo(torch.int64).max]


LABEL_SETS = st.lists(st.sets(st.integers(0, 5), max_size=3), min_size=2, max_size=12)


@settings(deadline=None, max_examples=150)
@given(LABEL_SETS, LABEL_SETS, st.booleans(), st.booleans(), st.integers(0, 999))
def test_several_labels_and_groups_equal_the_reference(
    own: list[set[int]], theirs: list[set[int]], with_gallery: bool, grouped: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = generic(len(own), seed), generic(len(theirs), seed + 1000)
    groups, gallery_groups = rng.integers(0, 3, len(own)), rng.integers(0, 3, len(theirs))
    expected = references.options(
        x,
        own,
        y if with_gallery else None,
        theirs if with_gallery else None,
        groups if grouped else None,
        gallery_groups if with_gallery and grouped else None,
        k=4,
    )
    arguments = (x, own, y, theirs) if with_gallery else (x, own)
    options = {"groups": groups, "gallery_groups": gallery_groups} if with_gallery else {"groups": groups}
    options = options if grouped else {}
    if not expected:
        with pytest.raises(EvaluationError, match="not one of"):
            retrieval_metrics(*arguments, k=[4], **options)
        return
    found = retrieval_metrics(*arguments, k=[4], **options)
    assert found.query_numbers.tolist() == list(expected)
    for metric in ("recall_at_4", *found.per_query):
        wanted = [row[metric] for row in expected.values()]
        np.testing.assert_allclose(found.values(metric), wanted, atol=1e-12)


def test_several_labels_in_either_form_are_the_same() -> None:
    sets: list[Collection[int]] = [{0, 1}, [1], (), {2}, {2, 0}, (1, 2)]
    table = np.array([[label in own for label in range(3)] for own in sets])
    x = generic(6, 0)
    found = [retrieval_metrics(x, labels) for labels in (sets, table, torch.from_numpy(table))]
    assert found[0].num_queries == 5 and 0 < found[0].map_at_r < 1
    assert len({(f.map_at_r, f.recall_at[2], *f.query_labels) for f in found}) == 1


def test_single_labels_as_sets_change_nothing() -> None:
    labels, x = np.arange(30) % 7, generic(30, 1)
    one, sets = retrieval_metrics(x, labels), retrieval_metrics(x, [{label} for label in labels.tolist()])
    assert all(np.array_equal(one.values(m), sets.values(m)) for m in one.metrics)


def test_an_unlabeled_item_is_a_distractor_and_never_asked() -> None:
    """At 0° a, 1° none, 2° none, 3° a, 40° none: each a finds the other behind what lies between."""
    found = retrieval_metrics(at_angles(0, 1, 2, 3, 40), np.array([7, -1, -1, 7, -1]), k=[1, 2, 3])
    assert found.query_numbers.tolist() == [0, 3] and found.num_skipped == 3
    assert found.first_hit.tolist() == [3, 3] and found.num_gallery == 5


def test_a_class_larger_than_any_k_is_counted_whole() -> None:
    """Unbalanced: R of 1, 2 and 80, in blocks of few queries."""
    labels = np.array([0] * 81 + [1] * 2 + [2] * 3)
    x = generic(86, 5)
    whole, small = retrieval_metrics(x, labels), retrieval_metrics(x, labels, memory_mb=0)
    expected = references.retrieval(x, labels.tolist(), None, None, (1, 2, 4, 8))
    assert expected is not None and whole.map_at_r == pytest.approx(expected.map_at_r, abs=1e-12)
    assert all(np.array_equal(whole.values(m), small.values(m)) for m in whole.metrics)


@pytest.mark.parametrize(("ties", "first"), [("number", [2, 3, 1, 2]), ("worst", [3, 3, 3, 3]), ("best", [1, 1, 1, 1])])
def test_ties_favor_whom_they_are_told_to(ties: str, first: list[int]) -> None:
    """Four equal vectors a b a b, in the order of numbers: the first sees b a b, the last a b a."""
    found = retrieval_metrics(np.ones((4, 3)), np.array([0, 1, 0, 1]), k=[1], ties=ties)  # type: ignore[arg-type]
    deep = retrieval_metrics(np.ones((4, 3)), np.array([0, 1, 0, 1]), k=[1, 3], ties=ties)  # type: ignore[arg-type]
    assert deep.first_hit.tolist() == first
    assert found.recall_at[1] == deep.recall_at[1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=4, max_size=30))
def test_any_order_of_ties_lies_between_worst_and_best(items: list[tuple[int, int]]) -> None:
    directions, labels = (np.array(column) for column in zip(*items, strict=True))
    if np.bincount(labels).max() < 2:
        return
    x = np.eye(4, dtype=np.float32)[directions] + 0.1
    worst, one, best = (retrieval_metrics(x, labels, ties=t) for t in ("worst", "number", "best"))  # type: ignore[arg-type]
    for metric in one.metrics:
        assert (worst.values(metric) <= one.values(metric) + 1e-12).all()
        assert (one.values(metric) <= best.values(metric) + 1e-12).all()


def test_a_collapsed_model_gets_nothing_in_the_worst_case() -> None:
    labels = np.arange(40) % 10
    assert retrieval_metrics(np.ones((40, 2)), labels, ties="worst").recall_at[8] == 0
    assert retrieval_metrics(np.ones((40, 2)), labels, ties="best").recall_at[1] == 1


def test_bfloat16_products_give_the_same_figures() -> None:
    labels = np.random.default_rng(1).integers(0, 30, 400)
    x = generic(30, 2, 24)[labels] + 1.2 * generic(400, 3, 24)
    one, other = (retrieval_metrics(x, labels, precision=p) for p in ("float32", "bfloat16"))  # type: ignore[arg-type]
    assert 0.2 < one.map_at_r < 0.9
    assert all(np.array_equal(one.values(m), other.values(m)) for m in one.metrics)


def test_slices_are_the_parts_of_the_queries() -> None:
    labels = np.arange(60) % 10
    labels[59] = 99  # a singleton: not asked
    x = generic(10, 4)[labels % 10] + generic(60, 5)
    found = retrieval_metrics(x, labels, k=[1])
    domains = np.array(["street", "studio", "web"])[np.arange(60) % 3]
    sliced = found.slices("recall_at_1", by=domains)
    assert list(sliced) == ["street", "studio", "web"] and sum(part.queries for part in sliced.values()) == 59
    for name, part in sliced.items():
        own = domains[found.query_numbers] == name
        assert part.mean == found.values("recall_at_1")[own].mean() and part.low <= part.mean <= part.high
    classes = found.slices("map_at_r")
    assert list(classes) == list(range(10)) and np.isnan(classes[3].low)
    assert np.average([c.mean for c in classes.values()], weights=[c.queries for c in classes.values()]) == (
        pytest.approx(found.map_at_r)
    )


def test_nmi_only_where_it_was_asked_for() -> None:
    labels = np.arange(40) % 4
    x = 5 * generic(4, 6)[labels] + 0.1 * generic(40, 7)
    with pytest.raises(EvaluationError, match=r"call retrieval_metrics\(\.\.\., clustering=True\)"):
        _ = retrieval_metrics(x, labels).nmi
    assert retrieval_metrics(x, labels, clustering=True).nmi == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"groups": [0, 1]}, r"groups are one integer a row, not \(2,\) and \(2,\)"),
        ({"gallery_groups": [0] * 4}, "give groups, and gallery_groups with a gallery"),
        ({"groups": [0] * 4, "gallery_groups": [0] * 4}, "give groups, and gallery_groups with a gallery"),
        ({"groups": [0] * 4}, "not one of 4 queries has an item of its class to find"),
    ],
)
def test_groups_that_do_not_fit_are_refused(options: dict[str, list[int]], sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        retrieval_metrics(generic(4, 0), np.array([0, 0, 1, 1]), **{k: np.array(v) for k, v in options.items()})


def test_labels_of_too_many_dimensions_are_refused() -> None:
    with pytest.raises(
        EvaluationError, match=r"query embeddings must be \[N, D\] with labels \[N\], not \(4, 6\), \(3,\)"
    ):
        retrieval_metrics(generic(4, 0), [{0}, {0}, {1}])
