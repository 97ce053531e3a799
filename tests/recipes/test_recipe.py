"""Recipes: parsing, overriding, saving, and what is said of a mistake."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lookalike import Recipe
from lookalike.errors import LossInputError, RecipeError
from lookalike.losses import LOSSES, FromPML, Loss, Proxies, TripletLoss, WeightedSum
from lookalike.recipes.build import FILLED_IN, KNOWN, build_loss
from lookalike.recipes.recipe import LossSettings, shipped_names


def write(folder: Path, text: str) -> Path:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_recipe_loads_and_names_its_command(name: str) -> None:
    recipe = Recipe.load(name)
    assert recipe.loss.name in LOSSES or recipe.loss.name.startswith("pml.")
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
        (
            "[loss]\nname = 'adaptive_additive_softmax'\ndirection = 3",
            "loss.direction = 3: choose one of dissimilar, similar",
        ),
        ("[loss]\nname = 'adaptive_additive_softmax'\nslope = 'steep'", "loss.slope = 'steep': a number is needed"),
        ("[encoder]\nfit = 'stretch'", "encoder.fit = 'stretch': input should be 'squash', 'crop' or 'pad'"),
        ("loss = 3 = 4", "r.toml is not TOML"),
        (
            "[loss.plus.proxy_orthogonalty]\nweight = 2",
            "r.toml: loss.plus: there is no 'proxy_orthogonalty'. Did you mean 'proxy_orthogonality'",
        ),
        (
            "[loss.plus.proxy_orthogonality]\nreducton = 'sum'",
            "r.toml: loss.plus.proxy_orthogonality.reducton is not a setting of proxy_orthogonality. "
            "Did you mean 'reduction'",
        ),
        (
            "[loss.plus.proxy_orthogonality]\nreduction = 'most'",
            "r.toml: loss.plus.proxy_orthogonality.reduction = 'most': choose one of mean, sum",
        ),
        ("[loss.plus.triplet]\nmargin = 'big'", "r.toml: loss.plus.triplet.margin = 'big': a number is needed"),
        (
            "[loss.plus.triplet]\nweight = -1",
            "r.toml: loss.plus.triplet.weight = -1: input should be greater than or equal to 0",
        ),
        (
            "[loss.plus.triplet]\nweight = inf",
            "r.toml: loss.plus.triplet.weight = inf: input should be a finite number",
        ),
        ("[loss.plus]\ntriplet = 2", "r.toml: loss.plus.triplet = 2: input should be a valid dictionary"),
        ("[loss.plus.normalized_softmax]\nscale = 2", "loss.plus.normalized_softmax is the loss itself: remove it"),
        ("[loss.plus.proxy_anchor]\ndim = 2", "loss.plus.proxy_anchor.dim is filled in by the run and cannot be set"),
        (
            "[loss]\nname = 'triplet'\n[loss.plus.proxy_orthogonality]",
            "r.toml: loss.plus.proxy_orthogonality needs the proxies of a loss, and triplet has none here: take "
            "loss.name = 'normalized_softmax', or remove it",
        ),
        ("[loss]\nname = 'density'", "r.toml: there is no loss 'density'."),  # there is more to a loss
        (
            "[loss]\nname = 'pml.CircelLoss'",
            "r.toml: loss: pytorch-metric-learning has no loss 'CircelLoss'. Did you mean 'CircleLoss'",
        ),
        (
            "[loss]\nname = 'pml.CircleLoss'\ngama = 3",
            "r.toml: loss: 'gama' is not a setting of CircleLoss. Did you mean 'gamma'",
        ),
        (
            "[loss]\nname = 'pml.CircleLoss'\n[loss.miner]\nname = 'TripletMarginMiner'\nmargn = 1",
            "r.toml: loss: 'margn' is not a setting of TripletMarginMiner. Did you mean 'margin'",
        ),
        ("[loss]\nname = 'pml.ArcFaceLoss'\nnum_classes = 3", "loss.num_classes is filled in by the run"),
        ("[loss]\nname = 'pml.VICRegLoss'", "VICRegLoss of pytorch-metric-learning is not offered: it takes no labels"),
        ("[loss.plus.pml.CircleLoss]\nname = 'x'", "loss.plus.pml.CircleLoss.name is filled in by the run"),
        (
            "[loss.plus.pml.CircleLoss]\ngamma = 'x'",
            "r.toml: loss.plus.pml.CircleLoss: CircleLoss: gamma = 'x', where a",
        ),
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


COMPOSED = """[loss]
name = "normalized_softmax"
scale = 12.0

[loss.plus.proxy_orthogonality]
weight = 0.5
reduction = "sum"

[loss.plus.density]

[loss.plus.adaptive_additive_softmax]
base_margin = 0.2

[loss.plus.pml.MultiSimilarityLoss]
weight = 0.1
alpha = 3

