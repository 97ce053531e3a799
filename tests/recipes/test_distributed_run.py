"""A whole run in several processes: one directory, written by the first, and the encoder of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike import Catalog, Run
from lookalike.catalog.boutique import draw_boutique
from tests.processes import in_processes
from tests.recipes.in_processes import TINY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    in_processes("tests.recipes.in_processes:train_a_shop", 2, folder)
    return folder


@pytest.fixture
def found(folder: Path) -> list[dict]:
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def history(directory: Path) -> list[dict]:
    return [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]


def test_the_encoder_is_that_of_one_process(folder: Path, found: list[dict]) -> None:
    assert found[0]["off"] < 1e-5
    terms = [[row.get("terms") for row in history(folder / name)] for name in ("together", "alone")]
    assert len(terms[0]) == 3
    assert terms[0][2]["adaptive_additive_softmax.softmax"] != terms[0][1]["adaptive_additive_softmax.softmax"]
    assert terms[0][1:] == [pytest.approx(row, rel=1e-5) for row in terms[1][1:]]


def test_all_processes_know_what_came_of_the_run(found: list[dict]) -> None:
    assert found[0]["metrics"] == found[1]["metrics"]
    assert found[0]["metrics"]["test"].keys() == found[0]["alone"]["test"].keys()


def test_the_directory_is_written_once(folder: Path, found: list[dict]) -> None:
    assert found[0]["files"][0] == found[0]["files"][1]
    assert "checkpoints" not in found[0]["files"][0]
    assert Run.load(folder / "together").metrics == found[0]["metrics"]


def test_what_is_refused_is_refused_in_all(found: list[dict]) -> None:
    of_first, of_second = (of_rank["refusals"] for of_rank in found)
    assert of_first == of_second
    assert "together is not empty; a run is never overwritten" in of_first[0]
    assert of_first[1].startswith("training.freeze_batchnorm = false needs the whole batch in one process")


@pytest.mark.skipif("LOOKALIKE_LONG" not in os.environ, reason="a minute: set LOOKALIKE_LONG=1")
def test_torchrun_a_process_is_killed_and_the_same_command_goes_on(tmp_path: Path) -> None:
    Catalog(draw_boutique(12, views=6, size_px=48), "shop").write(tmp_path / "shop.parquet")
    settings = TINY | {"training.epochs": 40, "training.checkpoint_minutes": 0.0}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3", "-m", "--", "lookalike", "train"]
    command += ["--catalog", str(tmp_path / "shop.parquet"), "--run", str(tmp_path / "run")]
    for name, value in settings.items():
        command += ["--set", f"{name}={json.dumps(value)}"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: (tmp_path / "run/history.jsonl").exists() and len(history(tmp_path / "run")) > 5)
    workers = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    started = time.monotonic()
    os.kill(int(workers[-1]), signal.SIGKILL)
    said = first.communicate(timeout=60)[0]
    assert first.returncode != 0
    assert time.monotonic() - started < 45
    assert "Error: another process of this run has ended" in said
    done = len(history(tmp_path / "run"))
    second = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert second.returncode == 0, second.stderr
    assert "going on with it" in second.stderr
    assert second.stdout.count("everything is in") == 1  # the first process speaks, and no other
    epochs = [row["epoch"] for row in history(tmp_path / "run")]
    assert epochs == sorted(set(epochs)) == list(range(41))
    assert done < 41


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)
