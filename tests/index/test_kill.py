"""kill -9 at random moments: what was acknowledged is there, nothing is double, half or left behind."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from lookalike.index import LanceIndex
from lookalike.index.rows import vectors_of
from lookalike.index.tidy import LOCK, SLACK_BYTES

KILLS = 40
#: A kill comes after so many lines of the journal, and then a moment; so a slow machine writes as much before.
MOST_STEPS, LONGEST_S = 7, 0.05
PROGRAM = Path(__file__).with_name("writer.py")


def _load_writer() -> Any:
    spec = spec_from_file_location("writer", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


writer = _load_writer()


class Victims:
    """Writers to be killed, one after the other."""

    def __init__(self, folder: Path):
        self.folder = folder / "index"
        self.journal = folder / "journal"
        self.journal.write_text("")
        self.parent = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.folder), str(self.journal)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> str:
        assert self.parent.stdout is not None
        return self.parent.stdout.readline().strip()

    def kill_one(self, generation: int, steps: int, after_s: float) -> None:
        """Start a writer and kill it `after_s` from its line number `steps` in the journal; line 0 says it opened."""
        assert self.parent.stdin is not None
        lines = len(self.journal.read_text().splitlines())
        self.parent.stdin.write(f"{generation}\n")
        self.parent.stdin.flush()
        child = int(self.said())
        while len(self.journal.read_text().splitlines()) <= lines + steps:
            time.sleep(0.001)
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        assert self.said() == "gone"


@pytest.fixture
def victims(tmp_path: Path) -> Iterator[Victims]:
    victims = Victims(tmp_path)
    yield victims
    victims.parent.communicate()


def allowed_generations(journal: str) -> dict[int, set[int]]:
    """For each batch: the last one acknowledged, and whatever was begun after it and never acknowledged."""
    allowed = {batch: {0} for batch in range(writer.BATCHES)}
    for line in journal.splitlines():
        word, *numbers = line.split()
        assert word in ("open", "begin", "done"), journal[-500:]
        if numbers:
            batch, generation = map(int, numbers)
            allowed[batch] = allowed[batch] | {generation} if word == "begin" else {generation}
    return allowed


def check(folder: Path, journal: str) -> bool:
    """Raise if anything is wrong; whether the last writer was killed in the middle of a write."""
    was_unfinished = (folder / LOCK).read_bytes() == b"1"
    index = LanceIndex.open(folder)  # sweeps
    left = [*folder.rglob(".tmp*"), *folder.rglob("*.tmp")]
    assert not (was_unfinished and left), f"temporary files left: {left}"
    ids = [item for batch in range(writer.BATCHES) for item in writer.rows_of(batch, 0).column("item_id").to_pylist()]
    rows = index.get(ids)
    assert len(index) == rows.num_rows, "items lost or double"
    assert index.verify().is_whole
    for batch, allowed in allowed_generations(journal).items():
        mine = [f"{batch}/{number}" for number in range(writer.ROWS)]
        found = index.get(mine)
        assert found.num_rows in (0, writer.ROWS), "half a batch"
        (generation,) = set(found.column("generation").to_pylist()) or {-1}  # else half a batch
        assert generation in allowed, f"batch {batch}: {generation} found, {allowed} acknowledged or under way"
        assert generation == -1 or found.select(["item_id", "vector", "thumbnail"]).equals(
            writer.rows_of(batch, generation).select(["item_id", "vector", "thumbnail"])
        )
    found = index.search(vectors_of(rows)[::97], 3, "generation >= 0")  # with the indexes that are there, whole or not
    stored = rows.column("item_id").to_pylist()
    assert [hits[0].item_id for hits in found] == stored[::97], "an item is not found by its vector"
    table = folder / "items.lance"
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in table.rglob("*") if path.is_file()}
    used = sum(sizes.values())
    limit = 2 * rows.nbytes + (0 if was_unfinished else SLACK_BYTES)
    assert used <= limit, f"{used:,} bytes for {rows.nbytes:,} live ones: {sizes}"
    return was_unfinished


def test_kill_while_writing(victims: Victims) -> None:
    index = LanceIndex.create(victims.folder, writer.DIM)
    for batch in range(writer.BATCHES):
        index.add(writer.rows_of(batch, 0))
    seed = int(time.time())
    print(f"seed {seed}")  # shown on failure
    rng = random.Random(seed)
    generation, unfinished = 0, 0
    for _ in range(KILLS):
        victims.kill_one(generation, rng.randrange(MOST_STEPS), rng.uniform(0, LONGEST_S))
        journal = victims.journal.read_text()
        unfinished += check(victims.folder, journal)
        generation = max([0, *(int(line.split()[2]) for line in journal.splitlines() if line.startswith("begin"))])
    # The case is not trivial: kills hit writes, and between them much was written.
    assert unfinished >= KILLS // 5
    assert generation >= KILLS // 2
    assert " -1\n" in journal
    assert LanceIndex.open(victims.folder).versions


def test_check_can_fail(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index = LanceIndex.create(folder, writer.DIM)
    for batch in range(writer.BATCHES):
        index.add(writer.rows_of(batch, 0))
    check(folder, "begin 3 5\n")
    with pytest.raises(AssertionError, match="batch 3: 0 found"):
        check(folder, "begin 3 5\ndone 3 5\n")
    index.add(writer.rows_of(3, 5).slice(0, 10))
    with pytest.raises(ValueError, match="too many values to unpack"):
        check(folder, "begin 3 5\n")
    index.add(writer.rows_of(3, 5))
    check(folder, "begin 3 5\n")
    (folder / "items.lance" / "data" / ".tmpLeft").write_bytes(bytes(6_000_000))  # the lock says nobody was killed
    with pytest.raises(AssertionError, match="bytes for"):
        check(folder, "begin 3 5\n")
    index.remove(["0/0"])
    with pytest.raises(AssertionError, match="half a batch"):
        check(folder, "begin 3 5\n")
