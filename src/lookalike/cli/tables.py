"""Results as tables in the terminal."""

import math
from collections.abc import Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from lookalike.evaluation.seeds import Compared, Estimate
    from lookalike.recipes.compare import Comparison
    from lookalike.search import Match
    from lookalike.training import Run

Metrics = Mapping[str, Any]
LINE_WIDTH = 140


def print_run(run: "Run") -> None:
    """What came of a run, on stdout."""
    test = run.metrics["test"]
    print_metrics(
        {name: {"frozen backbone": both["frozen"], "trained": both["trained"]} for name, both in test.items()}
    )
    print(run.metrics["verdict"])
    if "words" in run.metrics:
        print(_words_line(run.metrics["words"]))
    best = run.metrics["best"]
    blend = f", {100 * best['blend']:.0f} % of it blended into the start" if "blend" in best else ""
    average = ", the average of the weights" if "average" in best else ""
    print(f"kept: epoch {best['epoch']}{average}{blend}; everything is in {run.directory}")


def print_metrics(results: Mapping[str, Mapping[str, Metrics]]) -> None:
    """A table of protocols and models: percent, with the 95 % interval."""
    if not results:
        return
    first = _first(next(iter(results.values())))
    names = [name for name in first if name.startswith("recall_at_")] + ["map_at_r"]
    table = Table(box=box.SIMPLE_HEAD, caption="percent (95 % interval over classes)", caption_justify="left")
    for heading in ("queries -> gallery", "", *map(_heading, names)):
        table.add_column(heading, justify="left" if heading in ("queries -> gallery", "") else "right")
    for protocol, models in results.items():
        counts = f"{_first(models)['num_queries']:,} -> {_first(models)['num_gallery']:,}"
        about = [protocol, f"  {counts}"] + [""] * len(models)
        for line, (model, metrics) in enumerate(models.items()):
            table.add_row(about[line], model, *(_cell(metrics, name) for name in names))
        if len(models) == 1:
            table.add_row(about[1])
        table.add_section()
    # A file or a pipe has no width of its own; do not fold the table there.
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def print_comparison(comparison: "Comparison") -> None:
    """A Markdown table of catalogs, protocols and recipes: percent, and points against the baseline, on stdout."""
    baseline, single = next(iter(comparison.recipes)), len(comparison.seeds) == 1
    lines: list[list[str]] = []
    for catalog, protocols in comparison.figures.items():
        for protocol, metrics in protocols.items():
            shown = [min((name for name in metrics if name.startswith("recall_at_")), key=_rank_of), "map_at_r"]
            lines = lines or [_comparison_heading(shown)]
            for row in metrics["map_at_r"]:  # recipes may differ in their K
                cells = [cell for name in shown for cell in _comparison_cells(metrics[name].get(row))]
                seconds = comparison.seconds[catalog].get(row)
                lines.append([catalog, protocol, row, *cells, "" if seconds is None else f"{seconds:.0f}"])
    for run, reason in comparison.failed.items():
        print(f"not done: {run}: {reason}")
    if not lines:
        print("Nothing could be judged: no test class has two pictures, so no query has anything to find.")
        return
    print_markdown(lines)
    seeds = ", ".join(map(str, comparison.seeds))
    if single:
        print(f"\npercent; a single seed ({seeds}) gives no interval: give several to see what is more than chance")
    else:
        print(
            f"\npercent, mean ± 95 % interval over the seeds {seeds} (Student's t; none where all give the same); "
            f"Δ: points against {baseline}, seed by seed, and the p of no difference (0.001: or less); "
            "**better than every other row**, where the intervals of its differences say so"
        )


def print_markdown(lines: list[list[str]]) -> None:
    """A Markdown table of which the first line is the heading, on stdout."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in (lines[0], ["-" * width for width in widths], *lines[1:]):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")


def print_match(match: "Match") -> None:
    """One match in one line, on stdout."""
    # The text comes last: it is long, and what it says is often in the other columns.
    known = sorted(match.attributes.items(), key=lambda attribute: attribute[0] == "text")
    about = ", ".join(f"{name} {value}" for name, value in known if value is not None)
    likely = "" if match.probability is None else f"  {100 * match.probability:3.0f} %"
    # One line each; --json of the search command has everything.
    line = f"{match.rank:>3}  {match.score:.4f}{likely}  {match.item_id}  {about}"
    print(shorten(line, LINE_WIDTH, placeholder=" ..."))


def _words_line(figures: Metrics) -> str:
    """Recall@K of descriptions, beside chance."""
    recall = ", ".join(
        f"Recall@{name.removeprefix('recall_at_')} {100 * figures[name]:.1f} (chance {100 * chance:.1f})"
        for name, chance in figures["chance"].items()
    )
    return f"search by words: {figures['num_queries']:,} texts of unseen classes -> pictures: {recall} %"


def _comparison_heading(metrics: list[str]) -> list[str]:
    figures = [heading for name in metrics for heading in (_heading(name), "Δ", "p")]
    return ["catalog", "queries -> gallery", "recipe", *figures, "seconds"]


def _comparison_cells(compared: "Compared | None") -> tuple[str, str, str]:
    """Mean, difference to the baseline, p."""
    if compared is None:  # this recipe has another K
        return "", "", ""
    mean = f"{100 * compared.over_seeds.mean:.1f}{_half_width(compared.over_seeds)}"
    difference = compared.difference
    gain = "" if difference is None else f"{100 * difference.mean:+z.1f}{_half_width(difference)}"
    p = "" if difference is None or math.isnan(difference.p) else f"{max(difference.p, 0.001):.3f}"
    return f"**{mean}**" if compared.best else mean, gain, p


def _half_width(estimate: "Estimate") -> str:
    return "" if math.isnan(estimate.low) else f" ± {100 * estimate.half_width:.1f}"


def _rank_of(recall: str) -> int:
    return int(recall.removeprefix("recall_at_"))


def _heading(metric: str) -> str:
    return metric.replace("recall_at_", "Recall@").replace("map_at_r", "MAP@R")


def _first(models: Mapping[str, Metrics]) -> Metrics:
    """The figures of the first model."""
    return next(iter(models.values()))


def _cell(metrics: Metrics, name: str) -> str:
    value, interval = metrics[name], metrics["intervals"][name]
    if interval is None:  # one class only
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})"
