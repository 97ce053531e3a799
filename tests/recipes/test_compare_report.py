"""The page of a comparison."""

import json
from pathlib import Path

from lookalike.evaluation.seeds import compare_over_seeds
from lookalike.recipes.compare_report import report_comparison

TRICK = "</script><script>alert(1)</script>"


def test_rows_stand_beside_the_baseline(tmp_path: Path) -> None:
    values = {"frozen": {0: 0.5, 1: 0.5}, "base": {0: 0.60, 1: 0.62}, TRICK: {0: 0.70, 1: 0.74}, "late": {2: 0.9}}
    compared = {row: found.to_dict() for row, found in compare_over_seeds(values, "base").items()}
    comparison = {
        "recipes": {"base": {}, TRICK: {}, "late": {}},
        "baseline": "base",
        "seeds": [0, 1],
        "figures": {"shop": {"all": {"recall_at_1": compared, "map_at_r": compared}}},
        "failed": {"late on shop, seed 0": "no memory"},
    }
    report_comparison(tmp_path / "report.html", comparison)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert TRICK not in page
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert data["sentences"][0] == "3 recipes, seeds 0, 1; the baseline is base."
    assert data["sentences"][1] == "Failed: late on shop, seed 0: no memory"
    (table,) = data["figures"]
    assert (table["protocol"], table["metrics"]) == ("shop · all", ["Recall@1", "MAP@R"])
    assert [row["model"] for row in table["rows"]] == ["frozen", "base", TRICK, "late"]
    assert table["rows"][0]["cells"] == [[50, None, None]] * 2  # equal figures have no interval
    assert table["rows"][2]["cells"][0][0] == 72
    assert [row["model"] for row in table["gains"]] == ["frozen", TRICK]  # no seed of "late" is the baseline's too
    gain, low, high = table["gains"][1]["cells"][0]
    assert gain == 11 and low < 11 < high
