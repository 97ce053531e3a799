"""Results as tables in the terminal."""

from collections.abc import Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
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
    print(f"kept: epoch {best['epoch']}{blend}; everything is in {run.directory}")


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


def print_match(match: "Match") -> None:
    """One match in one line, on stdout."""
    # The text comes last: it is long, and what it says is often in the other columns.
    known = sorted(match.attributes.items(), key=lambda attribute: attribute[0] == "text")
    about = ", ".join(f"{name} {value}" for name, value in known if value is not None)
    # One line each; --json of the search command has everything.
    print(shorten(f"{match.rank:>3}  {match.score:.4f}  {match.item_id}  {about}", LINE_WIDTH, placeholder=" ..."))


def _words_line(figures: Metrics) -> str:
    """Recall@K of descriptions, beside chance."""
    recall = ", ".join(
        f"Recall@{name.removeprefix('recall_at_')} {100 * figures[name]:.1f} (chance {100 * chance:.1f})"
        for name, chance in figures["chance"].items()
    )
    return f"search by words: {figures['num_queries']:,} texts of unseen classes -> pictures: {recall} %"


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