[loss.plus.pml.MultiSimilarityLoss.miner]
name = "MultiSimilarityMiner"
epsilon = 0.2
"""


def with_eyes(settings: LossSettings, keep_similarities: float = 0.0) -> Loss:
    return build_loss(settings, 3, 4, lambda: np.eye(3, dtype=np.float32), keep_similarities)


def test_a_composition_is_saved_and_loaded(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, COMPOSED))
    assert {name: part.weight for name, part in recipe.loss.plus.items()} == {
        "proxy_orthogonality": 0.5,
        "density": 1.0,
        "adaptive_additive_softmax": 1.0,
        "pml.MultiSimilarityLoss": 0.1,
    }
    recipe.save(tmp_path / "saved.toml")
    assert Recipe.load(tmp_path / "saved.toml") == recipe


def test_a_setting_of_any_depth_is_overridden(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, COMPOSED))
    changed = recipe.override(
        {
            "loss.plus.proxy_orthogonality.weight": 2,
            "loss.plus.pml.MultiSimilarityLoss.miner.epsilon": 0.3,
            "loss.plus.pml.CircleLoss.weight": 3,
        }
    )
    assert changed.loss.plus["proxy_orthogonality"].weight == 2
    assert changed.loss.plus["proxy_orthogonality"].arguments == {"reduction": "sum"}
    similarity = changed.loss.plus["pml.MultiSimilarityLoss"]
    assert similarity.weight == 0.1
    assert similarity.arguments == {"alpha": 3, "miner": {"name": "MultiSimilarityMiner", "epsilon": 0.3}}
    assert changed.loss.plus["pml.CircleLoss"].weight == 3
    assert recipe == Recipe.load(tmp_path / "r.toml")  # as it was
    assert recipe.override({"loss.name": "triplet"}).loss.plus == {}
    with pytest.raises(RecipeError, match=r"loss\.scale\.x cannot be set: scale is 12\.0, and holds no settings"):
        recipe.override({"loss.scale.x": 1})


def test_a_composition_is_built_on_one_table_of_proxies(tmp_path: Path) -> None:
    loss = with_eyes(Recipe.load(write(tmp_path, COMPOSED)).loss, keep_similarities=10.0)
    assert isinstance(loss, WeightedSum)
    assert loss.weights == {
        "normalized_softmax": 1.0,
        "proxy_orthogonality": 0.5,
        "density": 1.0,
        "adaptive_additive_softmax": 1.0,
        "MultiSimilarityLoss": 0.1,
        "kept": 10.0,
    }
    assert len([module for module in loss.modules() if isinstance(module, Proxies)]) == 1
    assert [tuple(parameter.shape) for parameter in loss.parameters()] == [(3, 4)]
    parts = loss.parts
    assert parts["normalized_softmax"].scale == 12 and parts["proxy_orthogonality"].reduction == "sum"
    assert parts["adaptive_additive_softmax"].base_margin == 0.2 and parts["MultiSimilarityLoss"].loss.alpha == 3
    terms = loss.terms(torch.eye(4), torch.tensor([0, 0, 1, 2]), start_embeddings=torch.eye(4))
    assert [name.split(".")[0] for name in terms] == list(parts)


def test_the_weight_of_a_part_scales_its_term(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, COMPOSED))
    found = []
    for weight in (0.5, 5.0):
        torch.manual_seed(0)
        loss = with_eyes(recipe.override({"loss.plus.proxy_orthogonality.weight": weight}).loss)
        found.append(loss.terms(torch.eye(4), torch.tensor([0, 0, 1, 2]))["proxy_orthogonality.orthogonality"].item())
    assert found[0] > 0.01 and found[1] == pytest.approx(10 * found[0])


def test_one_loss_alone_is_no_sum() -> None:
    loss = with_eyes(LossSettings(name="pml.SoftTripleLoss"))
    assert isinstance(loss, FromPML) and (loss.num_classes, loss.dim) == (3, 4)
    assert isinstance(with_eyes(LossSettings(name="triplet")), TripletLoss)
    kept = with_eyes(LossSettings(name="pml.CircleLoss"), keep_similarities=2.0)
    assert isinstance(kept, WeightedSum) and kept.weights == {"CircleLoss": 1.0, "kept": 2.0}


def test_text_is_asked_for_once_and_only_if_the_settings_want_it() -> None:
    asked = []

    def text() -> np.ndarray:
        asked.append("text")
        return np.eye(3, dtype=np.float32)

    off = {"loss.name": "composed", "loss.text_margins": False}
    build_loss(Recipe().override(off).loss, 3, 4, text)
    assert asked == []
    both = {"loss.name": "composed", "loss.plus.adaptive_additive_softmax.weight": 0.5}
    build_loss(Recipe().override(both).loss, 3, 4, text)
    assert asked == ["text"]


def test_checking_a_recipe_draws_nothing() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Recipe().override({"loss.name": "pml.SoftTripleLoss"})
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_default_can_be_set(name: str) -> None:
    known = inspect.signature(KNOWN[name]).parameters.values()
    defaults = {p.name: p.default for p in known if p.name not in FILLED_IN and p.default is not None}
    recipe = Recipe().override({"loss.name": "proxy_anchor" if name != "proxy_anchor" else "composed"})
    changed = recipe.override({f"loss.plus.{name}.{key}": value for key, value in defaults.items()})
    assert defaults and changed.loss.plus[name].arguments == defaults
