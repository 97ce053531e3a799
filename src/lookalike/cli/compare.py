"""`lookalike compare`: recipes x seeds x catalogs in one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli import options
from lookalike.cli.train import Weights, parse_value
from lookalike.errors import CatalogError, RecipeError

if TYPE_CHECKING:
    from lookalike.catalog import Catalog
    from lookalike.recipes import Recipe

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting in every recipe; several values with commas are a row each."),
]


def compare(
    catalogs: Annotated[
        list[Path], typer.Argument(help="Catalogs, whose columns have the same names.", show_default=False)
    ],
    to: Annotated[
        Path, typer.Option("--to", help="Directory of the runs, compare.json and report.html.", show_default=False)
    ],
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", help="A TOML file or a shipped name; the first is the baseline.")
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of the runs, with commas.")] = "0,1,2",
    setting: Settings = None,
    weights: Weights = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at a time, each in its own process.")] = 1,
    item_id: options.ItemId = None,
    image: options.Image = None,
    label: options.Label = None,
    text: options.Text = None,
    domain: options.Domain = None,
    split: options.Split = None,
) -> None:
    """Train recipes with several seeds and show them beside each other, with intervals over the seeds.

    Call it again after a stop: finished runs are not repeated.

    \b
    lookalike compare products.parquet --recipe default --recipe mine.toml --to comparison
    lookalike compare shop.parquet market.parquet --set loss.scale=10,20,40 --seeds 0,1,2,3,4 --jobs 4 --to scales
    lookalike compare products.parquet --set loss.name=normalized_softmax,proxy_anchor --to losses
    """
    settings = parse_variants(setting or []) | ({"encoder.weights": [weights]} if weights is not None else {})
    recipes = load_variants(recipe or ["default"], settings)
    drawn = parse_seeds(seeds)
    columns = {"item_id": item_id, "image": image, "label": label, "text": text, "domain": domain, "split": split}
    data = _read_catalogs(catalogs, columns)
    from lookalike.cli.tables import print_comparison
    from lookalike.recipes.compare import compare as run_comparison

    comparison = run_comparison(recipes, data, drawn, to, jobs)
    print_comparison(comparison)
    print(f"everything is in {to}")
    if comparison.failed:
        raise typer.Exit(1)


def parse_variants(given: list[str]) -> dict[str, list[Any]]:
    """`["loss.scale=10,20"]` to `{"loss.scale": [10, 20]}`; a TOML value with commas, like [1, 2], is one value.

    Raises:
        RecipeError: one is not KEY=VALUE.
    """
    settings: dict[str, list[Any]] = {}
    for one in given:
        key, equals, written = one.partition("=")
        if not equals:
            raise RecipeError(f"--set takes PART.KEY=VALUE or PART.KEY=VALUE,VALUE like loss.scale=10,20, not {one!r}")
        whole = parse_value(written)
        is_text = isinstance(whole, str) and '"' not in written and "'" not in written
        settings[key.strip()] = [parse_value(part) for part in written.split(",")] if is_text else [whole]
    return settings


def load_variants(names: list[str], settings: dict[str, list[Any]]) -> "dict[str, Recipe]":
    """Recipes by the name of their file, with every combination of the settings."""
    from lookalike.recipes import Recipe
    from lookalike.recipes.compare import variants

    recipes = {Path(name).stem: Recipe.load(name) for name in names}
    if len(recipes) < len(names):
        raise RecipeError(
            f"recipes are told apart by the names of their files, and two of {', '.join(names)} are alike"
        )
    return variants(recipes, settings)


def parse_seeds(given: str) -> list[int]:
    """`"0,1,2"` to `[0, 1, 2]`."""
    try:
        return [int(seed) for seed in given.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--seeds takes whole numbers with commas, like 0,1,2, not {given!r}") from None


def _read_catalogs(paths: list[Path], columns: dict[str, str | None]) -> "dict[str, Catalog]":
    found = {path.stem: options.read_catalog(path, **columns) for path in paths}
    if len(found) < len(paths):
        names = ", ".join(map(str, paths))
        raise CatalogError(f"catalogs are told apart by the names of their files, and two of {names} are alike")
    return found
