"""`lookalike reproduce`: recipes of the literature over seeds, with what was published beside."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.compare import parse_seeds
from lookalike.cli.train import parse_settings
from lookalike.errors import RecipeError

if TYPE_CHECKING:
    from lookalike.recipes import Recipe
    from lookalike.recipes.compare import Comparison
    from lookalike.recipes.reproduce import Outcome

FIGURES = "reproduce.json"


def reproduce(
    table: Annotated[str, typer.Argument(help="A table, named like its data set; see --list.")] = "",
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with the archives of the data set, or what was in them.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Directory of the runs and reproduce.json.")] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of the runs, with commas.")] = "0,1,2",
    only: Annotated[str, typer.Option("--only", help="Only recipes with this in their name, like proxy_anchor.")] = "",
    setting: Annotated[list[str] | None, typer.Option("--set", help="Override a setting in every recipe.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at a time, each in its own process.")] = 1,
    show: Annotated[bool, typer.Option("--list", help="Show the tables, and do nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be run, with the least hours.")] = False,
) -> None:
    """Run recipes of the literature on their data set, and show our figures beside the published ones.

    Call it again after a stop: finished runs are not repeated.

    \b
    lookalike reproduce --list
    lookalike reproduce cub200 --dry-run
    lookalike reproduce cub200 --data CUB --only proxy_anchor_resnet50 --to reproductions/cub200
    """
    if show:
        _print_tables()
        return
    from lookalike.recipes.reproduce import Table, outcomes, to_dict

    chosen = Table.load(table).only(only)
    settings, drawn = parse_settings(setting or []), parse_seeds(seeds)
    recipes = {name: recipe.override(settings) for name, recipe in chosen.recipes.items()}
    if dry_run:
        _print_plan(chosen.data, recipes, len(drawn))
        return
    if data is None or to is None:
        raise RecipeError(f"give the folder of the data set and a directory: --data FOLDER --to {table}")
    import json

    from lookalike.cli.options import read_catalog
    from lookalike.files import write_text
    from lookalike.recipes.compare import compare

    catalog = read_catalog(Path(f"{chosen.data}:{data}"))
    comparison = compare(recipes, {chosen.data: catalog}, drawn, to, jobs)
    found = outcomes(chosen, comparison)
    write_text(to / FIGURES, json.dumps({"data": chosen.data, "seeds": drawn, "rows": to_dict(found)}, indent=2))
    _print_outcomes(found, comparison)
    print(f"everything is in {to}")
    if comparison.failed:
        raise typer.Exit(1)


def _print_tables() -> None:
    from lookalike.catalog.benchmarks import BENCHMARKS
    from lookalike.recipes.reproduce import Table, table_names

    for name in table_names():
        table = Table.load(name)
        print(f"{name}: {len(table.rows)} recipes on {BENCHMARKS[table.data].title}")
        for row in table.rows:
            print(f"  {row.recipe}  ({row.method}; {_published(row.published.get(1), row.of)})")


def _published(figure: float | None, of: str) -> str:
    return "no published figure" if figure is None else f"published Recall@1 {figure:.1f}" + (f" of {of}" if of else "")


def _print_plan(data: str, recipes: "dict[str, Recipe]", num_seeds: int) -> None:
    from lookalike.progress import track
    from lookalike.recipes.reproduce import least_hours, training_pictures

    pictures, total = training_pictures(data), 0.0
    for name, recipe in track(recipes.items(), "counting operations", total=len(recipes)):
        plan = f"{name}: {num_seeds} x {recipe.training.epochs} epochs"
        if pictures is None:
            print(f"{plan}; how many pictures {data} has is not fixed")
            continue
        hours = least_hours(recipe, pictures)
        total += num_seeds * hours
        print(f"{plan} of {pictures:,} pictures, each run {math.ceil(60 * hours)} minutes at least")
    if pictures is not None:
        print(
            f"\n{total:.1f} hours at least: an estimate of the training alone, for one H200 in bfloat16 at 40 % of the "
            "rate of its matrix products; not measured"
        )


def _print_outcomes(found: "list[Outcome]", comparison: "Comparison") -> None:
    """A Markdown table, on stdout."""
    from lookalike.cli.tables import print_markdown
    from lookalike.recipes.reproduce import CLOSE

    for run, reason in comparison.failed.items():
        print(f"not done: {run}: {reason}")
    lines = [["recipe", "K", "ours", "published", "Δ", "frozen backbone, @1", "published", ""]]
    for one in found:
        estimate, difference = one.ours.over_seeds, one.difference
        half = "" if math.isnan(estimate.high) else f" ± {100 * estimate.half_width:.1f}"
        frozen = "" if one.frozen is None else f"{one.frozen:.1f}"
        given = "" if one.row.frozen is None else f"{one.row.frozen:.1f}"
        ours, published = f"{100 * estimate.mean:.1f}{half}", "" if one.published is None else f"{one.published:.1f}"
        delta = "" if difference is None else f"{difference:+.1f}"
        lines.append([one.row.name, str(one.k), ours, published, delta, frozen, given, one.verdict])
    print_markdown(lines)
    seeds = comparison.seeds
    if len(seeds) == 1:
        print(f"\nRecall@K in percent; a single run (seed {seeds[0]}) is no reproduction: give several --seeds")
    else:
        print(
            f"\nRecall@K in percent, mean ± 95 % interval over the seeds {', '.join(map(str, seeds))} (Student's t); "
            f"reproduced: the mean reaches the published figure, or an interval of at most ± {CLOSE:.0f} holds it"
        )
