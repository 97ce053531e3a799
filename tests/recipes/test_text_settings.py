"""The `[text]` part: checked before long work, and what it says is done."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike import Catalog, Recipe, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.errors import RecipeError
from lookalike.side import SideVectors


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"text.encoder": "sentence"}, "text.encoder = 'sentence' needs text.model: a file, a folder or a name"),
        ({"text.encoder": "static"}, "text.encoder = 'static' needs text.model"),
        ({"text.encoder": "fasttext_file"}, "text.encoder = 'fasttext_file' needs text.model"),
        ({"text.encoder": "bert"}, "text.encoder = 'bert': input should be 'fasttext', 'fasttext_file'"),
        ({"text.scaling": "ranked"}, "text.scaling = 'ranked': input should be 'raw', 'centered' or 'whitened'"),
        ({"text.clean": ["brand"]}, "text.clean.0 = 'brand': input should be 'html', 'sizes', 'codes' or 'brands'"),
        ({"text.pooling": "middle"}, "text.pooling = 'middle'"),
        ({"text.epochs": -1}, "text.epochs = -1"),
        ({"text.modell": "x"}, "text.modell is not a setting. Did you mean 'model'"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load("default").override(settings)
    assert sentence in str(caught.value)


def test_all_of_it_is_saved(tmp_path: Path) -> None:
    recipe = Recipe.load("default").override({"text.encoder": "tfidf", "text.clean": ["html", "brands"]})
    recipe.save(tmp_path / "recipe.toml")
    assert Recipe.load(tmp_path / "recipe.toml") == recipe


@pytest.mark.parametrize("loss", ["adaptive_additive_softmax", "adaptive_triplet"])
def test_the_run_makes_and_scales_the_vectors_it_names(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[SideVectors] = []
    scalings: list[str] = []
    own = SideVectors.scaled, SideVectors.of_classes

    def scaled(self: SideVectors, scaling: Any) -> SideVectors:
        made.append(self)
        scalings.append(scaling)
        return own[0](self, scaling)

    def of_classes(self: SideVectors, labels: np.ndarray, num_classes: int, *, scaling: Any) -> np.ndarray:
        made.append(self)
        scalings.append(scaling)
        return own[1](self, labels, num_classes, scaling=scaling)

    monkeypatch.setattr(SideVectors, "scaled", scaled)
    monkeypatch.setattr(SideVectors, "of_classes", of_classes)
    settings = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32}
    settings |= {"encoder.dim": 8, "training.epochs": 1, "loss.name": loss}
    settings |= {"text.encoder": "tfidf", "text.column": "label", "text.scaling": "whitened", "text.clean": ["html"]}
    train(Recipe.load("default").override(settings), Catalog(draw_boutique(12, views=4, size_px=32)), tmp_path / "run")
    assert scalings == ["whitened"]
    rows = {vector.tobytes() for vector in made[0].vectors}
    assert 1 < len(rows) < len(made[0].vectors)  # one vector a class name, not one an item
