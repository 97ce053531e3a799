"""Recipes beside each other: what is run, what is not run again, and what is said of them."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lookalike import Catalog, Recipe
from lookalike.catalog.boutique import draw_boutique
from lookalike.errors import RecipeError, TrainingError
from lookalike.recipes.compare import Comparison, compare, variants
from lookalike.recipes.identity import catalog_digest
from lookalike.recipes.series import claimed
from tests.recipes.test_train import TINY

RECIPE = Recipe.load("default").override(TINY | {"training.epochs": 1})
SLOWER = RECIPE.override({"training.head_learning_rate": 0.05, "training.epochs": 3})
ROWS = {"first": RECIPE, "second": SLOWER}


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(24, views=6, size_px=48), "shop")


@pytest.fixture(scope="module")
def compared(shop: Catalog, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    folder = tmp_path_factory.mktemp("comparison")
    return compare(ROWS, {"shop": shop}, [0, 3], folder), folder


def stored(folder: Path) -> dict[str, dict[str, object]]:
    """metrics.json of every run, by the name of its directory without the digest."""
    return {
        file.parent.name[:-9]: json.loads(file.read_text()) for file in sorted((folder / "runs").glob("*/metrics.json"))
    }


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(import_module("lookalike.recipes.series"), "train", trained)


def test_the_table_holds_the_figures_of_the_runs(compared: tuple[Comparison, Path]) -> None:
    comparison, folder = compared
    runs = stored(folder)
    assert set(runs) == {f"{row}-shop-seed{seed}" for row in ROWS for seed in (0, 3)}
    for metric in ("recall_at_1", "map_at_r"):
        rows = comparison.figures["shop"]["all"][metric]
        assert list(rows) == ["frozen backbone", "first", "second"]
        for row in ROWS:
            expected = {seed: runs[f"{row}-shop-seed{seed}"]["test"]["all"]["trained"][metric] for seed in (0, 3)}  # type: ignore[index, call-overload]
            assert rows[row].values == expected
            assert rows[row].over_seeds.mean == pytest.approx(np.mean(list(expected.values())))
        assert rows["frozen backbone"].values[3] == runs["first-shop-seed3"]["test"]["all"]["frozen"][metric]  # type: ignore[index, call-overload]
        assert rows["first"].difference is None and rows["second"].difference is not None
    assert "frozen backbone" in (folder / "report.html").read_text(encoding="utf-8")
    assert json.loads((folder / "compare.json").read_text()) == json.loads(json.dumps(comparison.to_dict()))


def test_the_rows_differ_in_the_recipe_and_the_seed(compared: tuple[Comparison, Path]) -> None:
    _, folder = compared
    used = {file.parent.name[:-9]: Recipe.load(file) for file in (folder / "runs").glob("*/recipe.toml")}
    assert used["second-shop-seed3"] == SLOWER.override({"training.seed": 3})
    assert used["first-shop-seed0"] == RECIPE


def test_finished_runs_are_not_repeated(
    compared: tuple[Comparison, Path], shop: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, folder = compared
    forbid_training(monkeypatch)
    again = compare(ROWS, {"shop": Catalog(shop.table, "from another path")}, [0, 3], folder)
    assert again.to_dict() == comparison.to_dict()


def test_only_what_is_new_is_run(compared: tuple[Comparison, Path], shop: Catalog, tmp_path: Path) -> None:
    """Another seed, another setting or another catalog is another run; one broken off is begun again."""
    (tmp_path / "runs").mkdir()
    for run in (compared[1] / "runs").iterdir():
        (tmp_path / "runs" / run.name).symlink_to(run) if "seed0" in run.name else None
    broken_off = next(run for run in (compared[1] / "runs").glob("first-shop-seed3*"))
    (tmp_path / "runs" / broken_off.name / "encoder").mkdir(parents=True)
    compare({"first": RECIPE}, {"shop": shop}, [0, 3], tmp_path)
    assert not (tmp_path / "runs" / broken_off.name).is_symlink()
    assert json.loads((tmp_path / "runs" / broken_off.name / "metrics.json").read_text())["seed"] == 3
    before = len(list((tmp_path / "runs").iterdir()))
    compare({"first": RECIPE.override({"training.weight_decay": 0.1})}, {"shop": shop}, [0], tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == before + 1
    compare({"first": RECIPE}, {"shop": shop.take(range(140))}, [0], tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == before + 2


def test_several_processes_give_the_same(compared: tuple[Comparison, Path], shop: Catalog, tmp_path: Path) -> None:
    comparison, _ = compared
    parallel = compare(ROWS, {"shop": shop}, [0, 3], tmp_path, jobs=2)
    for metric in ("recall_at_1", "map_at_r"):
        for row, expected in comparison.figures["shop"]["all"][metric].items():
            assert parallel.figures["shop"]["all"][metric][row].values == expected.values
    assert (tmp_path / "runs" / "log.txt").exists()


def test_a_run_that_cannot_be_done_does_not_stop_the_others(shop: Catalog, tmp_path: Path) -> None:
    diverges = RECIPE.override({"loss.scale": 1e39})
    found = compare({"good": RECIPE, "bad": diverges}, {"shop": shop}, [0], tmp_path)
    assert list(found.failed) == ["bad on shop, seed 0"]
    assert "not finite" in found.failed["bad on shop, seed 0"]
    assert list(found.figures["shop"]["all"]["map_at_r"]) == ["frozen backbone", "good"]
    with pytest.raises(TrainingError, match=r"not one of 1 runs could be done: .*not finite"):
        compare({"bad": diverges}, {"shop": shop}, [0], tmp_path)


def test_two_catalogs_are_compared_apart(compared: tuple[Comparison, Path], shop: Catalog, tmp_path: Path) -> None:
    other = Catalog(draw_boutique(20, views=3, size_px=48, seed=1), "market")
    found = compare({"first": RECIPE}, {"shop": shop, "market": other}, [0], tmp_path)
    assert list(found.figures) == ["shop", "market"]
    assert found.figures["shop"]["all"]["recall_at_1"]["first"].values == {
        0: compared[0].figures["shop"]["all"]["recall_at_1"]["first"].values[0]
    }
    assert set(found.seconds["market"]) == {"first"}


def test_what_begins_alike_has_one_frozen_row(shop: Catalog, tmp_path: Path) -> None:
    pooled = RECIPE.override({"encoder.pooling": "max"})
    found = compare(
        {"avg": RECIPE, "wide": RECIPE.override({"encoder.dim": 32}), "max": pooled}, {"shop": shop}, [0], tmp_path
    )
    assert list(found.figures["shop"]["all"]["map_at_r"]) == [
        "frozen backbone of avg", "frozen backbone of max", "avg", "wide", "max",
    ]  # fmt: skip


def test_variants_are_named_after_what_varies() -> None:
    found = variants({"default": RECIPE}, {"loss.scale": [10, 20], "training.epochs": [2], "loss.margin": [0, 0.1]})
    assert list(found) == [f"loss.scale={scale}, loss.margin={margin}" for scale in (10, 20) for margin in (0, 0.1)]
    assert found["loss.scale=20, loss.margin=0"].loss.arguments == {"scale": 20, "margin": 0}
    assert all(recipe.training.epochs == 2 for recipe in found.values())
    assert list(variants({"a": RECIPE, "b": SLOWER}, {"loss.scale": [10, 20]})) == [
        "a, loss.scale=10", "a, loss.scale=20", "b, loss.scale=10", "b, loss.scale=20",
    ]  # fmt: skip
    assert list(variants(ROWS, {"training.epochs": [2]})) == ["first", "second"]
    with pytest.raises(RecipeError, match=r"two of the recipes to compare are 'loss\.scale=10'"):
        variants({"a": RECIPE}, {"loss.scale": [10, 10]})
    with pytest.raises(RecipeError, match="Did you mean 'epochs'"):
        variants({"a": RECIPE}, {"training.epoch": [1, 2]})


def test_nothing_to_compare_is_refused(shop: Catalog, tmp_path: Path) -> None:
    for recipes, seeds, jobs in (({}, [0], 1), (ROWS, [], 1), (ROWS, [1, 1], 1), (ROWS, [0], 0)):
        with pytest.raises(
            RecipeError, match="a comparison needs recipes, catalogs, different seeds and a job or more"
        ):
            compare(recipes, {"shop": shop}, seeds, tmp_path, jobs)  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())


def test_two_processes_do_not_work_in_one_directory(shop: Catalog, tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(TrainingError, match="another process is at work in"):
        compare({"first": RECIPE}, {"shop": shop}, [0], tmp_path)
    with claimed(tmp_path):  # free again
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be made"):
        compare({"first": RECIPE}, {"shop": shop}, [0], tmp_path / "file")


def test_the_digest_of_a_catalog_sees_every_change(shop: Catalog, tmp_path: Path) -> None:
    assert catalog_digest(shop) == catalog_digest(
        Catalog(pa.concat_tables([shop.table.slice(0, 5), shop.table.slice(5)]))
    )
    changed = shop.table.set_column(shop.table.column_names.index("text"), "text", [["x", *shop.column("text")[1:]]])
    assert (
        len(
            {
                catalog_digest(c)
                for c in (shop, Catalog(changed), shop.take(range(1, 144)), shop.take(range(143, -1, -1)))
            }
        )
        == 4
    )

    picture = tmp_path / "a.png"
    files = Catalog(pa.table({"item_id": ["a", "b"], "image": [str(picture), "no file"]}))
    before = catalog_digest(files)
    picture.write_bytes(b"1")
    seen = catalog_digest(files)
    picture.write_bytes(b"23")
    assert len({before, seen, catalog_digest(files)}) == 3
