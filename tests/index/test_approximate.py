"""A table with a vector index: how much of the truth is found, near and far, filtered, and after changes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import StoredIndexError
from lookalike.index import ExactIndex, LanceIndex, Plan, VectorIndex, approximate, resident
from lookalike.index.plan import NAME

MakeRows = Callable[..., pa.Table]
ROWS, DIM, GROUPS, QUERIES = 50_000, 64, 500, 60


def clustered(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in clusters, as embeddings of products are, and the number of each one's cluster."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((GROUPS, DIM))
    groups = rng.integers(0, GROUPS, count)
    return centers[groups] + 0.7 * rng.standard_normal((count, DIM)), groups


@pytest.fixture(scope="module")
def indexes(make_rows: MakeRows, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExactIndex, LanceIndex]:
    vectors, groups = clustered(0, ROWS)
    columns = {"price": (np.arange(ROWS) * 7 % 100).tolist(), "color": np.array(["red", "blue"])[groups % 2].tolist()}
    rows = make_rows([str(number) for number in range(ROWS)], DIM, vectors, **columns)
    exact, lance = ExactIndex(DIM), LanceIndex.create(tmp_path_factory.mktemp("approximate"), DIM)
    exact.add(rows)
    lance.add(rows)
    assert not lance.is_optimizing_due  # in memory they are searched faster
    lance.optimize(approximate=True)
    return exact, lance


def recall(exact: VectorIndex, lance: VectorIndex, queries: np.ndarray, **question: Any) -> float:
    found, expected = lance.search(queries, 10, **question), exact.search(queries, 10, **question)
    for some, every in zip(found, expected, strict=True):
        scores = {hit.item_id: hit.score for hit in every}
        assert all(hit.score == scores[hit.item_id] for hit in some if hit.item_id in scores)
        assert [hit.score for hit in some] == sorted((hit.score for hit in some), reverse=True)
    shares = [
        len({hit.item_id for hit in a} & {hit.item_id for hit in b}) / len(b)
        for a, b in zip(found, expected, strict=True)
    ]
    return float(np.mean(shares))


def queries_of(kind: str) -> np.ndarray:
    if kind == "far":  # from all rows, as words are
        return np.random.default_rng(5).standard_normal((QUERIES, DIM))
    return clustered(1, QUERIES)[0]


def test_the_plan_says_what_was_measured(indexes: tuple[ExactIndex, LanceIndex]) -> None:
    plan = indexes[1].plan
    assert plan is not None
    assert (plan.recall_target, plan.rows) == (0.99, ROWS)
    assert 0.99 <= plan.recall <= 1
    assert 1 <= plan.probes <= plan.clusters


@pytest.mark.parametrize("kind", ["near", "far"])
@pytest.mark.parametrize("where", [None, "price < 70", "price < 15", "price = 3", "color = 'red'", "color <> 'red'"])
def test_recall(kind: str, where: str | None, indexes: tuple[ExactIndex, LanceIndex]) -> None:
    assert recall(*indexes, queries_of(kind), where=where) >= 0.98


def test_recall_of_groups(indexes: tuple[ExactIndex, LanceIndex]) -> None:
    assert recall(*indexes, queries_of("near")[:20], group_by="price") >= 0.98


def test_the_test_of_recall_can_fail(indexes: tuple[ExactIndex, LanceIndex], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LanceIndex, "plan", Plan(1, 24, 1, 1.0, 0.99, ROWS))
    assert recall(*indexes, queries_of("far")) < 0.9


def test_changes_are_seen_at_once(make_rows: MakeRows, tmp_path: Path) -> None:
    vectors, _ = clustered(2, 3000)
    exact, lance = ExactIndex(DIM), LanceIndex.create(tmp_path, DIM)
    for index in (exact, lance):
        index.add(make_rows([str(number) for number in range(3000)], DIM, vectors))
    plan = lance.optimize(approximate=True)
    assert plan is not None
    assert plan.recall >= 0.99
    more, _ = clustered(3, 400)
    for index in (exact, lance):
        index.add(make_rows([str(number) for number in range(2800, 3200)], DIM, more))  # half new, half replaced
        index.remove([str(number) for number in range(100)])
    for _ in range(2):
        assert len(lance) == len(exact) == 3100
        assert recall(exact, lance, more[:100]) >= 0.98
        assert all(hits[0].item_id == str(2800 + place) for place, hits in enumerate(lance.search(more[:100], 1)))
        lance.tidy()
        lance = LanceIndex.open(tmp_path)
    assert lance.plan == plan
    assert {entry.num_unindexed_rows for entry in lance._table.list_indices()} == {0}


@pytest.mark.parametrize("left", [None, "", "{}", "[1]", '{"probes": 3}'])
def test_without_a_plan_every_row_is_read(left: str | None, make_rows: MakeRows, tmp_path: Path) -> None:
    vectors, _ = clustered(2, 1000)
    exact, lance = ExactIndex(DIM), LanceIndex.create(tmp_path, DIM)
    for index in (exact, lance):
        index.add(make_rows([str(number) for number in range(1000)], DIM, vectors))
    lance.optimize(approximate=True)
    assert set(json.loads((tmp_path / NAME).read_text())) >= {"probes", "recall"}
    (tmp_path / NAME).unlink() if left is None else (tmp_path / NAME).write_text(left)
    assert lance.plan is None
    queries = queries_of("far")
    assert lance.search(queries, 10) == exact.search(queries, 10)


def test_a_target_that_is_not_reached_leaves_every_row_read(
    make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lance = LanceIndex.create(tmp_path, DIM)
    lance.add(make_rows([str(number) for number in range(1000)], DIM, clustered(2, 1000)[0]))
    monkeypatch.setattr(resident, "MOST_BYTES", 0)
    monkeypatch.setattr(approximate, "ENOUGH_ROWS", 900)
    monkeypatch.setattr(approximate, "_recall", lambda *_: 0.98)
    assert lance.is_optimizing_due
    assert lance.optimize() is None
    assert lance.plan is None
    assert not lance.is_optimizing_due  # it was tried, and is not tried with every batch
    monkeypatch.setattr(approximate, "_recall", lambda *_: 0.995)
    assert lance.optimize() is not None
    assert lance.optimize(approximate=False) is None
    assert (lance.plan, lance._table.list_indices()) == (None, [])


def test_when_it_is_due(make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "ENOUGH_ROWS", 500)
    # Of 600 rows and 12 numbers each the vectors have room, but not the ids of five letters and the places of these.
    monkeypatch.setattr(resident, "MOST_BYTES", 600 * 12 * 4 + 600 * 5)
    lance = LanceIndex.create(tmp_path, 12)  # a dimension that the codes cannot have
    due = []
    for part in range(4):
        lance.add(make_rows([f"{part}/{number:03}" for number in range(300)], 12))
        due.append(lance.is_optimizing_due)
        if due[-1]:
            assert lance.optimize() is not None
    assert due == [False, True, False, True]


def test_it_is_not_due_where_the_rows_have_room_in_memory(
    make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "ENOUGH_ROWS", 500)
    lance = LanceIndex.create(tmp_path, 4)
    lance.add(make_rows([str(number) for number in range(600)]))
    assert not lance.is_optimizing_due
    assert lance.optimize() is None


def test_an_index_that_was_asked_for_stays(
    make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lance = LanceIndex.create(tmp_path, 8)
    lance.add(make_rows([str(number) for number in range(600)], 8))
    assert lance.optimize(approximate=True) is not None
    query = np.ones((1, 8))
    monkeypatch.setattr(resident.Snapshot, "search", None)  # is not asked
    assert lance.search(query, 3) == lance.search(query, 3) == lance.search(query, 3)
    assert lance.optimize() is not None
    monkeypatch.undo()
    assert lance.optimize(approximate=False) is None
    lance.search(np.ones((2, 8)), 3)
    assert lance._resident.known() is not None


@pytest.mark.parametrize("target", [0, -1, 1.1, float("nan")])
def test_targets_that_are_none(target: float, tmp_path: Path) -> None:
    with pytest.raises(StoredIndexError, match=r"recall_target = .*: it must be above 0 and at most 1"):
        LanceIndex.create(tmp_path, 4).optimize(target)
