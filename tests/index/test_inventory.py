"""Files of an index that are lost or changed are found, whatever they hold; nothing else is called lost."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import StoredIndexError
from lookalike.index import LanceIndex, Verified, inventory
from lookalike.index.inventory import NAME
from lookalike.index.lance import TABLE
from tests.index.files import files_in
from tests.index.files import folder as folder

MakeRows = Callable[..., pa.Table]
#: Of each folder of a table so many files are damaged, one at a time.
DAMAGES = {"data": 20, "_deletions": 20, "_indices": 36, "_versions": 30, "_transactions": 6}


@pytest.fixture(scope="module")
def whole(make_rows: MakeRows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with every kind of file, and a version: 100 rows, then 20 less, then 2 more."""
    folder = tmp_path_factory.mktemp("whole") / "index"
    index = LanceIndex.create(folder, 16)
    index.add(make_rows([f"item {n}" for n in range(100)], 16, price=list(range(100)), color=["red", "blue"] * 50))
    index.optimize(approximate=True)
    index.keep()
    index.remove([f"item {n}" for n in range(18)])
    index.remove(["item 18", "item 19"])
    index.add(make_rows(["new 1", "new 2"], 16, price=[5, 6], color=["red", None]))
    assert index.verify() == Verified(82)
    return folder


def newest(folder: Path) -> Path:
    return files_in(folder, "_versions/*.manifest")[0]  # their names count down


