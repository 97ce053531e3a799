"""[loss.memory]: written in a recipe, built, and refused where it is of no use."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lookalike import Recipe
from lookalike.errors import RecipeError
from lookalike.losses import CrossBatchMemory, Loss, TripletLoss, WeightedSum
from lookalike.recipes.build import build_loss

RECIPE = """
[loss]
name = "triplet"
margin = 0.3

[loss.memory]
size = 512
after_steps = 100

[loss.plus.normalized_softmax]
weight = 0.5
"""


def no_text() -> np.ndarray:
    raise AssertionError("no loss here takes text")


def built(recipe: Recipe) -> Loss:
    return build_loss(recipe.loss, 3, 4, no_text, keep_similarities=2.0)


def test_the_loss_is_built_with_its_memory_and_what_is_added_without(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    loss = built(Recipe.load(tmp_path / "recipe.toml"))
    assert isinstance(loss, WeightedSum) and set(loss.parts) == {"triplet", "normalized_softmax", "kept"}
    memory = loss.parts["triplet"]
    assert isinstance(memory, CrossBatchMemory) and isinstance(memory.loss, TripletLoss)
    assert (memory.size, memory.after_steps, memory.loss.margin) == (512, 100, 0.3)
    assert not any(isinstance(part, CrossBatchMemory) for name, part in loss.parts.items() if name != "triplet")
    x = torch.randn(6, 4)
    assert {"triplet.triplet", "kept.similarity"} < set(loss.terms(x, torch.arange(6) % 3, start_embeddings=x))


def test_it_is_saved_and_another_loss_drops_it(tmp_path: Path) -> None:
    recipe = Recipe().override({"loss.name": "triplet", "loss.memory.size": 64})
    recipe.save(tmp_path / "recipe.toml")
    assert Recipe.load(tmp_path / "recipe.toml") == recipe
    assert recipe.override({"loss.name": "proxy_anchor"}).loss.memory.size == 0
    assert not isinstance(build_loss(Recipe().loss, 3, 4, no_text), CrossBatchMemory)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"loss.memory.size": 64},
            "loss.memory is of no use to normalized_softmax, .* 'triplet' or 'adaptive_triplet'",
        ),
        ({"loss.name": "pml.TripletMarginLoss", "loss.memory.size": 64}, "set loss.memory_size = 64"),
        ({"loss.name": "triplet", "loss.memory.size": -1}, "loss.memory.size = -1: .* greater than or equal to 0"),
        ({"loss.name": "triplet", "loss.memory.sise": 8}, "loss.memory.sise is not a setting.*'size'"),
    ],
)
def test_what_cannot_be_is_told_with_the_remedy(settings: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Recipe().override(settings)
