"""A run on weak labels: what it learns from, what it may not see, and who judges it."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lookalike import Catalog, Recipe, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.errors import CatalogError, SideError
from lookalike.recipes.data import labeled_items
from lookalike.recipes.weak_labels import label_names, with_weak_labels
from lookalike.side.weak_labels import weak_labels

TINY = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32, "encoder.dim": 16}


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(24, views=6, size_px=48), "shop")


@pytest.fixture
def recipe() -> Recipe:
    near = {"weak_labels.how": "near", "weak_labels.similarity": 0.5, "text.encoder": "tfidf"}
    return Recipe.load("default").override(TINY | near | {"training.epochs": 2, "loss.name": "adaptive_triplet"})


def with_labels(catalog: Catalog, labels: list[str | None]) -> Catalog:
    place = catalog.table.column_names.index("label")
    return Catalog(catalog.table.set_column(place, "label", pa.array(labels, pa.string())), catalog.name)


def without(catalog: Catalog, *columns: str) -> Catalog:
    return Catalog(catalog.table.drop_columns(list(columns)), catalog.name)


def test_labels_of_training_items_are_weak_and_those_of_test_items_true(recipe: Recipe, shop: Catalog) -> None:
    seen, made = with_weak_labels(recipe, shop)
    is_test = [split == "test" for split in shop.column("split")]
    labels = seen.column("label")
    assert [label for label, test in zip(labels, is_test, strict=True) if test] == [
        label for label, test in zip(shop.column("label"), is_test, strict=True) if test
    ]
    names = [label for label, test in zip(labels, is_test, strict=True) if not test]
    assert names == label_names(made)
    assert all(name is None or re.match(r"weak \d+: ", name) for name in names)
    assert seen.column("item_id") == shop.column("item_id")
    assert len(set(filter(None, names))) == len(made.sizes) > 1


def test_the_labels_of_training_items_change_nothing(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    garbled = [
        label if split == "test" else f"class {rng.integers(5)}"
        for label, split in zip(shop.column("label"), shop.column("split"), strict=True)
    ]
    made = train(recipe, shop, tmp_path / "a")
    other = train(recipe, with_labels(shop, garbled), tmp_path / "b")
    assert other.encoder.fingerprint == made.encoder.fingerprint
    assert other.metrics["test"] == made.metrics["test"]
    strong = recipe.override({"weak_labels.how": "off"})
    first, second = train(strong, shop, tmp_path / "c"), train(strong, with_labels(shop, garbled), tmp_path / "d")
    assert first.encoder.fingerprint != second.encoder.fingerprint  # or the labels would never matter here


def test_a_catalog_without_labels_is_trained_and_judged(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    run = train(recipe, without(shop, "label"), tmp_path / "run")
    assert run.metrics["loss"] == "adaptive_triplet"
    assert run.metrics["weak_labels"]["classes"] > 3
    assert run.metrics["weak_labels"]["items"] == sum(split == "train" for split in shop.column("split"))
    assert min(run.metrics["classes"].values()) >= 1
    assert 0 < run.metrics["test"]["all"]["trained"]["recall_at_1"] <= 1
    assert run.encoder.embed_words(["a red dress"]).shape == (1, 16)


def test_without_split_and_labels_weak_classes_are_held_out(recipe: Recipe, shop: Catalog) -> None:
    items = labeled_items(recipe, without(shop, "label", "split"))
    assert items.weak is not None
    assert set(items.labels[items.test]).isdisjoint(items.labels[~items.test])
    assert len(items.labels) == (items.weak.labels >= 0).sum()
    assert 0 < items.test.sum() < len(items.test)


def test_without_split_the_labels_hold_out_and_judge(recipe: Recipe, shop: Catalog) -> None:
    items = labeled_items(recipe, without(shop, "split"))
    true = dict(zip(shop.column("item_id"), shop.column("label"), strict=True))
    ids, names = items.catalog.column("item_id"), items.catalog.column("label")
    assert all(names[row] == true[ids[row]] for row in np.flatnonzero(items.test))
    assert all(names[row].startswith("weak ") for row in np.flatnonzero(~items.test))
    tested, taught = ({true[ids[row]] for row in np.flatnonzero(part)} for part in (items.test, ~items.test))
    assert tested.isdisjoint(taught)
    assert tested


def test_same_text_needs_no_text_encoder(recipe: Recipe, shop: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.recipes.weak_labels.make_text_encoder", None)
    texts = [f"item {row // 3}" for row in range(len(shop))]
    place = shop.table.column_names.index("text")
    numbered = Catalog(shop.table.set_column(place, "text", [texts]))
    _, made = with_weak_labels(recipe.override({"weak_labels.how": "same_text"}), numbered)
    assert set(made.sizes) == {3}


def test_names_tell_class_and_text() -> None:
    made = weak_labels(["b a", "a b", "a b", None, "long " * 30, "long " * 30])
    assert label_names(made)[:4] == ["weak 0: a b"] * 3 + [None]
    assert len(str(label_names(made)[4])) <= 60


def test_what_cannot_be_learned_from(recipe: Recipe, shop: Catalog) -> None:
    with pytest.raises(CatalogError, match=r"shop has no text column to make weak labels from; .* \(--text\)"):
        labeled_items(recipe, without(shop, "text"))
    tests = Catalog(shop.where(split="test").table, "shop")
    with pytest.raises(CatalogError, match="every item has split 'test'; there is nothing to train on"):
        labeled_items(recipe, tests)
    alone = [f"word{row}" for row in range(len(shop))]
    place = shop.table.column_names.index("text")
    with pytest.raises(SideError, match=r"no 2 descriptions are alike \(weak_labels.how = 'same_text'\)"):
        labeled_items(
            recipe.override({"weak_labels.how": "same_text"}),
            Catalog(shop.table.set_column(place, "text", [alone])),
        )
    with pytest.raises(CatalogError, match=r"or learn from the descriptions: weak_labels.how = 'near'"):
        labeled_items(recipe.override({"weak_labels.how": "off"}), without(shop, "label"))
    named = recipe.override({"text.column": "label"})
    with pytest.raises(CatalogError, match="has no label column to make weak labels from"):
        labeled_items(named, shop)
