"""Going back to what an index was, and what keeping that costs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import StoredIndexError
from lookalike.index import LanceIndex
from lookalike.index.tidy import SLACK_BYTES
from lookalike.index.versions import KEPT

MakeRows = Callable[..., pa.Table]


def contents(index: LanceIndex) -> pa.Table:
    return index.scan(index.schema.names).sort_by("item_id")


def test_back_and_forth(make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(["a", "b"], price=[1, 2]))
    before = contents(index)
    index.keep()
    index.add(make_rows(["b", "c"], vectors=[[1, 0, 0, 0], [0, 1, 0, 0]], color=["red", "blue"]))
    index.remove("a")
    after = contents(index)
    index.tidy()  # the files of the version are removed from the table, and are still there
    reader = LanceIndex.open(tmp_path)
    index.rollback(1)
    assert contents(index).equals(before)
    assert contents(reader).equals(before)  # who has it open sees that too
    assert reader.search(np.ones((1, 4)), 9, "price > 0") == index.search(np.ones((1, 4)), 9, "price > 0")
    assert [(version.number, version.rows) for version in reader.versions] == [(1, 2), (2, 2)]
    reader.rollback(2)
    assert contents(index).equals(after)


def test_only_the_last_are_kept(make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    for number in range(6):
        index.keep()
        index.add(make_rows([str(number)]))
    assert [version.number for version in index.versions] == [4, 5, 6]
    assert sorted(path.name for path in (tmp_path / "versions").iterdir()) == ["4", "5", "6"]
    with pytest.raises(StoredIndexError) as caught:
        index.rollback(3)
    assert str(caught.value) == "version 3 is not kept; kept: 4, 5, 6"
    index.rollback(4)  # the oldest, which itself is dropped by going there
    assert len(index) == 3
    assert [version.number for version in index.versions] == [5, 6, 7]


def test_versions_take_the_room_of_what_changed(make_rows: MakeRows, tmp_path: Path) -> None:
    def heavy(first: int, count: int, seed: int) -> pa.Table:
        rows = make_rows([f"{number:05}" for number in range(first, first + count)], 16)
        rng = np.random.default_rng(seed)
        return rows.set_column(2, "thumbnail", pa.array([rng.bytes(4000) for _ in range(count)], pa.binary()))

    def used() -> int:
        files = {path.stat().st_ino: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
        return sum(files.values())

    index = LanceIndex.create(tmp_path, 16)
    index.add(heavy(0, 1000, 0))
    live = used()
    for number in range(3):  # adding costs nothing more than itself
        index.keep()
        index.add(heavy(1000 + 10 * number, 10, number))
    assert used() < 1.1 * live
    for number in range(5):  # all rows replaced, each time
        index.keep()
        index.add(heavy(0, 1030, number))
        index.tidy()
    assert KEPT * live < used() < (1 + KEPT) * 1.1 * live + SLACK_BYTES


def test_a_vector_index_is_built_again(make_rows: MakeRows, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [f"{number:04}" for number in range(5000)]
    index = LanceIndex.create(tmp_path, 16)
    index.add(make_rows(ids, 16, rng.standard_normal((5000, 16))))
    index.keep()
    index.optimize(0.9, approximate=True)
    index.remove(ids[:2500])
    index.rollback(1)
    assert len(index) == 5000
    plan = index.plan
    assert plan is not None
    assert (plan.rows, plan.recall_target) == (5000, 0.9)


@pytest.mark.parametrize("left", ["versions/.new/items.lance", "versions/7/items.lance"])
def test_what_a_kill_left_is_no_version(left: str, make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(["a"]))
    (tmp_path / left).mkdir(parents=True)
    assert index.versions == []
    index.keep()
    assert [version.number for version in index.versions] == [1]
    assert [path.name for path in (tmp_path / "versions").iterdir()] == ["1"]


def test_without_hard_links(make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("lookalike.index.versions.os.link", refuse)
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(["a"]))
    index.keep()
    index.remove("a")
    shutil.copytree(tmp_path, tmp_path.with_name("moved"))
    moved = LanceIndex.open(tmp_path.with_name("moved"))
    moved.rollback(1)
    assert (len(moved), len(index)) == (1, 0)
