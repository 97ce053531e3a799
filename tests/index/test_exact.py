from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import FilterError, StoredIndexError
from lookalike.index import ExactIndex, Hit, VectorIndex

MakeRows = Callable[..., pa.Table]


def test_it_is_an_index_and_finds_what_a_loop_finds(make_rows: MakeRows) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((50, 5))
    index: VectorIndex = ExactIndex(5)
    index.add(make_rows([f"{n:02}" for n in range(50)], 5, vectors, price=list(range(50))))

    query = rng.standard_normal(5)
    scores = [
        (sum(a * b for a, b in zip(v, query, strict=True)) / (np.linalg.norm(v) * np.linalg.norm(query)), n)
        for n, v in enumerate(vectors)
        if n < 40
    ]
    expected = sorted(scores, reverse=True)[:7]
    hits = index.search(query[None], 7, "price < 40")[0]
    assert [int(hit.item_id) for hit in hits] == [n for _, n in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in expected], abs=1e-6)
    assert hits[0] == Hit(hits[0].item_id, hits[0].score, {"price": expected[0][1]}, hits[0].thumbnail)
    assert hits[0].thumbnail == f"picture of {hits[0].item_id}".encode()


def test_add_replaces_whole_rows(make_rows: MakeRows) -> None:
    index = ExactIndex(4)
    index.add(make_rows(["a", "b"], price=[1, 2]))
    index.add(make_rows(["b", "c"], color=["red", "blue"]))
    known = index.get(["c", "b", "a", "nobody"]).select(["item_id", "price", "color"]).to_pylist()
    assert known == [
        {"item_id": "c", "price": None, "color": "blue"},
        {"item_id": "b", "price": None, "color": "red"},
        {"item_id": "a", "price": 1, "color": None},
    ]
    assert len(index) == 3


def test_remove(make_rows: MakeRows) -> None:
    index = ExactIndex(4)
    index.add(make_rows(["a", "b", "c"]))
    assert index.remove(["a", "a", "nobody"]) == 1
    assert index.remove("bc") == 0
    assert index.remove("b") == 1
    assert [hit.item_id for hit in index.search(np.ones((1, 4)), 9)[0]] == ["c"]


def test_an_empty_index_finds_nothing() -> None:
    index = ExactIndex(4)
    assert index.search(np.ones((2, 4)), 3) == [[], []]
    assert index.search(np.ones((0, 4)), 3) == []
    with pytest.raises(FilterError, match=r"there is no column 'price'\. Known: item_id\."):
        index.search(np.ones((1, 4)), 3, "price < 5")


@pytest.mark.parametrize(
    ("vectors", "k", "sentence"),
    [
        (np.zeros((1, 4)), 1, "query vector 0 is all zeros, so that nothing is near it or far from it"),
        (
            [[1, 1, 1, 1], [1, np.nan, 0, 0]],
            1,
            "query vector 1 has values that are not finite; was the picture encoded?",
        ),
        ([[np.inf, 0, 0, 0]], 1, "query vector 0 has values that are not finite; was the picture encoded?"),
        (np.ones((1, 3)), 1, "queries have shape [1, 3]; this index takes [queries, 4]"),
        (np.ones(4), 1, "queries have shape [4]; this index takes [queries, 4]"),
        (np.ones((1, 4)), 0, "k = 0: ask for at least 1 match"),
        (np.ones((1, 4)), -3, "k = -3: ask for at least 1 match"),
    ],
)
def test_queries_that_have_no_answer(vectors: np.ndarray, k: int, sentence: str, make_rows: MakeRows) -> None:
    index = ExactIndex(4)
    index.add(make_rows(["a"]))
    with pytest.raises(StoredIndexError) as caught:
        index.search(vectors, k)
    assert str(caught.value) == sentence
