"""What the settings feed a run with: the batches they name, and pictures read the way they say."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lookalike import Catalog, Recipe, train
from lookalike.catalog.batches import Batches, ClassBatches, RandomBatches
from lookalike.catalog.boutique import draw_boutique
from lookalike.catalog.near_batches import NeighborBatches
from lookalike.errors import CatalogError, RecipeError, SideError, TrainingError
from lookalike.losses import Loss, NormalizedSoftmaxLoss, TripletLoss
from lookalike.recipes.build import build_encoder
from lookalike.recipes.data import RunData, labeled_items, prepare
from lookalike.recipes.inputs import build_batches, build_inputs, check_inputs
from lookalike.side import SideVectors

TINY = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32, "encoder.dim": 16}
SMALL = TINY | {"training.epochs": 1, "training.classes_per_batch": 4, "training.images_per_class": 2}


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(24, views=6, size_px=48), "shop")


@pytest.fixture(scope="module")
def data(shop: Catalog) -> RunData:
    recipe = Recipe.load("default").override(SMALL)
    return prepare(recipe, labeled_items(recipe, shop), build_encoder(recipe.encoder))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def recipe_with(**settings: object) -> Recipe:
    return Recipe.load("default").override(SMALL | {f"training.{name}": value for name, value in settings.items()})


def numbered_vectors(data: RunData) -> SideVectors:
    """Texts of the first half of the classes point one way, those of the other half another."""
    halves = data.training_labels < (data.training_labels.max() + 1) / 2
    vectors = np.stack([halves, ~halves], axis=1).astype(np.float32)
    return SideVectors(data.training_catalog.column("item_id"), vectors, "halves")


def batches_of(data: RunData, name: str, loss: Loss | None = None) -> Batches:
    num_classes = int(data.training_labels.max()) + 1
    return build_batches(
        recipe_with(batches=name), data, loss or NormalizedSoftmaxLoss(num_classes, 16), lambda: numbered_vectors(data)
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("classes", ClassBatches),
        ("balanced", ClassBatches),
        ("categories", NeighborBatches),
        ("near_texts", NeighborBatches),
        ("random", RandomBatches),
    ],
)
def test_a_name_gives_its_batches(name: str, kind: type, data: RunData) -> None:
    batches = batches_of(data, name)
    assert isinstance(batches, kind)
    assert getattr(batches, "balanced", False) == (name == "balanced")
    drawn = list(batches.epoch(1))
    assert {row for batch in drawn for row in batch.tolist()} == {*range(int(data.training.sum()))}
    assert {len(batch) for batch in drawn} == {8}


def test_categories_are_those_of_the_column(data: RunData) -> None:
    category = data.training_catalog.column("category")
    most = Counter(dict(zip(data.training_labels.tolist(), category, strict=True)).values()).most_common(1)[0][1]
    assert most >= 4  # else no batch can be of one category
    kinds = [len({category[row] for row in batch}) for batch in batches_of(data, "categories").epoch(1)]
    plain = [len({category[row] for row in batch}) for batch in batches_of(data, "classes").epoch(1)]
    assert np.mean(kinds) < np.mean(plain)


def test_near_texts_are_those_of_the_class_vectors(data: RunData) -> None:
    half = (data.training_labels.max() + 1) / 2
    halves = [{*(data.training_labels[batch] < half)} for batch in batches_of(data, "near_texts").epoch(1)]
    assert sum(len(both) == 1 for both in halves) >= len(halves) / 2


def test_what_the_catalog_lacks_is_said_before_anything_is_done(shop: Catalog, tmp_path: Path) -> None:
    bare = Catalog(shop.table.select(["item_id", "image", "label", "split"]), "shop")
    with pytest.raises(
        CatalogError, match=r"'balanced' needs domains, and shop has none: name the column with domain="
    ):
        train(recipe_with(batches="balanced"), bare, tmp_path / "run")
    with pytest.raises(CatalogError, match=r"shop has no column 'kind': set training.category_column to one it has"):
        train(recipe_with(batches="categories", category_column="kind"), shop, tmp_path / "run")
    with pytest.raises(SideError, match="text"):
        train(recipe_with(batches="near_texts"), bare, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match=r"training\.batches"):
        recipe_with(batches="hard")
    check_inputs(recipe_with(batches="categories"), shop)


def test_random_batches_are_refused_for_losses_of_pairs(data: RunData) -> None:
    with pytest.raises(TrainingError, match=r"compares pictures of one class, of which training.batches = 'random'"):
        batches_of(data, "random", TripletLoss())


@pytest.mark.parametrize("packed", [True, False])
def test_pictures_are_packed_if_the_settings_say_so(packed: bool, data: RunData, own_cache: Path) -> None:
    recipe = recipe_with(tune_backbone=True, pack_pictures=packed)
    inputs = build_inputs(recipe, data, build_encoder(recipe.encoder))
    ((rows, views),) = inputs.batches(1, [np.arange(5)])
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert (views.shape, views.dtype) == ((5, 3, 32, 32), torch.uint8)
    assert bool(list(own_cache.rglob("*.arrow"))) == packed


def test_squares_are_no_larger_than_the_pictures(data: RunData, own_cache: Path) -> None:
    build_inputs(recipe_with(tune_backbone=True), data, build_encoder(recipe_with().encoder))
    (folder,) = (own_cache / "packed").iterdir()
    assert folder.name.split("-")[2] == "53"  # crops of 32 px at least; the pictures have 48, say 64
    large = recipe_with(tune_backbone=True).override({"encoder.image_size": 48})
    build_inputs(large, data, build_encoder(large.encoder))
    assert {path.name.split("-")[2] for path in (own_cache / "packed").iterdir()} == {"53", "64"}


def history(run: Path) -> Iterator[str]:
    for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines():
        yield line.split('"terms"')[1].split('"learning_rates"')[0] if '"terms"' in line else ""


def test_a_run_is_the_same_packed_or_not(shop: Catalog, tmp_path: Path) -> None:
    for packed in (True, False):
        recipe = recipe_with(tune_backbone=True, warmup_epochs=0, pack_pictures=packed)
        train(recipe, shop, tmp_path / str(packed), judge_test=False)
    assert list(history(tmp_path / "True")) == list(history(tmp_path / "False"))
    assert any(history(tmp_path / "True"))
