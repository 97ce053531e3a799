"""Near-duplicates: equal to a plain loop over all pairs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.catalog import Catalog
from lookalike.errors import FilterError, StoredIndexError
from lookalike.index import ExactIndex, LanceIndex
from lookalike.search import Index
from lookalike.search import duplicates as module
from lookalike.search.duplicates import pairs_above

MakeCatalog = Callable[..., Catalog]


def by_loop(vectors: np.ndarray, threshold: float, kinds: list[int] | None) -> tuple[set[frozenset[int]], list[float]]:
    """The groups of two and more, and each row's best score (-inf without a pair)."""
    count = len(vectors)
    groups = [{row} for row in range(count)]
    best = [-np.inf] * count
    for one in range(count):
        for other in range(one):
            score = sum(float(a) * float(b) for a, b in zip(vectors[one], vectors[other], strict=True))
            if kinds is not None and (kinds[one] == kinds[other] or -1 in (kinds[one], kinds[other])):
                continue
            if round(score, 6) < threshold:
                continue
            best[one], best[other] = max(best[one], score), max(best[other], score)
            together = groups[one] | groups[other]
            for row in together:
                groups[row] = together
    return {frozenset(group) for group in groups if len(group) > 1}, best


@given(
    seed=st.integers(0, 999),
    count=st.integers(0, 40),
    threshold=st.sampled_from([0.5, 0.8, 0.97, 1.0]),
    kinds=st.sampled_from([None, 1, 2, 5]),
    block=st.sampled_from([(3, 7), (4, 4), (5, 100), (100, 3)]),
)
def test_as_a_loop_over_all_pairs(
    seed: int, count: int, threshold: float, kinds: int | None, block: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 3))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    if count:  # exact copies
        vectors = vectors[rng.integers(0, count, count)]
    numbers = None if kinds is None else rng.integers(-1, kinds, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ROWS", block[0])
        patch.setattr(module, "BLOCK_COLUMNS", block[1])
        groups, twins, scores = pairs_above(vectors, threshold, numbers)
    expected, best = by_loop(vectors, threshold, None if numbers is None else numbers.tolist())
    assert scores == pytest.approx(best, abs=1e-6)
    assert ((twins < 0) == np.isinf(scores)).all()
    found: dict[int, set[int]] = {}
    for row in np.flatnonzero(twins >= 0).tolist():
        found.setdefault(int(groups[row]), set()).add(row)
        assert float(vectors[row] @ vectors[twins[row]]) == pytest.approx(scores[row], abs=1e-6)
    assert {frozenset(group) for group in found.values()} == expected


def test_many_copies_of_one_picture_cost_no_memory_for_their_pairs() -> None:
    vectors = np.tile(np.eye(4, dtype=np.float32)[:1], (5000, 1))
    groups, twins, scores = pairs_above(vectors, 0.97)
    assert len(set(groups.tolist())) == 1
    assert twins.tolist() == [1] + [0] * 4999
    assert scores.tolist() == [1.0] * 5000


@pytest.fixture(params=["exact", "lance"])
def shop(
    request: pytest.FixtureRequest, make_catalog: MakeCatalog, make_picture: Any, encoder: Any, tmp_path: Path
) -> Index:
    pictures = make_catalog().column("image")
    pictures[7], pictures[12] = pictures[0], pictures[0]  # green-2 and blue-2 are red-0
    pictures[19] = pictures[18]  # pink-4 is pink-3
    sellers = ["ann", "bob", None, "eve"] * 5
    index = Index(encoder, ExactIndex(12) if request.param == "exact" else LanceIndex.create(tmp_path, 12))
    index.add(make_catalog(image=pictures, seller=sellers))
    return index


def ids(groups: list[list[Any]]) -> list[list[str]]:
    return [[item.item_id for item in group] for group in groups]


def test_groups_of_an_index(shop: Index) -> None:
    groups = shop.duplicates(0.9999)
    assert ids(groups) == [["blue-2", "green-2", "red-0"], ["pink-3", "pink-4"]]
    first = groups[0][0]
    assert (first.twin, first.score) == ("green-2", pytest.approx(1.0, abs=1e-6))
    assert first.attributes == {"label": "blue", "price": 20, "seller": "ann"}
    assert ids(shop.duplicates(0.9999, where="label <> 'pink' and price < 20 or label = 'pink'")) == [
        ["pink-3", "pink-4"]
    ]
    assert shop.duplicates(0.9999, where="price > 1000") == []


def test_across_a_column_pairs_must_differ(shop: Index) -> None:
    # red-0 and blue-2 are ann's, green-2 eve's; pink-3 has no seller, pink-4 is eve's.
    groups = shop.duplicates(0.9999, across="seller")
    assert ids(groups) == [["blue-2", "green-2", "red-0"]]
    assert {item.item_id: item.twin for item in groups[0]} == {
        "blue-2": "green-2",
        "green-2": "blue-2",
        "red-0": "green-2",
    }
    assert ids(shop.duplicates(0.9999, across="price")) == [["blue-2", "green-2", "red-0"], ["pink-3", "pink-4"]]
    assert ids(shop.duplicates(0.9999, across="item_id")) == ids(shop.duplicates(0.9999))


@pytest.mark.parametrize(
    ("question", "error", "sentence"),
    [
        ({"threshold": 1.5}, StoredIndexError, "threshold = 1.5: it must be a similarity, above -1 and at most 1"),
        ({"threshold": float("nan")}, StoredIndexError, "threshold = nan: it must be a similarity"),
        ({"across": "seler"}, StoredIndexError, "across='seler': there is no such column. Did you mean 'seller'"),
        ({"across": "vector"}, StoredIndexError, "across='vector': there is no such column."),
        ({"where": "prize < 3"}, FilterError, "where='prize < 3' cannot be used: there is no column 'prize'."),
    ],
)
def test_questions_without_an_answer(
    question: dict[str, Any], error: type[Exception], sentence: str, shop: Index
) -> None:
    with pytest.raises(error) as caught:
        shop.duplicates(**question)
    assert str(caught.value).startswith(sentence)
