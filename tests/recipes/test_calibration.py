"""What a similarity is worth: fitted without the test classes, told on them."""

from pathlib import Path

import numpy as np

from lookalike import Catalog, Recipe, Run, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.recipes import calibration as module

SETTINGS = {
    "encoder.backbone": "test_resnet",
    "encoder.pretrained": False,
    "encoder.image_size": 32,
    "encoder.dim": 16,
    "training.epochs": 1,
}


def test_pairs_are_the_nearest_of_each_query() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((80, 4)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = rng.integers(0, 12, 80)
    test, held_out = labels == 0, labels == 1
    scores, right = module._pairs(embeddings, labels, held_out, ~test, 0)
    expected = []
    for query in np.flatnonzero(held_out):
        others = [other for other in range(80) if other != query and not test[other]]
        near = sorted(others, key=lambda other: -float(embeddings[query] @ embeddings[other]))[: module.NEAREST]
        expected += [(float(embeddings[query] @ embeddings[other]), labels[other] == 1) for other in near]
    assert held_out.sum() > 3
    found = sorted(zip(scores.tolist(), right.tolist(), strict=True))
    assert np.allclose(found, sorted(expected), atol=1e-6)


def test_a_class_of_one_picture_asks_nothing() -> None:
    embeddings, labels = np.eye(4, dtype=np.float32), np.array([0, 1, 1, 2])
    scores, right = module._pairs(embeddings, labels, labels == 0, np.ones(4, bool), 0)
    assert len(scores) == len(right) == 0


def test_a_run_is_calibrated(tmp_path: Path) -> None:
    shop = Catalog(draw_boutique(24, views=6, size_px=48), "shop")
    run = train(Recipe.load("default").override(SETTINGS), shop, tmp_path / "run")
    figures = run.metrics["calibration"]
    assert figures["num_pairs"] == len(shop.where(split="test")) * module.NEAREST
    assert 0 <= figures["expected_calibration_error"] < 0.5
    assert 0 < figures["share_right"] < 1
    calibration = Run.load(tmp_path / "run").encoder.calibration
    assert calibration is not None
    assert calibration.pairs > 0
    assert calibration == run.encoder.calibration
