"""What each of two processes does for test_distributed_run.py: whole runs."""

import json
import os
from pathlib import Path

import numpy as np
import torch

from lookalike import Catalog, Recipe, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.errors import TrainingError
from tests.processes import as_one_of

TINY = {
    "encoder.backbone": "test_resnet",
    "encoder.pretrained": False,
    "encoder.image_size": 32,
    "encoder.dim": 16,
    "loss.name": "adaptive_additive_softmax",
    "training.epochs": 2,
    "training.device": "cpu",
    "training.shard_proxies_above": 2,
    "training.validation_share": 0.0,  # the last epoch is kept
}


def train_a_shop(folder: Path) -> None:
    """A run of two processes, the same again, one with BatchNorm in pieces, and the first process alone."""
    torch.set_num_threads(1)
    shop, number = Catalog(draw_boutique(12, views=6, size_px=48), "shop"), int(os.environ["RANK"])
    recipe = Recipe.load("default").override(TINY)
    as_one_of(2, turn=0)
    together = train(recipe, shop, folder / "together")
    as_one_of(2, turn=1)
    refusal = _refusal(recipe, shop, folder / "together")
    as_one_of(2, turn=2)
    tuned = recipe.override({"training.tune_backbone": True, "training.freeze_batchnorm": False})
    refusals = [refusal, _refusal(tuned, shop, folder / "tuned")]
    found: dict[str, object] = {"metrics": together.metrics, "refusals": refusals}
    if number == 0:
        as_one_of(1)
        alone = train(recipe, shop, folder / "alone")
        files = [sorted(file.name for file in (folder / name).iterdir()) for name in ("together", "alone")]
        embeddings = [
            run.encoder.embed_feature_array(_features(alone.encoder.feature_dim)) for run in (together, alone)
        ]
        off = float(np.abs(embeddings[0] - embeddings[1]).max())
        found |= {"alone": alone.metrics, "files": files, "off": off}
    (folder / f"{number}.json").write_text(json.dumps(found))


def _refusal(recipe: Recipe, shop: Catalog, directory: Path) -> str:
    try:
        train(recipe, shop, directory)
    except TrainingError as error:
        return str(error)
    return ""


def _features(dim: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, dim)).astype(np.float32)
