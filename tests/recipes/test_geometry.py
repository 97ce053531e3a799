"""Figures of a loss's proxies and lines, against plain loops."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from lookalike import Catalog, Recipe, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.losses import DensityAwareLineLoss, NormalizedSoftmaxLoss, TripletLoss
from lookalike.recipes.geometry import geometry_of
from tests.recipes.test_train import TINY


def never() -> np.ndarray:
    raise AssertionError("embedded for nothing")


def test_a_loss_without_proxies_has_no_geometry() -> None:
    assert geometry_of(TripletLoss(), never, np.zeros(0)) is None


@pytest.mark.parametrize(("classes", "dim"), [(7, 3), (3, 7)])
def test_proxies_are_measured_in_pairs(classes: int, dim: int) -> None:
    loss = NormalizedSoftmaxLoss(classes, dim)
    found = geometry_of(loss, never, np.zeros(0))
    assert found is not None and found["lines"] == []
    (table,) = found["proxies"]
    rows = [row / np.linalg.norm(row) for row in loss.proxies.weight.detach().double().numpy()]
    cosines = [float(a @ b) for a, b in combinations(rows, 2)]
    assert table["mean_squared_cosine"] == pytest.approx(np.mean(np.square(cosines)), abs=1e-6)
    assert table["max_abs_cosine"] == pytest.approx(max(map(abs, cosines)), abs=1e-6)
    assert table["floor"] == (pytest.approx(4 / (3 * 6)) if classes == 7 else 0)
    assert table["mean_squared_cosine"] >= table["floor"]


def test_the_use_of_lines_is_the_variance_of_places() -> None:
    # Lines along the second axis: the items of class 0 lie at both ends of theirs, those of class 1 in the middle.
    loss = DensityAwareLineLoss(3, 4)
    assert loss.body.lines is not None
    with torch.no_grad():
        loss.proxies.weight.copy_(torch.eye(4)[[0, 2, 3]])
        loss.body.lines.steps.copy_(torch.tensor([0.0, 0.4, 0, 0]).expand(1, 3, 4))
    ends = [[1, -0.3, 0, 0], [1, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    found = geometry_of(loss, lambda: np.array(ends, dtype=np.float32), np.array([0, 0, 1, 1, 2]))
    assert found is not None
    (lines,) = found["lines"]
    assert lines["classes"] == 3 and lines["mean_length"] == pytest.approx(0.4, abs=1e-6)
    assert lines["mean_variance"] == pytest.approx(0.125, abs=1e-3)  # 1/4 and 0; a single item has none
    assert lines["variances"][0] == lines["variances"][-1] == 0.5 and sum(lines["variances"]) == 1


def test_a_run_with_lines_shows_them(tmp_path: Path) -> None:
    shop = Catalog(draw_boutique(24, views=6, size_px=48), "shop")
    settings = TINY | {"training.epochs": 1, "loss.name": "density_aware_line"}
    train(Recipe.load("default").override(settings), shop, tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert data["geometry"]["proxies"][0]["classes"] == data["geometry"]["lines"][0]["classes"] > 5
    assert 0 <= data["geometry"]["lines"][0]["mean_variance"] <= 0.25
    assert [epoch for epoch, _ in data["training"]["validation"]] == [0, 1]
    assert "density_aware_line.line_softmax" in data["training"]["terms"] or len(data["training"]["terms"]) > 1
