"""`lookalike compare` as a user types it."""

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Command, process_of
from tests.cli.test_bad_input import check_refused

QUICK = [*TINY, "--set", "encoder.dim=16", "--set", "training.epochs=1"]


def cells(out: str) -> list[list[str]]:
    """The lines of a Markdown table."""
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in out.splitlines() if line[:1] == "|"]


def test_an_ablation_in_one_table(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    to = tmp_path / "scales"
    result = lookalike("compare", shop, *QUICK, "--set", "loss.scale=5,40", "--seeds", "0,1", "--to", to)
    assert result.code == 0, result.err
    heading, rule, *rows = cells(result.out)
    assert heading[:6] == ["catalog", "queries -> gallery", "recipe", "Recall@1", "Δ", "p"]
    assert set("".join(rule)) == {"-"}
    pooled = {row[2]: row for row in rows if row[:2] == ["shop", "all"]}
    assert list(pooled) == ["frozen backbone", "loss.scale=5", "loss.scale=40"]
    stored = json.loads((to / "compare.json").read_text())
    assert stored["seeds"] == [0, 1] and stored["baseline"] == "loss.scale=5"
    mean = stored["figures"]["shop"]["all"]["recall_at_1"]["loss.scale=40"]["mean"]
    assert re.match(rf"\**{100 * mean:.1f}", pooled["loss.scale=40"][3])
    assert pooled["loss.scale=5"][4] == ""  # the baseline
    assert "mean ± 95 % interval over the seeds 0, 1" in result.out
    assert f"everything is in {to}" in result.out


def test_a_single_seed_says_that_it_has_no_interval(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[loss]\nname = 'triplet'\n")
    recipes = ("--recipe", "default", "--recipe", tmp_path / "mine.toml")
    result = lookalike("compare", shop, *recipes, *QUICK, "--seeds", "4", "--to", tmp_path / "c")
    assert result.code == 0, result.err
    assert [row[2] for row in cells(result.out) if row[1] == "all"] == ["frozen backbone", "default", "mine"]
    assert "±" not in result.out and "**" not in result.out
    assert "a single seed (4) gives no interval" in result.out


def test_what_failed_is_said_and_is_the_exit_code(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    result = lookalike("compare", shop, *QUICK, "--set", "loss.scale=5,1e39", "--seeds", "0", "--to", tmp_path / "c")
    assert result.code == 1 and "Traceback" not in result.err
    assert "not done: loss.scale=1e+39 on shop, seed 0: " in result.out and "not finite" in result.out
    assert [row[2] for row in cells(result.out) if row[1] == "all"] == ["frozen backbone", "loss.scale=5"]


def test_mistakes(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    to = ("--to", tmp_path / "c")
    check_refused(lookalike("compare", shop, *to, "--seeds", "a"), "--seeds takes whole numbers with commas", code=2)
    check_refused(lookalike("compare", shop, *to, "--seeds", "0,0"), "different seeds")
    check_refused(lookalike("compare", shop, *to, "--seeds", "-1"), "training.seed = -1")
    check_refused(lookalike("compare", shop), "Missing option '--to'", code=2)
    check_refused(lookalike("compare", tmp_path / "no.csv", *to), "there is no catalog at")
    check_refused(lookalike("compare", shop, shop, *to), "catalogs are told apart by the names of their files")
    check_refused(lookalike("compare", shop, *to, "--recipe", "defualt"), "no recipe 'defualt'", "'default'")
    check_refused(
        lookalike("compare", shop, *to, "--recipe", "demo", "--recipe", "demo"), "two of demo, demo are alike"
    )
    check_refused(lookalike("compare", shop, *to, "--set", "loss.scale"), "--set takes PART.KEY=VALUE")
    check_refused(lookalike("compare", shop, *to, "--set", "loss.scle=1,2"), "loss.scle is not a setting", "'scale'")
    check_refused(lookalike("compare", shop, *to, "--set", "loss.scale=1,1"), "give each once")
    check_refused(lookalike("compare", shop, *to, "--jobs", "0"), "--jobs", code=2)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("loss.scale=10", [10]),
        ("loss.scale=10,20.5", [10, 20.5]),
        ("loss.name=triplet,proxy_anchor", ["triplet", "proxy_anchor"]),
        ("evaluation.k=[1, 2]", [[1, 2]]),
        ('encoder.weights="a,b"', ["a,b"]),
        ("training.tune_backbone=true,false", [True, False]),
    ],
)
def test_values_of_a_setting(written: str, values: list[object]) -> None:
    from lookalike.cli.compare import parse_variants

    assert parse_variants([written]) == {written.partition("=")[0]: values}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_stopped_comparison_goes_on(
    lookalike: Command, shop: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    """Stopped with some runs finished and others under way: no process stays, and no finished run is repeated."""
    to = tmp_path / "to"
    arguments = [
        "compare",
        shop,
        *TINY,
        "--set",
        "encoder.dim=16",
        "--set",
        "training.epochs=1,20",
        "--seeds",
        "0,1",
        "--to",
        to,
    ]
    process = process_of(*arguments, "--jobs", "2")
    end = time.monotonic() + 120
    while len(list((to / "runs").glob("*/metrics.json"))) < 2:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started = workers.read_text().split() if workers.exists() else []
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert sent == signal.SIGKILL or "Traceback" not in err
    while any(Path(f"/proc/{worker}").exists() for worker in started):
        assert time.monotonic() < end, "a worker outlived the command"
        time.sleep(0.05)
    finished = {file: file.stat().st_mtime_ns for file in (to / "runs").glob("*/metrics.json")}
    assert 2 <= len(finished) < 4

    assert lookalike(*arguments).code == 0
    assert len(list((to / "runs").glob("*/metrics.json"))) == 4
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert (to / "compare.json").exists()
