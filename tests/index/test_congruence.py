"""Every index equals the reference: the same calls, filters and deletions give the same hits."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lookalike.errors import StoredIndexError
from lookalike.index import ExactIndex, LanceIndex, VectorIndex, lance, resident
from lookalike.index.rows import THUMBNAIL

DIM = 3
IDS = [f"item {number}" for number in range(30)]
# Few directions, so that ties are common and the k-th place often lies among them.
DIRECTIONS = [(1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 2, 3), (-1, 0, 0), (1, 1, 1e-4)]
FILTERS = [
    None,
    "price < 5",
    "not (price < 5)",
    "price is null or color in ('red', 'it''s')",
    "color like 'r%' and price between 2 and 8",
    "item_id <> 'item 3'",
    "size > 2",
]
MORE: list[dict[str, Any]] = [
    {},
    {"group_by": "color"},
    {"without": ["item 1", "item 2", "nobody's"]},
    {},
    {"group_by": "price", "without": ["item 3", "item 4"]},
]
PRICES = pa.array([*range(10), None], pa.int64())
COLORS = pa.array(["red", "rose", "it's", None], pa.string())
SIZES = pa.array([1.5, 2.5, 3.0, float("nan"), None], pa.float64())


class Twins(RuleBasedStateMachine):
    """Does everything to both indexes and compares what they answer."""

    make_rows: Callable[..., pa.Table]
    comparisons = 0
    rollbacks = 0
    hits = 0
    #: how many answers came from where: disk, memory, memory but for the thumbnails
    answers: ClassVar[Counter[str]] = Counter()

    @initialize(seed=st.integers(0, 9))
    def begin(self, seed: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="twins."))
        self.exact: VectorIndex = ExactIndex(DIM)
        self.lance: VectorIndex = LanceIndex.create(self.folder, DIM)
        self.turn = seed
        self.keep()
        if seed:
            self.add(IDS[:20], {"price", "color"}, seed)

    def teardown(self) -> None:
        self.same_checksums()
        self.rollback(1)  # whatever rules chance drew
        self.same_versions()
        self.same_matches()
        self.same_checksums()
        shutil.rmtree(self.folder)

    @rule(
        ids=st.lists(st.sampled_from(IDS), unique=True, max_size=20),
        columns=st.sets(st.sampled_from(["price", "color", "size"])),
        seed=st.integers(0, 999),
    )
    def add(self, ids: list[str], columns: set[str], seed: int) -> None:
        rng = np.random.default_rng(seed)
        known = {
            name: values.take(pa.array(rng.integers(0, len(values), len(ids))))
            for name, values in (("price", PRICES), ("color", COLORS), ("size", SIZES))
            if name in columns
        }
        vectors = [DIRECTIONS[number] for number in rng.integers(0, len(DIRECTIONS), len(ids))]
        rows = Twins.make_rows(ids, DIM, vectors, **known)
        self.exact.add(rows)
        self.lance.add(rows)

    @rule(ids=st.lists(st.sampled_from([*IDS, "nobody's"]), max_size=8))
    def remove(self, ids: list[str]) -> None:
        assert self.lance.remove(ids) == self.exact.remove(ids)

    @rule(
        vectors=st.lists(st.sampled_from(DIRECTIONS), min_size=1, max_size=2),
        k=st.sampled_from([1, 2, 5, 29, 100]),
        where=st.sampled_from(FILTERS),
        more=st.sampled_from(MORE),
    )
    def search(self, vectors: list[Any], k: int, where: str | None, more: dict[str, Any]) -> None:
        expected = self.answer(self.exact, vectors, k, where, more)
        # The first question about a commit is answered from disk, the second from memory, if not the first too.
        for _ in range(2):
            assert self.answer(self.lance, vectors, k, where, more) == expected
        assert isinstance(self.lance, LanceIndex)
        assert self.lance._resident.known() is not None
        Twins.comparisons += 1
        Twins.hits += len(expected[0]) if isinstance(expected, list) else 0

    @invariant()
    def same_matches(self) -> None:
        # After every step, whatever rules chance draws: the filters and sizes take turns.
        self.turn += 1
        self.search(
            [DIRECTIONS[self.turn % len(DIRECTIONS)]],
            (100, 5)[self.turn % 2],
            FILTERS[self.turn % len(FILTERS)],
            MORE[self.turn % len(MORE)],
        )

    @rule(ids=st.lists(st.sampled_from([*IDS, "nobody's"]), max_size=5))
    def get(self, ids: list[str]) -> None:
        names = sorted(self.exact.schema.names)
        assert self.lance.get(ids).select(names).to_pylist() == self.exact.get(ids).select(names).to_pylist()
        some = ["vector", "item_id"]
        assert self.lance.get(ids, some).to_pylist() == self.exact.get(ids, some).to_pylist()

    @rule()
    def keep(self) -> None:
        self.exact.keep()
        self.lance.keep()

    @rule(which=st.integers(0, 3))
    def rollback(self, which: int) -> None:
        numbers = [version.number for version in self.exact.versions]
        number = numbers[which % len(numbers)] if which else 99  # not by chance: most are kept ones

        def told(index: VectorIndex) -> str:
            try:
                index.rollback(number)
            except StoredIndexError as error:
                return str(error)
            Twins.rollbacks += 1
            return ""

        assert told(self.lance) == told(self.exact)

    @invariant()
    def same_versions(self) -> None:
        assert [(version.number, version.rows) for version in self.lance.versions] == [
            (version.number, version.rows) for version in self.exact.versions
        ]

    def same_checksums(self) -> None:
        lance, exact = (
            index.scan(["item_id", "_checksum"]).sort_by("item_id").to_pylist() for index in (self.lance, self.exact)
        )
        assert lance == exact
        assert self.lance.verify().is_whole
        assert self.exact.verify().rows == len(exact)

    @rule()
    def reopen(self) -> None:
        self.lance = LanceIndex.open(self.folder)

    @rule()
    def tidy(self) -> None:
        assert isinstance(self.lance, LanceIndex)
        self.lance.tidy()

    @invariant()
    def same_size_and_columns(self) -> None:
        assert len(self.lance) == len(self.exact)
        assert dict(zip(self.lance.schema.names, self.lance.schema.types, strict=True)) == dict(
            zip(self.exact.schema.names, self.exact.schema.types, strict=True)
        )

    @staticmethod
    def answer(index: VectorIndex, vectors: list[Any], k: int, where: str | None, more: dict[str, Any]) -> Any:
        try:
            return index.search(np.array(vectors, dtype=np.float32), k, where, **more)
        except StoredIndexError as error:
            return str(error)


def spy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count where answers come from; every other time that rows are loaded, the thumbnails stay on disk."""
    answer, search, within, loads = lance.answer, resident.Snapshot.search, resident.rows_within, iter(range(10**9))

    def from_disk(*arguments: Any) -> Any:
        Twins.answers["disk"] += 1
        return answer(*arguments)

    def from_memory(snapshot: resident.Snapshot, *arguments: Any) -> Any:
        Twins.answers["memory" if THUMBNAIL in snapshot.table.column_names else "memory but for the thumbnails"] += 1
        return search(snapshot, *arguments)

    def with_or_without(table: Any, columns: Any, most_bytes: int) -> Any:
        return None if THUMBNAIL in columns and next(loads) % 2 else within(table, columns, most_bytes)

    monkeypatch.setattr(lance, "answer", from_disk)
    monkeypatch.setattr(resident.Snapshot, "search", from_memory)
    monkeypatch.setattr(resident, "rows_within", with_or_without)


