"""Rows kept in memory: always those of the last commit, whoever made it, and loaded once when it pays."""

import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import StoredIndexError
from lookalike.index import Hit, LanceIndex, resident
from lookalike.index.rows import THUMBNAIL

MakeRows = Callable[..., pa.Table]
ROWS, QUERY = 40, np.ones((1, 4))
Change = Callable[[LanceIndex, MakeRows], object]


class Asked:
    """Counts what was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.memory, self.loads, self.thumbnails = 0, 0, True
        search, load, within = resident.Snapshot.search, resident._load, resident.rows_within

        def counted_search(*arguments: Any) -> Any:
            found = search(*arguments)
            self.memory += found is not None
            return found

        def counted_load(*arguments: Any) -> Any:
            self.loads += 1
            return load(*arguments)

        def within_or_not(table: Any, columns: Any, most_bytes: int) -> Any:
            return within(table, columns, most_bytes) if self.thumbnails or THUMBNAIL not in columns else None

        monkeypatch.setattr(resident.Snapshot, "search", counted_search)
        monkeypatch.setattr(resident, "_load", counted_load)
        monkeypatch.setattr(resident, "rows_within", within_or_not)


@pytest.fixture(params=["with thumbnails", "without thumbnails"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked(monkeypatch)
    asked.thumbnails = request.param == "with thumbnails"
    return asked


@pytest.fixture
def index(make_rows: MakeRows, tmp_path: Path) -> Iterator[LanceIndex]:
    index = LanceIndex.create(tmp_path / "i", 4)
    index.add(priced(make_rows, 0))
    yield index


def priced(make_rows: MakeRows, price: int, first: int = 0) -> pa.Table:
    """Rows whose thumbnails say their price."""
    ids = [f"{number:02}" for number in range(first, ROWS)]
    rows = make_rows(ids, price=[price] * len(ids))
    return rows.set_column(2, THUMBNAIL, pa.array([str(price).encode()] * len(ids), pa.binary()))


def on_disk(index: LanceIndex) -> list[Hit]:
    """What one who asks once is answered."""
    return LanceIndex.open(index._folder).search(QUERY, 100)[0]


def test_the_second_question_about_a_commit_loads_it(index: LanceIndex, asked: Asked) -> None:
    expected = on_disk(index)
    assert (asked.memory, asked.loads) == (0, 0)
    assert index.search(QUERY, 100)[0] == expected
    assert (asked.memory, asked.loads) == (0, 0)
    for _ in range(3):
        assert index.search(QUERY, 100)[0] == expected
    assert (asked.memory, asked.loads) == (3, 1)
    assert LanceIndex.open(index._folder).search(np.ones((2, 4)), 100) == [expected, expected]  # two at once
    assert (asked.memory, asked.loads) == (4, 2)


CHANGES: dict[str, Change] = {
    "add": lambda writer, make_rows: writer.add(make_rows(["new"], color=["red"])),
    "replace": lambda writer, make_rows: writer.add(priced(make_rows, 1)),
    "remove": lambda writer, _: writer.remove(["03", "17"]),
    "rollback": lambda writer, _: writer.rollback(1),
    "tidy": lambda writer, _: writer.tidy(),
    "optimize": lambda writer, _: writer.optimize(),
    "vector index": lambda writer, _: writer.optimize(approximate=True),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", ["itself", "another"])
def test_a_change_is_seen_by_the_next_question(
    change: str, by: str, index: LanceIndex, make_rows: MakeRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    asked.thumbnails = by == "itself"
    index.keep()
    index.add(priced(make_rows, 5, first=10))
    index.remove(["30"])
    for _ in range(3):
        index.search(QUERY, 100)
    assert asked.memory == 2
    CHANGES[change](index if by == "itself" else LanceIndex.open(index._folder), make_rows)
    for _ in range(3):
        assert index.search(QUERY, 100)[0] == on_disk(index)
        assert index.get(["12", "new"], ["item_id", "price"]) == index.get(["12", "new"]).select(["item_id", "price"])
        assert np.array_equal(index.sample(9), LanceIndex.open(index._folder).sample(9))
    assert asked.memory == (2 if change == "vector index" else 4)  # that one is asked instead


def test_an_index_made_anew_at_the_same_place(index: LanceIndex, make_rows: MakeRows, asked: Asked) -> None:
    for _ in range(2):
        assert index.search(QUERY, 1)[0][0].attributes == {"price": 0}
    shutil.rmtree(index._folder)
    LanceIndex.create(index._folder, 4).add(priced(make_rows, 7))  # as many commits
    for _ in range(2):
        assert index.search(QUERY, 1)[0][0].attributes == {"price": 7}


def replace(writer: LanceIndex, make_rows: MakeRows) -> None:
    writer.add(priced(make_rows, 1))


def remove(writer: LanceIndex, make_rows: MakeRows) -> None:
    writer.remove([f"{number:02}" for number in range(5, ROWS)])


@pytest.mark.parametrize("is_tidied", [False, True])
@pytest.mark.parametrize("change", [replace, remove])
def test_a_writer_between_the_search_and_the_thumbnails(
    change: Change, is_tidied: bool, index: LanceIndex, make_rows: MakeRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    asked.thumbnails = False
    writer = LanceIndex.open(index._folder)
    for _ in range(2):
        index.search(QUERY, 100)
    rows_at, changes = resident.rows_at, [change]
    before = index.search(QUERY, 100)[0]

    def late(*arguments: Any, **named: Any) -> pa.Table:
        while changes:
            changes.pop()(writer, make_rows)
            if is_tidied:
                writer.tidy()
        return rows_at(*arguments, **named)

    monkeypatch.setattr(resident, "rows_at", late)
    found = index.search(QUERY, 100)[0]
    # All as it was when the search began; once that is gone, all as it is now.
    assert (changes, asked.memory) == ([], 2 if is_tidied else 3)
    assert found == (on_disk(index) if is_tidied else before)
    assert index.search(QUERY, 100)[0] == on_disk(index)
    assert {(hit.thumbnail, hit.attributes["price"]) for hit in before} == {(b"0", 0)}


def test_a_writer_while_rows_are_loaded(
    index: LanceIndex, make_rows: MakeRows, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, prices = resident._load, [1]

    def slow(folder: Path) -> Any:
        rows = load(folder)
        while prices:
            LanceIndex.open(index._folder).add(priced(make_rows, prices.pop()))
        return rows

    monkeypatch.setattr(resident, "_load", slow)
    index.search(QUERY, 100)
    for _ in range(4):
        assert {hit.attributes["price"] for hit in index.search(QUERY, 100)[0]} == ({0} if prices else {1})
    assert (asked.loads, asked.memory) == (2, 2)


def test_many_threads_load_once(index: LanceIndex, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    load = resident._load

    def slow(folder: Path) -> Any:
        time.sleep(0.3)
        return load(folder)

    monkeypatch.setattr(resident, "_load", slow)
    expected = on_disk(index)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: index.search(QUERY, 100)[0], range(200)))
    assert all(answer == expected for answer in answers)
    assert asked.loads == 1
    assert 0 < asked.memory < 195  # the others did not wait: each of seven was answered from disk meanwhile


def test_what_has_no_room_stays_on_disk(
    index: LanceIndex, make_rows: MakeRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, expected = Asked(monkeypatch), on_disk(index)
    for most, loaded in ((10, None), (ROWS * 16, None), (ROWS * 16 + 1000, False), (10**5, True)):
        monkeypatch.setattr(resident, "MOST_BYTES", most)
        one = LanceIndex.open(index._folder)
        for _ in range(5):
            assert one.search(QUERY, 100)[0] == expected
        known = one._resident.known()
        assert (None if known is None else THUMBNAIL in known.table.column_names) is loaded, most
    assert (asked.loads, asked.memory) == (4, 8)  # tried once for each


def test_what_cannot_be_loaded_is_read_from_disk(index: LanceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def damaged(folder: Path) -> None:
        tries.append(folder)
        raise StoredIndexError("a column of it cannot be read")

    monkeypatch.setattr(resident, "_load", damaged)
    for _ in range(5):
        assert index.search(QUERY, 100)[0] == on_disk(index)
    assert len(tries) == 1


def test_commits_named_in_another_way_are_not_trusted(index: LanceIndex, asked: Asked) -> None:
    versions = index._table_folder / "_versions"
    assert resident.newest(index._table_folder) is not None
    number = 3  # as LanceDB named them before: counted upwards
    for file in versions.glob("*.manifest"):
        file.rename(versions / f"{number}.manifest")
        number += 1
    assert resident.newest(index._table_folder) is None
    assert resident.newest(index._folder / "nowhere") is None


def test_whole_rows_come_from_disk(index: LanceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        index.search(QUERY, 1)
    asked = []
    rows_where = index._read

    def counted(read: Any) -> Any:
        asked.append(read)
        return rows_where(read)

    monkeypatch.setattr(index, "_read", counted)
    some = index.get(["07", "01", "no"], ["item_id", "vector", "thumbnail", "price"])
    assert not asked
    assert some == index.get(["07", "01"]).select(some.column_names)  # which are compared with their checksums
    assert index.get(["07"], ["item_id", "_checksum"]).num_rows == 1
    assert asked


def test_memory_is_freed_with_the_index(index: LanceIndex, make_rows: MakeRows, tmp_path: Path) -> None:
    one = LanceIndex.open(index._folder)
    for _ in range(2):
        one.search(QUERY, 1)
    known = one._resident.known()
    assert known is not None
    table = weakref.ref(known.table)
    del known
    index.add(priced(make_rows, 2))
    one.search(QUERY, 1)
    assert table() is None  # as soon as it is of no use
    one.search(QUERY, 1)
    held = weakref.ref(one._resident)
    del one
    assert held() is None  # at once: nothing refers in a circle
