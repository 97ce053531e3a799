"""What `evaluate` says beyond the figures: changed queries, and same or not by a threshold."""

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_changed_queries_and_thresholds(lookalike: Command, shop: Path, run: Path) -> None:
    found = json.loads(lookalike("evaluate", shop, "--run", run, "--robust", "--verification", "--json").out)
    robust, pooled = found["robustness"]["all"], found["all"]["this encoder"]
    assert list(robust) == ["clean", "cropped", "blurred", "compressed", "turned", "darker", "brighter"]
    assert robust["clean"]["recall_at_1"] == pooled["recall_at_1"]
    assert robust["cropped"]["map_at_r"] != pooled["map_at_r"]
    verified = found["verification"]
    assert set(verified) == {"frozen backbone", "this encoder"}
    rates = verified["this encoder"]["fnmr_at_fmr"]
    assert list(rates) == ["0.01", "0.001", "0.0001"]
    assert rates["0.01"]["fmr"] <= 0.01 and rates["0.01"]["fnmr"] <= rates["0.001"]["fnmr"] <= 1
    assert set(verified["this encoder"]["threshold_for_precision"]) == {"0.9", "0.95", "0.99"}


def test_they_are_said_in_words(lookalike: Command, shop: Path, run: Path) -> None:
    out = lookalike("evaluate", shop, "--run", run, "--robust", "--verification").out
    assert "this encoder, its queries changed and its gallery clean:" in out
    assert "compressed" in out
    assert "this encoder, whether two pictures show one product, by their cosine:" in out
    assert "on 0.01 % of the different pairs match, and " in out
    assert "95 % of the best matches are right: " in out
    plain = lookalike("evaluate", shop, "--run", run).out
    assert "changed" not in plain and "cosine" not in plain