def named(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


def answers(index: LanceIndex) -> list[object]:
    """Searches by a vector index and without, with filters and their indexes and without, and all ids."""
    query = np.random.default_rng(0).standard_normal((1, 16))
    wheres = [None, "price < 50", "color = 'red' and item_id like 'item %'"]
    return [index.search(query, 200, where) for where in wheres] + [
        sorted(index.scan(["item_id"]).to_pylist(), key=str)
    ]


def test_a_lost_version_is_found_and_stays_so(folder: Path, make_rows: MakeRows) -> None:
    lost, before = newest(folder), answers(LanceIndex.open(folder))
    lost.unlink()
    index = LanceIndex.open(folder)
    assert len(index) == 80  # it opens, two rows less
    for change in (lambda: None, lambda: index.add(make_rows(["other"], 16)), index.tidy, index.optimize, index.keep):
        change()
        found = index.verify()
        assert (found.files, found.is_whole, found.are_rows_whole) == ({named(folder, lost): "missing"}, False, False)
    with pytest.raises(StoredIndexError) as caught:  # kept when it was damaged
        index.rollback(2)
    assert str(caught.value) == (
        f"version 2 cannot be gone back to: {folder}/versions/2/{named(folder, lost)} is missing; "
        "go back to another one, or index the catalog anew with --replace"
    )
    index.rollback(1)
    assert index.verify() == Verified(100)
    index.remove([f"item {n}" for n in range(20)])
    index.add(make_rows(["new 1", "new 2"], 16, price=[5, 6], color=["red", None]))
    assert answers(index) == before
    assert index.verify() == Verified(82)


def test_the_number_of_a_lost_version_is_used_again(make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(["a"]))
    index.keep()
    index.add(make_rows(["b"]))
    lost = newest(tmp_path)
    lost.unlink()
    index.rollback(1)
    assert newest(tmp_path) == lost
    assert index.verify() == Verified(1)


def test_a_damaged_version_is_not_written_on_unnoticed(folder: Path, make_rows: MakeRows) -> None:
    """A manifest that can still be read: the next one follows from it, and is stored as it should be."""
    damaged = newest(folder)
    damaged.write_bytes(re.sub(rb"(?<!\.)lance", b"lancf", damaged.read_bytes()))
    index = LanceIndex.open(folder)
    index.add(make_rows(["other"], 16))
    index.tidy()
    assert index.verify() == Verified(83, files={named(folder, damaged): "changed"})


@pytest.mark.parametrize("damage", ["lost", "empty", "other"])
def test_deletions_are_found(damage: str, folder: Path) -> None:
    _, later = sorted(files_in(folder, "_deletions/*"), key=lambda file: file.stat().st_mtime)
    if damage == "lost":
        later.unlink()
    elif damage == "empty":
        later.write_bytes(b"")
    else:
        with pa.ipc.open_file(later) as file:
            rows = file.read_all()
        others = pa.array([99, *rows.column(0).to_pylist()[1:]], rows.schema.field(0).type)
        with pa.ipc.new_file(later, rows.schema) as file:
            file.write(pa.table([others], schema=rows.schema))
    index = LanceIndex.open(folder)
    found = index.verify()
    assert found.files == {named(folder, later): "missing" if damage == "lost" else "changed"}
    assert not found.is_whole
    if damage == "other":  # a row that was removed is there again instead of another, with its checksum
        assert (found.rows, found.damaged, found.unreadable) == (82, [], None)
        index.tidy()  # writes what is left anew
        assert index.verify().files == {named(folder, later): "changed"}
    index.rollback(1)
    assert index.verify() == Verified(100)


def test_no_file_is_damaged_unnoticed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Flipped bits and cut ends: found, or every answer is the same. Not looked for are transactions, the hint at the
    newest version and older versions, and of data files the bytes that no row is read from.
    """
    rng, expected = random.Random(0), answers(LanceIndex.open(folder))
    unseen = {"_transactions", "data"}
    for place, count in DAMAGES.items():
        files = [file for file in files_in(folder, f"{place}/**/*") if file.is_file()]
        for number in range(count):
            file = files[number % len(files)]
            content = file.read_bytes()
            damaged = bytearray(content)
            if number % 3:
                damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            else:
                del damaged[rng.randrange(len(content)) :]
            file.write_bytes(damaged)
            is_needed = place not in unseen and (place != "_versions" or file == newest(folder))
            assert is_found(folder) or (not is_needed and answers(LanceIndex.open(folder)) == expected), (file, number)
            file.write_bytes(content)
    assert LanceIndex.open(folder).verify().is_whole
    capfd.readouterr()  # what panics on damaged files says so


def is_found(folder: Path) -> bool:
    try:
        return not LanceIndex.open(folder).verify().is_whole
    except StoredIndexError:
        return True


@pytest.mark.parametrize(
    ("kind", "damage"), [("*.idx", "cut"), ("*.lance", "lost"), ("auxiliary.idx", "flipped"), ("*", "lost")]
)
def test_indexes_are_built_again(kind: str, damage: str, folder: Path) -> None:
    expected, files = answers(LanceIndex.open(folder)), files_in(folder, f"_indices/*/{kind}")
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 255
        file.unlink() if damage == "lost" else file.write_bytes(content if damage == "flipped" else content[:-50])
    index = LanceIndex.open(folder)
    found = index.verify()
    how = "missing" if damage == "lost" else "changed"
    assert found.files == {named(folder, file): how for file in files}
    assert (found.is_whole, found.are_rows_whole, found.rows) == (False, True, 82)
    assert index.optimize(approximate=True) is not None
    assert index.verify() == Verified(82)
    assert answers(index) == expected


def test_a_lost_index_is_not_forgotten_by_a_change(folder: Path, make_rows: MakeRows) -> None:
    (file,) = files_in(folder, "_indices/*/auxiliary.idx")
    file.unlink()
    index = LanceIndex.open(folder)
    index.add(make_rows(["other"], 16))
    assert index.verify().files == {named(folder, file): "missing"}
    index.optimize(approximate=False)
    assert index.verify() == Verified(83)


def test_a_damaged_older_version_does_not_keep_from_tidying(folder: Path) -> None:
    _, older, *_ = files_in(folder, "_versions/*.manifest")
    older.write_bytes(b"")
    index = LanceIndex.open(folder)
    assert index.verify() == Verified(82)
    index.tidy()
    assert len(files_in(folder, "_versions/*.manifest")) == 1
    assert index.verify() == Verified(82)


def test_rows_without_checksums_are_told_by_their_files(make_rows: MakeRows, tmp_path: Path) -> None:
    lancedb.connect(tmp_path).create_table(TABLE, make_rows(["a", "b"], price=[1, 2]))
    index = LanceIndex.open(tmp_path)
    index.add(make_rows(["c"], price=[3]))
    file = max(files_in(tmp_path, "data/*"), key=lambda file: file.stat().st_size)
    assert index.verify() == Verified(3, 2)
    file.write_bytes(file.read_bytes().replace(b"picture of a", b"picture of b"))
    assert index.verify() == Verified(3, 2, files={named(tmp_path, file): "changed"})


@pytest.mark.parametrize("left", ["", "{}", "[1]", '{"files": {}, "lost": {}, "sha256": ""}', "changed"])
def test_without_a_list_it_is_made_by_the_next_change(left: str, folder: Path, make_rows: MakeRows) -> None:
    """As of an index of an earlier version of lookalike, or where the list itself is damaged."""
    text = (folder / NAME).read_text()
    (folder / NAME).write_text(
        text.replace('"lost":{}', '"lost":{"_indices/a":"missing"}') if left == "changed" else left
    )
    index = LanceIndex.open(folder)
    assert index.verify() == Verified(82)
    index.add(make_rows(["other"], 16))
    newest(folder).unlink()
    assert not index.verify().is_whole


def test_an_earlier_version_of_lookalike_writes_beside(folder: Path) -> None:
    """It knows no list, and is no reason to speak of damage."""
    listed, table = (folder / NAME).read_bytes(), LanceIndex.open(folder)
    table.remove(["item 77"])
    table.tidy()
    (folder / NAME).write_bytes(listed)
    assert LanceIndex.open(folder).verify() == Verified(81)
    table.remove(["item 88"])
    assert LanceIndex.open(folder).verify() == Verified(80)
    assert len(json.loads((folder / NAME).read_text())["lost"]) == 0


def test_names_of_versions() -> None:
    names = ["_versions/18446744073709551605.manifest", "_versions/7.manifest", "_versions/d1.manifest", ""]
    assert [inventory._version(name) for name in names] == [10, 7, -1, -1]
