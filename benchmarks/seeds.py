"""Several losses and seeds on one catalog: mean Recall@1 per protocol, with its 95 % interval over seeds.

    python benchmarks/seeds.py products.parquet --weights backbone.safetensors --set encoder.image_size=160

A run whose directory is finished is not repeated.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from lookalike import Catalog, Recipe, Run, train
from lookalike.cli.train import parse_settings
from lookalike.errors import TrainingError
from lookalike.losses import LOSSES


def finished(directory: Path, wanted: Callable[[], tuple[Recipe, Catalog]]) -> Run:
    """The run that is there, else one of what is `wanted`, which is asked only then."""
    try:
        return Run.load(directory)
    except TrainingError:
        shutil.rmtree(directory, ignore_errors=True)
        return train(*wanted(), directory)


def half_width(values: np.ndarray) -> float:
    """Of the 95 % t interval; NaN for a single value."""
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def points(values: list[float]) -> str:
    """Mean and half width of the t interval, in percent."""
    percent = 100 * np.array(values)
    spread = f" ± {half_width(percent):.1f}" if len(percent) > 1 else ""
    return f"{percent.mean():.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--weights", default="")
    parser.add_argument("--item-id")
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=list(LOSSES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--runs", type=Path, default=Path("runs/seeds"))
    options = parser.parse_args()

    catalog = Catalog.read(options.catalog, item_id=options.item_id)
    base = Recipe.load(options.recipe)
    base = base.override({"encoder.weights": options.weights} | parse_settings(options.settings))
    rows: dict[str, list[Run]] = {}
    for loss in options.losses:
        for seed in options.seeds:
            directory = options.runs / f"{options.catalog.stem}-{options.recipe}-{loss}-{seed}"
            recipe = base.override({"loss.name": loss, "training.seed": seed})
            rows.setdefault(loss, []).append(finished(directory, lambda recipe=recipe: (recipe, catalog)))

    protocols = list(rows[options.losses[0]][0].metrics["test"])
    print("| | " + " | ".join(protocols) + " | seconds |")
    print("|---" * (len(protocols) + 2) + "|")
    first = rows[options.losses[0]][0].metrics["test"]
    print("| frozen backbone | " + " | ".join(points([first[p]["frozen"]["recall_at_1"]]) for p in protocols) + " | |")
    for loss, runs in rows.items():
        cells = [points([run.metrics["test"][p]["trained"]["recall_at_1"] for run in runs]) for p in protocols]
        seconds = np.median([run.metrics["seconds"] for run in runs])
        print(f"| {loss} | " + " | ".join(cells) + f" | {seconds:.0f} |")


if __name__ == "__main__":
    main()
