"""A search for settings: what it looks at, what it never looks at, and how it goes on."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from lookalike import Catalog, Recipe, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.errors import CatalogError, RecipeError, TrainingError
from lookalike.recipes.data import RunData
from lookalike.recipes.tune import Choice, Range, Space, tune
from tests.recipes.test_train import TINY

RECIPE = Recipe.load("default").override(TINY | {"training.epochs": 1})
SPACE: Space = {
    "training.head_learning_rate": Range(1e-4, 1e-1, log=True),
    "training.classes_per_batch": Range(4, 8),
    "loss.margin": Range(0, 1),
    "training.flip": Choice((True, False)),
}


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(24, views=6, size_px=48), "shop")


def trials(folder: Path) -> list[Recipe]:
    return [Recipe.load(file) for file in sorted((folder / "trials").glob("*/recipe.toml"))]


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_a_search_ends_with_the_best_recipe_judged_once(shop: Catalog, tmp_path: Path) -> None:
    found = tune(RECIPE, shop, SPACE, 3, tmp_path)
    scores = [metrics(run)["best"]["validation"] for run in sorted((tmp_path / "trials").iterdir())]
    assert len(scores) == 3 and found.validation == max(scores) > 0
    best = trials(tmp_path)[scores.index(max(scores))]
    assert (
        found.recipe == best == Recipe.load(tmp_path / "tuned.toml") == Recipe.load(found.run.directory / "recipe.toml")
    )
    assert found.settings == {
        "training.head_learning_rate": best.training.head_learning_rate,
        "training.classes_per_batch": best.training.classes_per_batch,
        "loss.margin": best.loss.arguments["margin"],
        "training.flip": best.training.flip,
    }
    said = metrics(tmp_path)
    assert (said["test_touched"], len(said["test_touched_at"]), said["trials"]) == (1, 1, 3)
    assert said["test"] == found.run.metrics["test"]
    # The run judged is the trial again: the same seed, the same weights.
    assert found.run.metrics["best"]["validation"] == max(scores)


def test_what_is_drawn_lies_in_its_range(shop: Catalog, tmp_path: Path) -> None:
    tune(RECIPE, shop, SPACE, 3, tmp_path)
    drawn = trials(tmp_path)
    assert len({recipe.training.head_learning_rate for recipe in drawn}) == 3
    for recipe in drawn:
        assert 1e-4 <= recipe.training.head_learning_rate <= 1e-1
        assert recipe.training.classes_per_batch in range(4, 9)  # a whole number
        assert 0 < recipe.loss.arguments["margin"] < 1  # any number, though both ends are whole
        assert recipe.training.seed == RECIPE.training.seed
        assert recipe.encoder == RECIPE.encoder


def test_no_trial_looks_at_a_test_class(shop: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is judged while the search is on: none of its rows is of the test."""
    touched = []

    def protocols(self: RunData) -> list[object]:
        touched.append(len(list((tmp_path / "trials").glob("*/metrics.json"))))
        return []

    monkeypatch.setattr(RunData, "test_protocols", protocols)
    tune(RECIPE, shop, {"loss.margin": Range(0.0, 0.5)}, 2, tmp_path)
    assert touched == [2]  # asked for once, after both trials
    for run in (tmp_path / "trials").iterdir():
        assert metrics(run)["test"] == {} and "words" not in metrics(run)
        assert metrics(run)["verdict"] == "The test classes were left alone."
        assert not (run / "report.html").exists()


def test_a_run_without_the_test_is_the_same_run(shop: Catalog, tmp_path: Path) -> None:
    alone = train(RECIPE, shop, tmp_path / "alone", judge_test=False)
    judged = train(RECIPE, shop, tmp_path / "judged")
    assert alone.encoder.fingerprint == judged.encoder.fingerprint
    assert alone.metrics["best"]["validation"] == judged.metrics["best"]["validation"]
    assert alone.metrics["test"] == {} and judged.metrics["test"] != {}


def test_the_test_is_not_touched_twice(shop: Catalog, tmp_path: Path) -> None:
    space: Space = {"loss.margin": Range(0.0, 0.5)}
    tune(RECIPE, shop, space, 1, tmp_path)
    with pytest.raises(TrainingError, match=r"were touched already, on 20.*--again"):
        tune(RECIPE, shop, space, 3, tmp_path)
    assert len(trials(tmp_path)) == 1  # refused before the search
    found = tune(RECIPE, shop, space, 2, tmp_path, again=True)
    assert len(trials(tmp_path)) == 2 and len(found.touches) == 2
    assert metrics(tmp_path)["test_touched"] == 2


