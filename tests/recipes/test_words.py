"""Search by words after a run: fitted without the test items, chosen without them, judged beside chance."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from lookalike import Catalog, Recipe, Run, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.recipes import words as module
from lookalike.recipes.build import build_encoder
from lookalike.recipes.data import RunData, labeled_items, prepare
from lookalike.recipes.words import fit_words

SETTINGS = {
    "encoder.backbone": "test_resnet",
    "encoder.pretrained": False,
    "encoder.image_size": 32,
    "encoder.dim": 16,
    "text.encoder": "tfidf",
    "training.epochs": 1,
}


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(24, views=6, size_px=48), "shop")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load("default").override(SETTINGS)


@pytest.mark.parametrize(("hits", "gallery", "k"), [(1, 5, 1), (2, 6, 3), (3, 5, 3), (5, 5, 2), (2, 4, 9)])
def test_chance_counts_all_draws(hits: int, gallery: int, k: int) -> None:
    draws = list(combinations(range(gallery), min(k, gallery)))
    found = sum(any(item < hits for item in draw) for draw in draws) / len(draws)
    assert module._chance(np.array([hits]), gallery, k) == pytest.approx(found)


def test_chance_is_the_mean_over_queries() -> None:
    assert module._chance(np.array([1, 3]), 4, 1) == pytest.approx(0.5)


@pytest.mark.parametrize("tune", [False, True])
def test_a_run_learns_words(recipe: Recipe, shop: Catalog, tmp_path: Path, tune: bool) -> None:
    run = train(recipe.override({"training.tune_backbone": tune}), shop, tmp_path / "run")
    figures = run.metrics["words"]
    tested = shop.where(split="test")
    pairs = set(zip(tested.column("text"), tested.column("label"), strict=True))
    assert figures["num_queries"] == len(pairs)
    assert figures["num_gallery"] == len(tested)
    assert figures["chance"]["recall_at_1"] == pytest.approx(6 / len(tested))
    assert figures["ridge"] in module.RIDGES
    opened = Run.load(tmp_path / "run")
    found = opened.encoder.embed_words(["red dress"])
    assert np.array_equal(found, run.encoder.embed_words(["red dress"]))
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)


def prepared(recipe: Recipe, catalog: Catalog) -> tuple[RunData, object]:
    encoder = build_encoder(recipe.encoder)
    return prepare(recipe, labeled_items(recipe, catalog), encoder), encoder


def test_the_test_items_teach_no_word(recipe: Recipe, shop: Catalog) -> None:
    texts = [
        "secret" if split == "test" else text
        for text, split in zip(shop.column("text"), shop.column("split"), strict=True)
    ]
    place = shop.table.column_names.index("text")
    data, encoder = prepared(recipe, Catalog(shop.table.set_column(place, "text", [texts])))
    assert fit_words(recipe, data, encoder) is None  # its one text for all test items holds no known word
    assert encoder.words is not None
    assert encoder.words.known(["secret", "dress"]).tolist() == [False, True]


def test_what_is_asked_is_bounded(recipe: Recipe, shop: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_QUERIES", 5)
    data, encoder = prepared(recipe, shop)
    figures = fit_words(recipe, data, encoder)
    assert figures is not None
    assert figures["num_queries"] == 5


def test_descriptions_that_teach_nothing_stop_no_run(
    recipe: Recipe, shop: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shop.table.column_names.index("text")
    same = Catalog(shop.table.set_column(place, "text", [["one text for all"] * len(shop)]))
    run = train(recipe, same, tmp_path / "run")
    assert "words" not in run.metrics
    assert run.encoder.words is None
    assert "no search by words: search by words needs descriptions that differ" in capsys.readouterr().err
