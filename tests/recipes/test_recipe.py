"""Recipes: parsing, overriding, saving, and what is said of a mistake."""

import re
from pathlib import Path

import pytest

from lookalike import Recipe
from lookalike.errors import LossInputError, RecipeError
from lookalike.losses import LOSSES
from lookalike.recipes.build import FILLED_IN, build_loss
from lookalike.recipes.recipe import shipped_names


def write(folder: Path, text: str) -> Path:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_recipe_loads_and_names_its_command(name: str) -> None:
    recipe = Recipe.load(name)
    assert recipe.loss.name in LOSSES
    text = (Path(__file__).parents[2] / "src/lookalike/recipes" / f"{name}.toml").read_text(encoding="utf-8")
    assert "lookalike train" in text.split("[encoder]")[0]


def test_save_and_load_give_the_same_recipe(tmp_path: Path) -> None:
    recipe = Recipe.load("demo").override({"loss.base_margin": 0.2, "training.epochs": 3})
    recipe.save(tmp_path / "saved.toml")
    assert Recipe.load(tmp_path / "saved.toml") == recipe
    assert "weight_decay" in (tmp_path / "saved.toml").read_text(encoding="utf-8")  # defaults are written too


def test_another_loss_drops_the_arguments_of_the_old() -> None:
    recipe = Recipe.load("default")
    assert recipe.loss.arguments  # or the test shows nothing
    assert recipe.override({"loss.name": "triplet"}).loss.arguments == {}
    assert recipe.override({"loss.scale": 30}).loss.arguments["margin"] == recipe.loss.arguments["margin"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[training]\nepoch = 3", "r.toml: training.epoch is not a setting. Did you mean 'epochs'"),
        ("[trainning]\nepochs = 3", "r.toml: trainning is not a setting. Did you mean 'training'"),
        ("[training]\nepochs = 0", "r.toml: training.epochs = 0: input should be greater than 0"),
        ("[training]\nmin_crop = 0", "r.toml: training.min_crop = 0: input should be greater than 0"),
        ("[training]\nepochs = 'ten'", "r.toml: training.epochs = 'ten': input should be a valid integer"),
        (
            "[loss]\nname = 'adaptiv_softmax'",
            "r.toml: there is no loss 'adaptiv_softmax'. Did you mean 'adaptive_additive_softmax'",
        ),
        (
            "[loss]\nname = 'triplet'\nmargn = 1",
            "r.toml: loss.margn is not a setting of triplet. Did you mean 'margin'",
        ),
        ("[loss]\nname = 'normalized_softmax'\ndim = 3", "loss.dim is filled in by the run and cannot be set"),
        ("[loss]\nname = 'triplet'\nmargin = 'big'", "loss.margin = 'big': a number is needed"),
        (
            "[loss]\nname = 'adaptive_additive_softmax'\ndirection = 'sideways'",
            "loss.direction = 'sideways': choose one of dissimilar, similar",
        ),
        ("[encoder]\nfit = 'stretch'", "encoder.fit = 'stretch': input should be 'squash', 'crop' or 'pad'"),
        ("loss = 3 = 4", "r.toml is not TOML"),
    ],
)
def test_a_mistake_is_told_with_the_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        Recipe.load(write(tmp_path, text))


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe 'defualt'.*Did you mean 'default'"):
        Recipe.load("defualt")


def test_a_folder_of_that_name_does_not_hide_a_shipped_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Recipe.load("demo").training.tune_backbone


def test_an_override_needs_a_part() -> None:
    with pytest.raises(RecipeError, match=r"named PART\.KEY, like training\.epochs, not 'epochs'"):
        Recipe().override({"epochs": 3})


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_built_with_what_the_run_fills_in(name: str) -> None:
    import numpy as np

    settings = Recipe().override({"loss.name": name}).loss
    loss = build_loss(settings, 3, 4, lambda: np.eye(3, dtype=np.float32))
    assert isinstance(loss, LOSSES[name])
    assert not set(settings.arguments) & set(FILLED_IN)


def test_text_is_asked_for_only_by_a_loss_that_takes_it() -> None:
    def no_text() -> None:
        raise AssertionError("asked for text")

    build_loss(Recipe().override({"loss.name": "triplet"}).loss, 3, 4, no_text)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="asked for text"):
        build_loss(Recipe().override({"loss.name": "adaptive_additive_softmax"}).loss, 3, 4, no_text)  # type: ignore[arg-type]


def test_a_value_out_of_range_is_told_by_the_loss() -> None:
    settings = Recipe().override({"loss.name": "triplet", "loss.margin": 9}).loss
    with pytest.raises(LossInputError, match=r"must lie in \(0, 4\), not 9"):
        build_loss(settings, 3, 4, lambda: None)  # type: ignore[arg-type, return-value]
