"""Recipes beside each other: recipes x seeds x catalogs, each run once, in one table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from lookalike.catalog import Catalog
from lookalike.errors import RecipeError, TrainingError
from lookalike.evaluation.seeds import Compared, compare_over_seeds
from lookalike.files import write_text
from lookalike.recipes.compare_report import report_comparison
from lookalike.recipes.identity import catalog_digest
from lookalike.recipes.recipe import Recipe
from lookalike.recipes.series import Planned, claimed, run_directory
from lookalike.recipes.workers import finish
from lookalike.training.run import REPORT

COMPARISON, RUNS = "compare.json", "runs"
FROZEN = "frozen backbone"
#: catalog -> protocol -> metric -> row -> its values over the seeds.
Figures = dict[str, dict[str, dict[str, dict[str, Compared]]]]


@dataclass(frozen=True)
class Comparison:
    """What came of comparing recipes.

    Attributes:
        recipes: by the name of the row; the first is the baseline.
        seeds: of the runs.
        figures: catalog -> protocol -> metric -> row; rows are the frozen backbones and the recipes.
        seconds: catalog -> row -> median time of a run.
        failed: what could not be done, with the reason.
    """

    recipes: dict[str, Recipe]
    seeds: list[int]
    figures: Figures
    seconds: dict[str, dict[str, float]]
    failed: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "recipes": {name: recipe.model_dump() for name, recipe in self.recipes.items()},
            "baseline": next(iter(self.recipes)),
            "seeds": self.seeds,
            "figures": {
                catalog: {
                    protocol: {
                        metric: {row: compared.to_dict() for row, compared in rows.items()}
                        for metric, rows in metrics.items()
                    }
                    for protocol, metrics in protocols.items()
                }
                for catalog, protocols in self.figures.items()
            },
            "seconds": self.seconds,
            "failed": self.failed,
        }


def variants(recipes: Mapping[str, Recipe], settings: Mapping[str, Sequence[Any]]) -> dict[str, Recipe]:
    """Each recipe with every combination of these values; a row is named after what differs from the others.

    Raises:
        RecipeError: a setting is unknown or out of range, or a value is given twice.
    """
    varied = [key for key, values in settings.items() if len(values) > 1]
    found: dict[str, Recipe] = {}
    for name, recipe in recipes.items():
        for values in product(*settings.values()):
            chosen = dict(zip(settings, values, strict=True))
            own = [name] if len(recipes) > 1 or not varied else []
            row = ", ".join([*own, *(f"{key}={chosen[key]}" for key in varied)])
            if row in found:
                raise RecipeError(f"two of the recipes to compare are {row!r}: give each once")
            found[row] = recipe.override(chosen)
    return found


def compare(
    recipes: Mapping[str, Recipe],
    catalogs: Mapping[str, Catalog],
    seeds: Sequence[int],
    directory: str | Path,
    jobs: int = 1,
) -> Comparison:
    """Train every recipe with every seed on every catalog, and compare them with the first recipe.

    A call that was stopped is gone on with by the same call: a finished run is not repeated as long as its recipe and
    its catalog are the same. Files that a recipe names (weights, a text model) are taken to be unchanged.

    Args:
        recipes: by the name of their row; the first is the baseline.
        catalogs: by name.
        seeds: of everything drawn at random, one run each; without two there are no intervals.
        directory: for the runs, compare.json and report.html.
        jobs: runs at a time. More than one need a script with an `if __name__ == "__main__"`.

    Raises:
        RecipeError: no recipe, no seed, or a seed twice.
        TrainingError: not one run could be done, or another process is at work in the directory.
    """
    if not (recipes and catalogs and seeds) or len(set(seeds)) < len(seeds) or jobs < 1:
        raise RecipeError(
            f"a comparison needs recipes, catalogs, different seeds and a job or more, not {len(recipes)} recipes, "
            f"{len(catalogs)} catalogs, seeds {list(seeds)} and {jobs} jobs"
        )
    directory = Path(directory)
    digests = {name: catalog_digest(catalog) for name, catalog in catalogs.items()}
    planned: dict[tuple[str, str, int], Planned] = {}
    for seed, name, row in product(seeds, catalogs, recipes):
        recipe = recipes[row].override({"training.seed": seed})
        folder = run_directory(directory / RUNS, f"{row}-{name}-seed{seed}", recipe, digests[name])
        planned[row, name, seed] = Planned(folder, recipe, name)
    with claimed(directory):
        failed = finish(list(planned.values()), catalogs, jobs, directory / RUNS)
        if len(failed) == len(planned):
            raise TrainingError(f"not one of {len(planned)} runs could be done: {next(iter(failed.values()))}")
        comparison = _gathered(dict(recipes), list(seeds), planned, failed)
        content = comparison.to_dict()
        write_text(directory / COMPARISON, json.dumps(content, indent=2))
        report_comparison(directory / REPORT, content)
    return comparison


def _gathered(
    recipes: dict[str, Recipe],
    seeds: list[int],
    planned: Mapping[tuple[str, str, int], Planned],
    failed: dict[Path, str],
) -> Comparison:
    frozen = frozen_rows(recipes)
    order = {row: place for place, row in enumerate([*dict.fromkeys(frozen.values()), *recipes])}
    values: dict[str, dict[str, dict[str, dict[str, dict[int, float]]]]] = {}
    seconds: dict[str, dict[str, list[float]]] = {}
    for (row, catalog, seed), run in planned.items():
        metrics = run.metrics
        if metrics is None:
            continue
        seconds.setdefault(catalog, {}).setdefault(row, []).append(metrics["seconds"])
        for protocol, judged in metrics["test"].items():
            protocols = values.setdefault(catalog, {})
            for who, found in ((frozen[row], judged["frozen"]), (row, judged["trained"])):
                for metric in found["intervals"]:
                    of_metric = protocols.setdefault(protocol, {}).setdefault(metric, {})
                    of_metric.setdefault(who, {})[seed] = found[metric]

    def compared(rows: dict[str, dict[int, float]]) -> dict[str, Compared]:
        return compare_over_seeds({row: rows[row] for row in sorted(rows, key=order.__getitem__)}, next(iter(recipes)))

    figures = {
        catalog: {
            protocol: {metric: compared(rows) for metric, rows in metrics.items()}
            for protocol, metrics in protocols.items()
        }
        for catalog, protocols in values.items()
    }
    medians = {name: {row: median(times) for row, times in rows.items()} for name, rows in seconds.items()}
    reasons = {
        f"{row} on {name}, seed {seed}": failed[run.directory]
        for (row, name, seed), run in planned.items()
        if run.directory in failed
    }
    return Comparison(recipes, seeds, figures, medians, reasons)


def frozen_rows(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """The row of each recipe's frozen backbone: one for all that begin with the same."""
    backbones = {row: recipe.encoder.of_backbone for row, recipe in recipes.items()}
    first = {backbone: row for row, backbone in reversed(backbones.items())}
    if len(first) == 1:
        return dict.fromkeys(recipes, FROZEN)
    return {row: f"{FROZEN} of {first[backbone]}" for row, backbone in backbones.items()}
