"""`lookalike tune` as a user types it."""

import json
import re
from pathlib import Path

from tests.cli.conftest import TINY, Command
from tests.cli.test_bad_input import check_refused

QUICK = [*TINY, "--set", "encoder.dim=16", "--set", "training.epochs=1"]


def test_a_search_and_its_second_look(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    arguments = ("tune", "--catalog", shop, *QUICK, "--vary", "loss.scale=10:40", "--vary", "training.flip=true,false")
    result = lookalike(*arguments, "--trials", "2", "--to", tmp_path / "s", "--seed", "3")
    assert result.code == 0, result.err
    assert "the best of 2 trials, Recall@1 " in result.out
    assert re.search(r"\n  loss\.scale = [1-3]\d\.\d+\n  training\.flip = (True|False)\n", result.out)
    assert "frozen backbone" in result.out and "the test classes were looked at once" in result.out
    assert json.loads((tmp_path / "s" / "metrics.json").read_text())["test_touched"] == 1

    check_refused(lookalike(*arguments, "--trials", "3", "--to", tmp_path / "s", "--seed", "3"), "were touched already")
    result = lookalike(*arguments, "--trials", "3", "--to", tmp_path / "s", "--seed", "3", "--again")
    assert result.code == 0, result.err
    assert "were looked at 2 times: the figures are too good" in result.out


def test_mistakes(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    arguments = ("tune", "--catalog", shop, "--to", tmp_path / "s")
    check_refused(lookalike(*arguments), "Missing option '--vary'", code=2)
    for wrong in ("loss.scale", "loss.scale=1", "loss.scale=1:2:lin", "loss.scale=a:b", "loss.scale=1:2:3:4"):
        check_refused(lookalike(*arguments, "--vary", wrong), "--vary takes PART.KEY=LOW:HIGH", repr(wrong))
    check_refused(lookalike(*arguments, "--vary", "loss.scle=1:2"), "loss.scle is not a setting", "'scale'")
    check_refused(lookalike(*arguments, "--vary", "loss.scale=2:1"), "give the lower end first")
    check_refused(lookalike(*arguments, "--vary", "loss.scale=1:2", "--trials", "0"), "--trials", code=2)
    check_refused(lookalike("tune", "no_such", *arguments[1:], "--vary", "loss.scale=1:2"), "no recipe 'no_such'")
    assert not (tmp_path / "s").exists()
