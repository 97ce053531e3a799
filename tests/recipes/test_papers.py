"""The recipes of the literature: each is marked, stands in its table, and runs."""

import re
from pathlib import Path

import pytest

from lookalike import Catalog, Recipe, train
from lookalike.catalog.benchmarks import BENCHMARKS
from lookalike.catalog.boutique import draw_boutique
from lookalike.encoders.backbones import check_name
from lookalike.recipes.recipe import SHIPPED, shipped_names
from lookalike.recipes.reproduce import Table, table_names

PAPERS = [name for name in shipped_names() if name.startswith("papers/")]
ROWS = {row.recipe: (table, row) for table in table_names() for row in Table.load(table).rows}
MARK = re.compile(r"\[(paper|reported|related|ours)\]")
#: Keys whose values need no source: what all have in common, or what follows from another line.
UNMARKED = {
    "tune_backbone", "keep_similarities", "crop_share", "image_size", "images_per_class", "k", "weights", "name",
    "head_norm",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> Catalog:
    """Eight products in two domains, described, half of them for testing."""
    return Catalog(draw_boutique(8, views=4, size_px=48), "shop")


def test_every_paper_recipe_stands_in_the_table_of_its_data_set() -> None:
    assert set(ROWS) == set(PAPERS)
    assert len(PAPERS) == 44
    for recipe, (table, _) in ROWS.items():
        assert recipe.startswith(f"papers/{Table.load(table).data}_")
    assert set(table_names()) == set(BENCHMARKS) - {"inaturalist2018"}


def test_every_backbone_is_published() -> None:
    for name in PAPERS:
        check_name(Recipe.load(name).encoder.backbone)
    assert all(Recipe.load(name).encoder.pretrained for name in PAPERS)


def test_published_figures_are_recalls_at_the_ranks_of_the_data_set() -> None:
    for recipe, (table, row) in ROWS.items():
        ranks = Recipe.load(recipe).evaluation.k
        assert tuple(ranks) == BENCHMARKS[table].k or table == "studio_street"
        assert set(row.published) <= set(ranks), recipe
        figures = [row.published[k] for k in sorted(row.published)]
        assert figures == sorted(figures) and all(30 < figure < 100 for figure in figures)
        assert bool(row.published) == bool(row.source), recipe
        assert not row.of or row.published


@pytest.mark.parametrize("name", PAPERS)
def test_every_setting_says_whose_it_is(name: str) -> None:
    text = (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")
    assert f"lookalike train {name} --catalog {ROWS[name][0]}:FOLDER" in text.splitlines()[1]
    lines = [line for line in text.splitlines() if " = " in line and not line.startswith("#")]
    unmarked = [line for line in lines if line.split(" = ")[0] not in UNMARKED and not MARK.search(line)]
    assert unmarked == []


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_recipe_runs(name: str, shop: Catalog, tmp_path: Path) -> None:
    """Two steps of a tiny network of the same kind."""
    recipe = Recipe.load(name)
    is_transformer = recipe.encoder.pooling == "token"
    tiny = recipe.override(
        {
            "encoder.backbone": "test_vit" if is_transformer else "test_resnet",
            "encoder.pretrained": False,
            "encoder.weights": "",
            "encoder.image_size": 32,
            "encoder.dim": 8,
            "text.dim": 8,
            "text.epochs": 1,
            "training.epochs": 1,
            "training.warmup_epochs": 0,
            "training.classes_per_batch": 2,
            "training.images_per_class": 4 if recipe.training.images_per_class > 1 else 1,
            "training.pack_pictures": False,
            "training.validation_share": 0,
        }
    )
    run = train(tiny, shop, tmp_path / "run", judge_test=False)
    assert run.metrics["loss"] == recipe.loss.name
    assert run.metrics["best"]["epoch"] == 1 and run.metrics["best"]["steps"] >= 2
    assert all(value == value for value in run.metrics["best"]["terms"].values())
    assert run.encoder.preprocessing.crop_share == 0.875