def test_lance_equals_exact(make_rows: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch) -> None:
    Twins.make_rows = staticmethod(make_rows)
    Twins.comparisons = Twins.hits = Twins.rollbacks = 0
    Twins.answers = Counter()
    spy(monkeypatch)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Twins,
        settings=settings(
            max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert Twins.comparisons > 30
    assert Twins.hits > 100
    assert Twins.rollbacks > 10
    assert len(Twins.answers) == 3
    assert min(Twins.answers.values()) > 30


def test_a_large_tie_is_cut_in_the_order_of_item_id(make_rows: Callable[..., pa.Table], tmp_path: Path) -> None:
    ids = [f"{number:04}" for number in np.random.default_rng(0).permutation(3000)]
    rows = make_rows(ids, DIM, [DIRECTIONS[int(item) % 2] for item in ids])
    exact, stored = ExactIndex(DIM), LanceIndex.create(tmp_path, DIM)
    for index in (exact, stored):
        for start in range(0, 3000, 1000):
            index.add(rows.slice(start, 1000))
    for index in (exact, stored, stored):  # from disk, then from memory
        hits = index.search(np.array([[1.0, 0, 0]]), 20)[0]
        assert [hit.item_id for hit in hits] == [f"{number:04}" for number in range(0, 40, 2)]
        assert {hit.score for hit in hits} == {1.0}


def test_a_large_group_costs_one_round(
    make_rows: Callable[..., pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    ids, shops = [f"{number:04}" for number in range(2000)], ["all"] * 1500 + [f"shop {n % 60}" for n in range(500)]
    vectors = rng.standard_normal((2000, DIM)) + (
        [[5, 0, 0]] * 1500 + [[0, 0, 0]] * 500
    )  # the largest group is nearest
    exact, stored = ExactIndex(DIM), LanceIndex.create(tmp_path, DIM)
    for index in (exact, stored):
        index.add(make_rows(ids, DIM, vectors, shop=shops))
    query = np.array([[1.0, 0, 0]])
    for k, most_bytes in product((1, 7, 61, 100), (0, 2**20)):  # from disk, and from memory
        monkeypatch.setattr(resident, "MOST_BYTES", most_bytes)
        stored = LanceIndex.open(tmp_path)
        found = stored.search(np.repeat(query, 2, axis=0), k, group_by="shop")[1]
        assert (stored._resident.known() is not None) is bool(most_bytes)
        assert found == exact.search(query, k, group_by="shop")[0]
        assert len({hit.attributes["shop"] for hit in found}) == len(found) == min(k, 61)
    hits = exact.search(query, 2000)[0]
    best: dict[str, Any] = {}
    for hit in hits:
        best.setdefault(hit.attributes["shop"], hit)
    assert exact.search(query, 9, group_by="shop")[0] == list(best.values())[:9]


@pytest.mark.parametrize("dim", [1, 7, 384])
def test_scores_are_equal_to_the_last_bit(
    dim: int, make_rows: Callable[..., pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(dim)
    rows = make_rows([str(number) for number in range(500)], dim, rng.standard_normal((500, dim)))
    exact, stored = ExactIndex(dim), LanceIndex.create(tmp_path, dim)
    queries = rng.standard_normal((5, dim)) * 100
    for index in (exact, stored):
        index.add(rows)
    expected = exact.search(queries, 30)
    assert [stored.search(query[None], 30)[0] for query in queries] == expected  # the first from disk
    assert stored.search(queries, 30) == expected
    monkeypatch.setattr(resident, "MOST_BYTES", 0)
    assert LanceIndex.open(tmp_path).search(queries, 30) == expected
