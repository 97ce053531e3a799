"""The benchmarks run, on their small sizes, and compare what they say they compare."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_losses_quickly(tmp_path: Path) -> None:
    """That both sides of a row give the same loss is asserted by the benchmark itself."""
    command = [sys.executable, "benchmarks/losses.py", "--quick", "--repeats", "1", "--to", str(tmp_path / "losses.md")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "losses.md").read_text(encoding="utf-8")
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    assert [row for row in rows if row not in text or row.count("|") != 13] == []
    peers = [row for row in rows if "pytorch-metric-learning" in row]
    assert {row.split("|")[1].strip() for row in peers} == {
        "all triplets",
        "Proxy Anchor",
        "normalized softmax",
        "CosFace",
    }
    assert all("x**" in row for row in peers)
    assert "| never slower |" in text


@pytest.mark.timeout(900)  # seconds of work, but on a busy machine minutes
def test_the_training_quickly(tmp_path: Path) -> None:
    """That all loops begin with the same loss is asserted by the benchmark itself."""
    command = [sys.executable, "benchmarks/training.py", "--quick", "--repeats", "1", "--to", str(tmp_path / "t.md")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "t.md").read_text(encoding="utf-8")
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row not in text] == []
    sides = [row.split("|")[5].strip() for row in rows if row.count("|") == 9][:5]
    assert sides == ["forward and backward", "bare loop", "pytorch-metric-learning", "ours", "ours, heads"]
    assert "share of the floor: at least 95%" in text and "heads on features: 50x ours" in text
    assert "| 96 | ours, packed |" in text