def test_a_stopped_search_goes_on(shop: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its third trial: the other two are not done again."""
    module = import_module("lookalike.recipes.tune")
    done: list[float] = []

    def stopped(recipe: Recipe, catalog: Catalog, directory: Path, *, judge_test: bool = True) -> object:
        if len(done) == 2:
            directory.mkdir(parents=True)
            (directory / "history.jsonl").write_text("")
            raise KeyboardInterrupt
        done.append(float(recipe.loss.arguments["margin"]))
        return train(recipe, catalog, directory, judge_test=judge_test)

    monkeypatch.setattr(module, "train", stopped)
    space: Space = {"loss.margin": Range(0.0, 0.5)}
    with pytest.raises(KeyboardInterrupt):
        tune(RECIPE, shop, space, 3, tmp_path)
    monkeypatch.setattr(module, "train", train)
    found = tune(RECIPE, shop, space, 3, tmp_path)
    drawn = [recipe.loss.arguments["margin"] for recipe in trials(tmp_path)]
    assert drawn[:2] == done and len(set(drawn)) == 3  # not the first numbers of the seed again
    assert found.trials == 3 and len(found.touches) == 1


def test_broken_off_before_there_was_a_test_figure(
    shop: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(recipe: Recipe, catalog: Catalog, directory: Path, *, judge_test: bool = True) -> object:
        if judge_test:
            directory.mkdir(parents=True)
            (directory / "history.jsonl").write_text("")
            raise KeyboardInterrupt
        return train(recipe, catalog, directory, judge_test=False)

    with monkeypatch.context() as patch:
        patch.setattr(import_module("lookalike.recipes.tune"), "train", stopped)
        with pytest.raises(KeyboardInterrupt):
            tune(RECIPE, shop, {"loss.margin": Range(0.0, 0.5)}, 1, tmp_path)
    found = tune(RECIPE, shop, {"loss.margin": Range(0.0, 0.5)}, 1, tmp_path)
    assert len(found.touches) == 1 and len(trials(tmp_path)) == 1


def test_settings_that_diverge_are_a_trial_without_a_score(shop: Catalog, tmp_path: Path) -> None:
    space: Space = {"loss.scale": Choice((1e39, 20.0))}
    found = tune(RECIPE, shop, space, 4, tmp_path)
    assert found.settings == {"loss.scale": 20.0}
    assert {recipe.loss.arguments["scale"] for recipe in trials(tmp_path)} == {1e39, 20.0}
    with pytest.raises(TrainingError, match=r"not one of 2 trials could be done: .*not finite"):
        tune(RECIPE, shop, {"loss.scale": Choice((1e39, 2e39))}, 2, tmp_path / "none")


def test_another_search_is_not_gone_on_with(shop: Catalog, tmp_path: Path) -> None:
    space: Space = {"loss.margin": Range(0.0, 0.5)}
    tune(RECIPE, shop, space, 1, tmp_path / "s")
    for recipe, catalog, other in (
        (RECIPE.override({"training.seed": 5}), shop, space),
        (RECIPE, shop.take(range(138)), space),
        (RECIPE, shop, {"loss.margin": Range(0.0, 0.4)}),
    ):
        with pytest.raises(TrainingError, match="not of this search"):
            tune(recipe, catalog, other, 2, tmp_path / "s", again=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("")
    with pytest.raises(TrainingError, match="is not empty, and not of this search"):
        tune(RECIPE, shop, space, 1, tmp_path / "mine")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "needs settings to vary"),
        ({"loss.margin": Range(0.5, 0.1)}, "loss.margin cannot vary from 0.5 to 0.1: give the lower end first"),
        ({"loss.margin": Range(0.0, 0.1, log=True)}, "cannot vary from 0.0 to 0.1 by logarithm"),
        ({"loss.margine": Range(0.0, 0.1)}, "Did you mean 'margin'"),
        ({"training.epochs": Range(0, 4)}, "training.epochs = 0"),
        ({"training.epochs": Range(1.5, 4)}, "training.epochs = 1.5"),
        ({"evaluation.k": Choice(([1], [2]))}, "only numbers, words, true and false"),
    ],
)
def test_what_cannot_be_searched_is_refused_first(shop: Catalog, tmp_path: Path, space: Space, said: str) -> None:
    with pytest.raises(RecipeError, match=said.replace("[", r"\[")):
        tune(RECIPE, shop, space, 1, tmp_path)
    assert not any(tmp_path.iterdir())


def test_without_validation_classes_there_is_nothing_to_choose_by(shop: Catalog, tmp_path: Path) -> None:
    space: Space = {"loss.margin": Range(0.0, 0.5)}
    with pytest.raises(RecipeError, match="validation_share = 0"):
        tune(RECIPE.override({"training.validation_share": 0.0}), shop, space, 1, tmp_path / "a")
    train_rows = [row for row, split in enumerate(shop.column("split")) if split == "train"]
    few = shop.take(train_rows[:18])  # three classes
    with pytest.raises(CatalogError, match="has no validation classes to choose by"):
        tune(RECIPE, Catalog(few.table), space, 1, tmp_path / "b")
