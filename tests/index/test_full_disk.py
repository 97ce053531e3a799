"""A full disk: the old index is intact, the sentence says what to do, and it goes on when there is room."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import StoredIndexError
from lookalike.index import LanceIndex
from tests.full_disk import largest_file

MakeRows = Callable[..., pa.Table]
Heavy = Callable[[int], pa.Table]
DISK_BYTES = 8 * 2**20


@pytest.fixture
def heavy(make_rows: MakeRows) -> Heavy:
    """100 rows, half a MiB, whose content follows from the number given."""

    def rows(number: int) -> pa.Table:
        rng = np.random.default_rng(number)
        table = make_rows([f"{number}/{row}" for row in range(100)], 64, number=[number] * 100)
        return table.set_column(2, "thumbnail", pa.array([rng.bytes(5000) for _ in range(100)], pa.binary()))

    return rows


def sentence(folder: Path, doing: str) -> str:
    return (
        f"the index at {folder} could not be {doing}: "
        "the disk is full; make room and run it again, what was stored before is intact"
    )


def contents(index: LanceIndex) -> set[tuple[str, int]]:
    hits = index.search(np.ones((1, 64)), 1000)[0]
    return {(hit.item_id, hit.attributes["number"]) for hit in hits}


def expected(*numbers: int) -> set[tuple[str, int]]:
    return {(f"{number}/{row}", number) for number in numbers for row in range(100)}


@pytest.mark.parametrize("limit", [0, 1, 400, 5_000, 100_000, 500_000])
def test_every_write_may_fail(limit: int, heavy: Heavy, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 64)
    index.add(heavy(0))
    with largest_file(limit):
        with pytest.raises(StoredIndexError) as caught:
            index.add(heavy(1))
        assert contents(index) == expected(0)
        assert contents(LanceIndex.open(tmp_path)) == expected(0)
    assert str(caught.value) == sentence(tmp_path, "written")
    index.add(heavy(1))
    assert contents(index) == expected(0, 1)
    assert contents(LanceIndex.open(tmp_path)) == expected(0, 1)


def test_create_on_a_full_disk(tmp_path: Path) -> None:
    with largest_file(0), pytest.raises(StoredIndexError) as caught:
        LanceIndex.create(tmp_path / "i", 4)
    assert str(caught.value) == sentence(tmp_path / "i", "created")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount program to make a small disk")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_fills_up(small_disk: Path, heavy: Heavy) -> None:
    index = LanceIndex.create(small_disk / "i", 64)
    index.add(heavy(0))
    ballast, refused = small_disk / "ballast", 0
    stored = [0]
    for number, free_bytes in enumerate([0, 4_096, 16_384, 100_000, 400_000, 530_000, 600_000, 0], start=1):
        with ballast.open("wb") as file:
            free = _free_bytes(small_disk)
            file.write(bytes(max(0, free - free_bytes)))
        try:
            index.add(heavy(number))
            stored.append(number)
        except StoredIndexError as error:
            refused += 1
            assert str(error) == sentence(small_disk / "i", "written")
        assert contents(index) == expected(*stored)
        index = LanceIndex.open(small_disk / "i")
        assert contents(index) == expected(*stored)
        ballast.unlink()
    assert refused >= 4
    index.add(heavy(99))
    assert contents(index) == expected(*stored, 99)
    used = sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file())
    assert used < 1.2 * sum(heavy(number).nbytes for number in [*stored, 99]) + 2**20


def _free_bytes(disk: Path) -> int:
    import os

    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize
