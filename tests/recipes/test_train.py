"""A whole run through the library: what it trains on, what it may not see, and what it says."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog, Recipe, Run, evaluate, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.encoders import Encoder
from lookalike.errors import CatalogError, TrainingError
from lookalike.recipes.build import build_encoder, frozen_encoder, with_image_size
from lookalike.recipes.data import RunData, labeled_items, prepare

TINY = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32, "encoder.dim": 16}


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(24, views=6, size_px=48), "shop")


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.load("default").override(TINY | {"training.epochs": 2})


def prepared(recipe: Recipe, catalog: Catalog) -> tuple[RunData, Encoder]:
    encoder = build_encoder(recipe.encoder)
    return prepare(recipe, labeled_items(recipe, catalog), encoder), encoder


def test_training_validation_and_test_share_no_class(recipe: Recipe, shop: Catalog) -> None:
    data, _ = prepared(recipe, shop)
    parts = [set(data.labels[mask]) for mask in (data.training, data.validation, data.test)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == 24
    assert (data.training.astype(int) + data.validation + data.test == 1).all()
    assert {shop.column("split")[row] for row in np.flatnonzero(data.test)} == {"test"}


def test_choosing_the_weights_never_sees_a_test_item(recipe: Recipe, shop: Catalog) -> None:
    data, _ = prepared(recipe, shop)
    protocols = data.validation_protocols()
    assert any("of all classes" in protocol.name for protocol in protocols)  # else this shows nothing
    assert not any(data.test[protocol.rows].any() for protocol in protocols)
    assert any(data.training[protocol.rows].any() for protocol in data.test_protocols())


def test_a_split_with_validation_items_is_not_mixed_up(recipe: Recipe, shop: Catalog) -> None:
    labels, splits = shop.column("label"), shop.column("split")
    spare = sorted({label for label, split in zip(labels, splits, strict=True) if split == "train"})[0]
    marked = ["validation" if label == spare else split for label, split in zip(labels, splits, strict=True)]
    table = shop.table.set_column(shop.table.column_names.index("split"), "split", [marked])
    data, _ = prepared(recipe, Catalog(table))
    assert {labels[row] for row in np.flatnonzero(data.validation)} == {spare}
    assert not any(labels[row] == spare for row in np.flatnonzero(data.training))


def test_the_table_is_refused_before_weights_are_fetched(
    recipe: Recipe, shop: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(settings: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(import_module("lookalike.recipes.train"), "build_encoder", fetched)
    with pytest.raises(CatalogError, match="has no labels"):
        train(recipe, Catalog(shop.table.drop_columns(["label"])), tmp_path / "run")
    with pytest.raises(AssertionError, match="fetched"):
        train(recipe, shop, tmp_path / "run")


def test_a_run_can_be_opened_again(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    made = train(recipe, shop, tmp_path / "run")
    opened = Run.load(tmp_path / "run")
    assert opened.metrics == json.loads(json.dumps(made.metrics))
    assert opened.encoder.fingerprint == made.encoder.fingerprint == made.metrics["fingerprint"]
    assert Recipe.load(tmp_path / "run" / "recipe.toml") == recipe
    expected = made.metrics["test"]["all"]["trained"]["recall_at_1"]
    assert evaluate(opened.encoder, shop).recall_at[1] == pytest.approx(expected)


def test_the_frozen_baseline_of_a_run_can_be_built_again(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    made = train(recipe.override({"training.tune_backbone": True}), shop, tmp_path / "run")
    frozen = frozen_encoder(tmp_path / "run")
    assert frozen is not None
    assert frozen.backbone_fingerprint != made.encoder.backbone_fingerprint  # it was tuned
    expected = made.metrics["test"]["all"]["frozen"]["recall_at_1"]
    assert evaluate(frozen, shop).recall_at[1] == pytest.approx(expected)


def test_the_weights_kept_are_those_with_the_best_score(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    made = train(recipe.override({"training.epochs": 4}), shop, tmp_path / "run")
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert made.metrics["best"]["validation"] == max(row["validation"] for row in history)


def test_the_report_stands_alone(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    train(recipe, shop, tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "http:" not in page and "https:" not in page
    assert page.count("data:image/jpeg;base64") > 20
    assert "Recall@1" in page
    assert "frozen backbone" in page


def test_no_run_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no run in"):
        Run.load(tmp_path)


def test_the_image_size_follows_small_pictures(shop: Catalog) -> None:
    settings = Recipe().override({"encoder.backbone": "mobilenetv2_100"})
    assert with_image_size(settings, shop).encoder.image_size == 96  # pictures of 48 px; never below 96
    assert with_image_size(settings.override({"encoder.image_size": 64}), shop).encoder.image_size == 64
    large = Catalog(draw_boutique(8, views=2, size_px=140))
    assert with_image_size(settings, large).encoder.image_size == 160
    fixed = settings.override({"encoder.backbone": "deit_tiny_patch16_224"})
    assert with_image_size(fixed, shop).encoder.image_size == 224


def terms_by_epoch(run: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [row["terms"] for row in rows if "terms" in row]


def test_a_composition_is_trained(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    recipe = recipe.override({"loss.plus.proxy_orthogonality.weight": 0.5, "loss.plus.density.max_density": 0.3})
    train(recipe, shop, tmp_path / "run")
    assert Recipe.load(tmp_path / "run" / "recipe.toml") == recipe
    first, last = terms_by_epoch(tmp_path / "run")
    names = ("normalized_softmax.softmax", "proxy_orthogonality.orthogonality", "density.density", "kept.similarity")
    assert all(last[name] >= 0 for name in names)
    assert last["normalized_softmax.softmax"] < first["normalized_softmax.softmax"]


@pytest.mark.parametrize("name", ["pml.MultiSimilarityLoss", "pml.SoftTripleLoss"])
def test_a_loss_of_another_library_is_trained(name: str, recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    recipe = recipe.override({"loss.name": name, "loss.distance.name": "CosineSimilarity"})
    train(recipe, shop, tmp_path / "run")
    assert Recipe.load(tmp_path / "run" / "recipe.toml") == recipe
    first, last = terms_by_epoch(tmp_path / "run")
    term = f"{name.removeprefix('pml.')}.pml"
    assert 0 < last[term] < first[term]


def test_a_batch_of_single_pictures_is_for_losses_with_a_class_table(
    recipe: Recipe, shop: Catalog, tmp_path: Path
) -> None:
    single = recipe.override({"training.images_per_class": 1, "training.epochs": 1})
    with pytest.raises(TrainingError, match=r"pml\.CircleLoss compares pictures of one class"):
        train(single.override({"loss.name": "pml.CircleLoss"}), shop, tmp_path / "pairs")
    run = train(single.override({"loss.name": "pml.ArcFaceLoss"}), shop, tmp_path / "table")
    assert run.metrics["loss"] == "pml.ArcFaceLoss"
