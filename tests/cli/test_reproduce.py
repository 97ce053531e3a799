"""`lookalike reproduce` as a user types it."""

import json
from pathlib import Path

import pytest

from tests.catalog.benchmark_folders import laid_out, studio_street
from tests.cli.conftest import TINY, Command
from tests.cli.test_bad_input import check_refused
from tests.cli.test_compare import cells

QUICK = [
    *TINY,
    *("--set", "encoder.dim=8", "--set", "training.epochs=2", "--set", "training.tune_backbone=false"),
    *("--set", "text.encoder=tfidf", "--set", "training.classes_per_batch=2"),
]
NAMES = [f"studio_street_{loss}_resnet50" for loss in ("adaptive_triplet", "adaptive_additive_softmax")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laid_out(tmp_path_factory.mktemp("data"), studio_street())


def test_figures_beside_what_was_published(lookalike: Command, data: Path, tmp_path: Path) -> None:
    call = ("reproduce", "studio_street", "--data", data, *QUICK, "--to", tmp_path / "r")
    result = lookalike(*call, "--seeds", "0,1")
    assert result.code == 0, result.err
    heading, _, *rows = cells(result.out)
    assert heading[:6] == ["recipe", "K", "ours", "published", "Δ", "frozen backbone, @1"]
    assert [row[:2] for row in rows] == [[name, k] for name in NAMES for k in ("1", "10", "20")]
    assert {row[-1] for row in rows} == {"nothing published to stand beside"}
    stored = json.loads((tmp_path / "r" / "reproduce.json").read_text())
    assert stored["seeds"] == [0, 1] and stored["data"] == "studio_street"
    comparison = json.loads((tmp_path / "r" / "compare.json").read_text())
    pooled = comparison["figures"]["studio_street"]["all"]
    assert stored["rows"][0]["ours"]["mean"] == pooled["recall_at_1"][NAMES[0]]["mean"]
    assert stored["rows"][0]["our_frozen"] == pytest.approx(100 * pooled["recall_at_1"]["frozen backbone"]["mean"])

    again = lookalike(*call, "--seeds", "0")  # finished already
    assert "a single run (seed 0) is no reproduction" in again.out
    assert {row[-1] for row in cells(again.out)[2:]} == {"single run"}
    assert "reproduced" not in again.out and "±" not in again.out


def test_what_there_is_and_what_it_would_take(lookalike: Command) -> None:
    listed = lookalike("reproduce", "--list").out
    assert "cub200: 11 recipes on CUB-200-2011" in listed
    assert "papers/cub200_proxynca_resnet50  (ProxyNCA++, alike; published Recall@1 69.0)" in listed
    assert "published Recall@1 78.7 of HIER, hyperbolic)" in listed and "no published figure" in listed
    plan = lookalike("reproduce", "inshop", "--dry-run", "--only", "inshop_proxy_anchor_deit", "--seeds", "0,1").out
    assert "inshop_proxy_anchor_deit_small: 2 x 150 epochs of 25,882 pictures, each run 6 minutes at least" in plan
    assert "0.2 hours at least: an estimate" in plan and "not measured" in plan
    assert "is not fixed" in lookalike("reproduce", "studio_street", "--dry-run").out


def test_mistakes(lookalike: Command, data: Path, tmp_path: Path) -> None:
    check_refused(lookalike("reproduce", "cub"), "there is no table 'cub'", "'cub200'")
    check_refused(lookalike("reproduce", "cub200", "--only", "clip"), "no recipe of cub200 has 'clip' in its name")
    check_refused(lookalike("reproduce", "cub200"), "--data FOLDER --to cub200")
    check_refused(lookalike("reproduce", "cub200", "--set", "loss.nme=1", "--dry-run"), "loss.nme is not a setting")
    check_refused(lookalike("reproduce", "cub200", "--data", tmp_path, "--to", tmp_path / "r"), str(tmp_path))
    assert not (tmp_path / "r").exists()
