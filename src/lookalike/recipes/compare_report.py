"""The page of a comparison: its tables, for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookalike.evaluation.report import metric_name, page
from lookalike.files import write_text


def report_comparison(path: Path, comparison: Mapping[str, Any]) -> None:
    """Write the page: for each catalog and protocol every row beside the baseline, with intervals over the seeds.

    Args:
        path: of the HTML file.
        comparison: the content of compare.json.
    """
    seeds = ", ".join(map(str, comparison["seeds"]))
    sentences = [
        f"{len(comparison['recipes'])} recipes, seeds {seeds}; the baseline is {comparison['baseline']}.",
        *(f"Failed: {run}: {reason}" for run, reason in comparison["failed"].items()),
    ]
    tables = [
        _table(f"{catalog} · {protocol}", metrics)
        for catalog, protocols in comparison["figures"].items()
        for protocol, metrics in protocols.items()
    ]
    drawn = "over the seeds, by Student's t; gains are paired seed by seed"
    write_text(path, page({"title": "Comparison", "sentences": sentences, "intervals": drawn, "figures": tables}))


def _table(name: str, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A table as `report.write_report` makes it. The baseline has no gain, nor has a row without a seed of it."""
    columns, first = list(metrics.values()), next(iter(metrics.values()))
    compared = [row for row in first if all(found[row]["difference"] for found in columns)]
    return {
        "protocol": name,
        "metrics": [metric_name(metric) for metric in metrics],
        "rows": [{"model": row, "cells": [_cell(found[row]) for found in columns]} for row in first],
        "gains": [{"model": row, "cells": [_cell(found[row]["difference"]) for found in columns]} for row in compared],
    }


def _cell(estimate: Mapping[str, Any]) -> list[float | None]:
    low, high = estimate["interval"] or (None, None)
    return [None if number is None else round(100 * number, 3) for number in (estimate["mean"], low, high)]
