"""kill -9 at random moments and at every change of a file: the same command goes on, and ends with the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("trainer.py")
KILLS = {"features": 15, "pictures": 10}
LONG_KILLS = {"features": 130, "pictures": 70}
LONGEST_S = {"features": 0.5, "pictures": 1.5}


class Trainer:
    """Starts processes that train, to be killed."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", str(PROGRAM)]
        self.parent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def start(self, *command: object) -> int:
        return self._ask(json.dumps([str(word) for word in command]))

    def exit_code(self) -> int:
        return self._ask("")

    def _ask(self, line: str) -> int:
        assert self.parent.stdin is not None and self.parent.stdout is not None
        self.parent.stdin.write(line + "\n")
        self.parent.stdin.flush()
        return int(self.parent.stdout.readline())


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer()
    yield trainer
    trainer.parent.communicate()


def content(run: Path) -> dict[str, object]:
    """All that a run made and that must be the same, whatever happened to it."""
    metrics = json.loads((run / "metrics.json").read_text())
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    for part in (metrics, *rows, metrics["best"]):
        part.pop("seconds", None)
    weights = (run / "encoder" / "weights.safetensors").read_bytes()
    panels = {file.name: file.read_bytes() for file in (run / "panels").iterdir()}
    return {"metrics": metrics, "history": rows, "weights": weights, "panels": panels}


def lines(journal: Path) -> list[str]:
    return journal.read_text().splitlines() if journal.exists() else []


def kill_one(trainer: Trainer, run: Path, kind: str, rng: random.Random) -> bool:
    """Train for a while, mostly from when the training goes on; whether it was killed, not done before."""
    journal = run.with_suffix(".journal")
    before = len(lines(journal))
    child = trainer.start("train", run, kind)
    deadline = time.monotonic() + (rng.uniform(0, 0.5) if rng.random() < 0.2 else 60)
    while len(lines(journal)) == before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, LONGEST_S[kind]))
    os.kill(child, signal.SIGKILL)  # nothing happens where it is done
    code = trainer.exit_code()
    assert code in (-signal.SIGKILL, 0), trainer.parent.stderr and trainer.parent.stderr.readlines()
    return code != 0


@pytest.mark.timeout(1800)  # the long form, LOOKALIKE_LONG=1, takes minutes
@pytest.mark.parametrize("kind", ["features", "pictures"])
def test_a_killed_run_ends_with_the_same_bytes(kind: str, trainer: Trainer, tmp_path: Path) -> None:
    trainer.start("train", tmp_path / "whole", kind)
    assert trainer.exit_code() == 0
    expected = content(tmp_path / "whole")
    seed = int(time.time())
    print(f"seed {seed}")  # shown on failure
    rng = random.Random(seed)
    wanted = (LONG_KILLS if os.environ.get("LOOKALIKE_LONG") else KILLS)[kind]
    kills, places = 0, set()
    for number in range(wanted):
        run = tmp_path / f"killed{number}"
        while kills < wanted and kill_one(trainer, run, kind, rng):
            kills += 1
        if not (run / "metrics.json").exists():
            trainer.start("train", run, kind)
            assert trainer.exit_code() == 0
        assert content(run) == expected
        assert not [*run.rglob("*.tmp"), *run.rglob("*.new"), *run.rglob("checkpoints")]
        places |= set(lines(run.with_suffix(".journal")))
        if kills == wanted:
            break
    # The case is not trivial: it went on at many places, also inside of epochs.
    assert len({place for place in places if place.split()[1] != "0"}) >= wanted // 4
    assert len(places) >= wanted // 3


def test_dying_at_any_change_of_a_file(trainer: Trainer, tmp_path: Path) -> None:
    number = 0
    while True:
        number += 1
        run = tmp_path / f"crashed{number}"
        trainer.start("crash", number, run)
        code = trainer.exit_code()
        if code == 0:  # there were not so many
            break
        assert code == 9
        finished = (run / "metrics.json").exists()
        trainer.start("crash", 0, run)  # a finished run is refused, and its last remains are removed
        assert trainer.exit_code() == int(finished), f"it cannot go on after dying at change {number}"
        assert [json.loads(line)["epoch"] for line in (run / "history.jsonl").read_text().splitlines()] == [1, 2, 3]
        assert sorted(file.name for file in run.iterdir()) == ["history.jsonl", "metrics.json"]
    assert number > 40
