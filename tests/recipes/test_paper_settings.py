"""What only the recipes of papers ask for: a random start, poolings that learn, a first layer that stands still."""

from pathlib import Path

import pytest
import torch

from lookalike import Catalog, Recipe, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.encoders.head import Head
from lookalike.losses import Proxies
from lookalike.recipes.build import build_encoder
from tests.recipes.test_train import TINY

SETTINGS = TINY | {"training.epochs": 2, "training.warmup_epochs": 0, "training.validation_share": 0}
RECIPE = Recipe.load("default").override(SETTINGS)
TUNED = RECIPE.override({"training.tune_backbone": True, "training.pack_pictures": False})


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(8, views=4, size_px=48), "shop")


@pytest.mark.parametrize("start", ["geometry", "random"])
def test_head_and_proxies_begin_as_the_recipe_says(
    start: str, shop: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    monkeypatch.setattr(Head, "fit_geometry", lambda *_: begun.append("head"))
    monkeypatch.setattr(Proxies, "start_at", lambda *_: begun.append("proxies"))
    train(RECIPE.override({"training.start": start}), shop, tmp_path / "run", judge_test=False)
    assert begun == (["head", "proxies"] if start == "geometry" else [])


@pytest.mark.parametrize("pooling", ["gem", "attention"])
def test_a_pooling_learns_with_the_backbone_and_only_then(pooling: str, shop: Catalog, tmp_path: Path) -> None:
    for recipe, moves in ((TUNED, True), (RECIPE, False)):
        recipe = recipe.override({"encoder.pooling": pooling, "encoder.image_size": 64})
        encoder = train(recipe, shop, tmp_path / f"run{moves}", judge_test=False).encoder
        [(name, learned)] = encoder.pooling.named_parameters()  # type: ignore[union-attr]
        start = 3.0 if pooling == "gem" else 0.0
        assert bool((learned != start).any()) == moves, name


def test_a_frozen_patch_embedding_ends_as_it_began(shop: Catalog, tmp_path: Path) -> None:
    recipe = TUNED.override({"encoder.backbone": "test_vit", "encoder.freeze_patch_embedding": True})
    torch.manual_seed(recipe.training.seed)
    before = build_encoder(recipe.encoder).backbone.state_dict()
    after = train(recipe, shop, tmp_path / "run", judge_test=False).encoder.backbone.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert not any("patch_embed" in name for name in moved)
    assert any("blocks" in name for name in moved) and "cls_token" in moved
