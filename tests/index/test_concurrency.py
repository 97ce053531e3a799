"""Eight readers beside a writer in another process, then two writers: no error, no half batch, nothing lost."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from lookalike.index import LanceIndex

MakeRows = Callable[..., pa.Table]
READERS, SECONDS = 8, 60 if os.environ.get("LOOKALIKE_LONG") else 4
ROWS = 40

READ = """
import sys, threading, time
from collections import Counter
import numpy as np
from lookalike.index import LanceIndex, resident

end = time.monotonic() + float(sys.argv[2])
within, search, from_memory = resident.rows_within, resident.Snapshot.search, Counter()

def without_thumbnails(table, columns, most_bytes):
    # Every other commit has them in memory.
    return None if "thumbnail" in columns and table.version % 2 else within(table, columns, most_bytes)

def counted(snapshot, *arguments):
    found = search(snapshot, *arguments)
    if found is not None:
        from_memory["thumbnail" in snapshot.table.column_names] += 1
    return found

resident.rows_within, resident.Snapshot.search = without_thumbnails, counted

def read(index):
    reads, seen = 0, set()
    while time.monotonic() < end or reads < 3:
        for _ in range(4):
            hits = index.search(np.ones((1, 4)), 1000, "price >= 0")[0]
            prices = [hit.attributes["price"] for hit in hits]
            assert len(set(prices)) == 1 and len({hit.item_id for hit in hits}) == len(hits) == 40, (len(hits), prices)
            assert {hit.thumbnail for hit in hits} == {b"%d" % prices[0]}, (prices, hits)
            assert not seen or prices[0] >= max(seen), (prices, seen)
            seen.add(prices[0])
        assert index.verify().is_whole
        reads += 1
    print(reads, len(seen))

indexes = [LanceIndex.open(sys.argv[1]) for _ in range(2)]  # several threads each
readers = [threading.Thread(target=read, args=[indexes[n % 2]]) for n in range(int(sys.argv[3]))]
for reader in readers:
    reader.start()
for reader in readers:
    reader.join()
print(from_memory[True], from_memory[False])
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


def priced(make_rows: MakeRows, price: int) -> pa.Table:
    """Rows whose thumbnails say their price."""
    rows = make_rows([str(number) for number in range(ROWS)], price=[price] * ROWS)
    return rows.set_column(2, "thumbnail", pa.array([str(price).encode()] * ROWS, pa.binary()))


def test_many_readers_and_a_writer(make_rows: MakeRows, tmp_path: Path) -> None:
    index, price = LanceIndex.create(tmp_path, 4), 0
    index.add(priced(make_rows, price))
    readers = started(READ, tmp_path, SECONDS, READERS)
    while readers.poll() is None:
        price += 1
        index.add(priced(make_rows, price))
        time.sleep(0.1)  # so that some commits are asked about twice
        if price % 5 == 0:
            index.tidy()
        if price % 9 == 0:
            index.keep()
        if price % 13 == 0:
            index.optimize(approximate=price % 2 == 0)
    out, err = readers.communicate()
    *counts, from_memory = [tuple(map(int, line.split())) for line in out.splitlines()]
    assert len(counts) == READERS, err[-1000:]  # a thread that failed says nothing here
    assert all(reads >= 3 for reads, _ in counts)
    assert sum(seen for _, seen in counts) > READERS  # they saw it change
    assert price > 5
    assert min(from_memory) > 0


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
