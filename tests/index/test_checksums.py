"""What a disk changed is found."""

import random
import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from lookalike.index import ExactIndex, LanceIndex
from lookalike.index.checksums import checksums
from lookalike.index.lance import TABLE

MakeRows = Callable[..., pa.Table]
DAMAGES = 400


def test_every_column_counts(make_rows: MakeRows) -> None:
    index = ExactIndex(4)
    known = {
        "price": [1.5, None], "count": [1, 2], "color": ["red", "ä"], "day": [date(2026, 1, 31), None],
        "at": [datetime(2026, 1, 31), None], "is_new": [True, False], "sizes": [[1, 2], None],
    }  # fmt: skip
    index.add(make_rows(["a", "b"], **known))
    rows = index.get(["a", "b"])
    sums = checksums(rows)
    assert sums[0] != sums[1]
    changes = {
        "item_id": "c", "vector": [0, 0, 0, 1.0], "thumbnail": b"other", "_picture": b"digest", "price": 1.6,
        "count": 3, "color": "rose", "day": date(2026, 2, 1), "at": datetime(2026, 1, 30), "is_new": False,
        "sizes": [1, 3],
    }  # fmt: skip
    assert {*changes, "_checksum"} == set(rows.column_names)
    for name, value in changes.items():
        place = rows.column_names.index(name)
        values = [value, *rows.column(name).to_pylist()[1:]]
        changed = checksums(rows.set_column(place, name, pa.array(values, rows.schema.field(name).type)))
        assert (changed[0] != sums[0], changed[1] == sums[1]) == (True, True), name
    assert np.array_equal(checksums(rows.append_column("new", pa.nulls(2, pa.string()))), sums)


def test_parts_are_not_run_together(make_rows: MakeRows) -> None:
    index = ExactIndex(4)
    index.add(_pair(make_rows))
    first, second = checksums(index.get(["a", "b"]).set_column(0, "item_id", pa.array(["a", "a"])))
    assert first != second


def _pair(make_rows: MakeRows) -> pa.Table:
    rows = make_rows(["a", "b"], 4, [[1, 0, 0, 0]] * 2, one=["xy", "x"], two=["z", "yz"])
    return rows.set_column(2, "thumbnail", pa.array([b"", b""], pa.binary()))


def test_years_python_does_not_know(make_rows: MakeRows) -> None:
    far = pa.array([2**60], pa.timestamp("us"))
    index = ExactIndex(4)
    index.add(make_rows(["a"], at=far))
    assert index.verify().is_whole


def test_rows_from_before_there_were_checksums(make_rows: MakeRows, tmp_path: Path) -> None:
    old = make_rows(["a", "b"], price=[1, 2])
    lancedb.connect(tmp_path).create_table(TABLE, old)
    index = LanceIndex.open(tmp_path)
    found = index.verify()
    assert (found.is_whole, found.rows, found.unchecked) == (True, 2, 2)
    hit = index.search(np.ones((1, 4)), 1)[0][0]
    assert hit.attributes.keys() == {"price"}
    index.add(make_rows(["b", "c"], price=[3, 4]))
    found = index.verify()
    assert (found.is_whole, found.rows, found.unchecked) == (True, 3, 1)


def test_a_row_that_is_there_twice(make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(["a", "b"]))
    index._table.add(index.get(["b"]))
    assert index.verify().damaged == ["b"]


@pytest.fixture(scope="module")
def whole(make_rows: MakeRows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    index = LanceIndex.create(folder, 16)
    rng = np.random.default_rng(0)
    rows = make_rows([f"item {n}" for n in range(60)], 16, price=list(range(60)), color=["red", "blue", None] * 20)
    rows = rows.set_column(2, "thumbnail", pa.array([rng.bytes(50) for _ in range(60)], pa.binary()))
    index.add(rows.slice(0, 30))
    index.add(rows.slice(30))
    assert index.verify().is_whole
    return folder


def test_no_damage_goes_unnoticed(whole: Path, tmp_path: Path) -> None:
    """A flipped bit is found, or no value of any row has changed; most are of the first kind."""
    expected = LanceIndex.open(whole).scan(["item_id", "vector", "thumbnail", "price", "color"]).sort_by("item_id")
    folder = Path(shutil.copytree(whole, tmp_path / "i"))
    files = sorted((folder / f"{TABLE}.lance" / "data").iterdir())
    sizes = [file.stat().st_size for file in files]
    rng, found = random.Random(0), 0
    for number in range(DAMAGES):
        file = rng.choices(files, sizes)[0]
        content = file.read_bytes()
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        index = LanceIndex.open(folder)
        if index.verify().is_whole:
            rows = index.scan(expected.column_names).sort_by("item_id")
            assert rows.equals(expected), f"damage {number} of {file.name}"
        else:
            found += 1
        file.write_bytes(content)
    assert found > DAMAGES / 2
    assert LanceIndex.open(folder).verify().is_whole
