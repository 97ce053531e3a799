"""Eight readers beside a writer in another process, then two writers: no error, no half batch, nothing lost."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from lookalike.index import LanceIndex

MakeRows = Callable[..., pa.Table]
READERS, SECONDS = 8, 60 if os.environ.get("LOOKALIKE_LONG") else 4
ROWS = 40

READ = """
import sys, threading, time
import numpy as np
from lookalike.index import LanceIndex

end = time.monotonic() + float(sys.argv[2])

def read():
    index, reads, seen = LanceIndex.open(sys.argv[1]), 0, set()
    while time.monotonic() < end or reads < 3:
        hits = index.search(np.ones((1, 4)), 1000, "price >= 0")[0]
        prices = [hit.attributes["price"] for hit in hits]
        assert len(set(prices)) == 1 and len({hit.item_id for hit in hits}) == len(hits) == 40, (len(hits), prices)
        assert index.verify().is_whole
        seen.add(prices[0])
        reads += 1
    print(reads, len(seen))

readers = [threading.Thread(target=read) for _ in range(int(sys.argv[3]))]
for reader in readers:
    reader.start()
"""

WRITE = """
import sys
sys.path.insert(0, sys.argv[2])
from conftest import make_rows_of
from lookalike.index import LanceIndex
index = LanceIndex.open(sys.argv[1])
for number in range(15):
    index.add(make_rows_of([f"{sys.argv[3]}/{number}/{row}" for row in range(5)]))
    if number % 5 == 4:
        index.tidy()
        index.keep()
    index.remove([f"{sys.argv[3]}/{number}/0"])
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_many_readers_and_a_writer(make_rows: MakeRows, tmp_path: Path) -> None:
    ids = [str(number) for number in range(ROWS)]
    index, price = LanceIndex.create(tmp_path, 4), 0
    index.add(make_rows(ids, price=[price] * ROWS))
    readers = started(READ, tmp_path, SECONDS, READERS)
    while readers.poll() is None:
        price += 1
        index.add(make_rows(ids, price=[price] * ROWS))
        if price % 5 == 0:
            index.tidy()
        if price % 9 == 0:
            index.keep()
        if price % 31 == 0:
            index.optimize(approximate=price % 2 == 0)
    out, err = readers.communicate()
    counts = [tuple(map(int, line.split())) for line in out.splitlines()]
    assert len(counts) == READERS, err[-1000:]  # a thread that failed says nothing here
    assert all(reads >= 3 for reads, _ in counts)
    assert sum(seen for _, seen in counts) > READERS  # they saw it change
    assert price > 5


def test_two_writers(tmp_path: Path) -> None:
    LanceIndex.create(tmp_path, 4)
    writers = [started(WRITE, tmp_path, Path(__file__).parent, name) for name in "ab"]
    answers = [writer.communicate() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], answers
    expected = {f"{name}/{number}/{row}" for name in "ab" for number in range(15) for row in range(1, 5)}
    index = LanceIndex.open(tmp_path)
    assert set(index.scan(["item_id"]).column("item_id").to_pylist()) == expected
    assert index.verify().is_whole
    assert [version.number for version in index.versions] == [4, 5, 6]
