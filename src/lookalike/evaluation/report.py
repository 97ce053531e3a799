"""report.html: one self-contained page with the figures, the frozen baseline beside, and pictures of results.

All of it is one JSON object, and a script of the page that draws it; both lie inside, and the page's policy forbids
whatever else. `lookalike train` and `lookalike evaluate` write one.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from lookalike.catalog import Catalog
from lookalike.evaluation.confusions import confusions
from lookalike.evaluation.curves import recall_curves
from lookalike.evaluation.grids import grids
from lookalike.evaluation.histograms import class_densities, similarities
from lookalike.evaluation.maps import map_part
from lookalike.evaluation.protocol import Protocol
from lookalike.evaluation.result import Retrieval
from lookalike.evaluation.thumbnails import Shown
from lookalike.files import write_text

#: protocol name -> model name -> figures; the first model is the baseline, the last the one the pictures are of.
Results = Mapping[str, Mapping[str, Retrieval]]
FOLDER = Path(__file__).parent
SCRIPTS = ("report.js", "report_charts.js", "report_map.js")


def write_report(
    path: Path, title: str, sentences: Sequence[str], results: Results, parts: Mapping[str, Any] | None = None
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        title: its heading.
        sentences: what is to be said first.
        results: the figures.
        parts: what else it shows, from `parts_of`, "training" from `curves.training_curves`, and "geometry". Those
            that are missing or None are left out.
    """
    data = {
        "title": title,
        "sentences": list(sentences),
        "intervals": "from drawing the classes anew",
        "figures": [_figures(protocol, judged) for protocol, judged in results.items()],
    }
    write_text(path, page(data | dict(parts or {})))


def parts_of(
    catalog: Catalog,
    protocols: Sequence[Protocol],
    embeddings: Mapping[str, np.ndarray],
    labels: np.ndarray,
    results: Results,
    seed: int = 0,
) -> dict[str, Any]:
    """What a page shows of some protocols: recall, grids, confusions, similarities, densities and the map.

    Args:
        catalog: of N items, with labels.
        protocols: each gets its grids; the first all else too.
        embeddings: model name -> float32 [N, D] of the whole catalog; the pictures are of the last model.
        labels: int64 [N].
        results: of these protocols and models.
        seed: of what is drawn at random.
    """
    protocol, shown = protocols[0], Shown(catalog)
    model, found = list(embeddings.items())[-1]
    judged = results[protocol.name]
    asked = judged[model]
    known = np.flatnonzero(labels[protocol.queries] >= 0)
    rows = protocol.queries[known]
    first = zip(protocol.queries[asked.query_numbers].tolist(), (asked.first_hit == 1).tolist(), strict=True)
    return {
        "model": model,
        "recall": recall_curves(judged),
        "grids": [grids(p, found, labels, results[p.name][model], shown, seed) for p in protocols],
        "confusions": confusions(catalog, protocol, found, labels, asked, shown, seed),
        "similarities": {name: similarities(x[rows], labels[rows], seed) for name, x in embeddings.items()},
        "densities": {name: class_densities(x[rows], labels[rows], seed) for name, x in embeddings.items()},
        "items": shown.items(),
        "map": map_part(catalog, rows, found, dict(first), seed),
    }


def page(data: Mapping[str, Any]) -> str:
    """The whole page of some data that JSON can hold."""
    style = _source("report.css")
    script = "\n".join(_source(name) for name in SCRIPTS)
    # Only what was written here runs and styles; there is nothing to load, and nowhere to send anything.
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    template = Template(_source("report.html"))
    title = escape(str(data["title"]))
    return template.substitute(title=title, policy=policy, style=style, script=script, data=_embedded(data))


def metric_name(metric: str) -> str:
    """As people write it."""
    return metric.replace("recall_at_", "Recall@").replace("map_at_r", "MAP@R").replace("r_precision", "R-precision")


def _source(name: str) -> str:
    return (FOLDER / f"{name}.template").read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: without < it cannot end there, whatever a catalog says."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _figures(protocol: str, judged: Mapping[str, Retrieval]) -> dict[str, Any]:
    """The table of a protocol: percent with intervals, and what each later model gains beside the first."""
    (baseline, first), *later = judged.items()
    metrics = [*(f"recall_at_{k}" for k in first.recall_at), "map_at_r", "r_precision"]
    rows = [
        {"model": name, "cells": [_cell(result.values(m).mean(), result.interval(m)) for m in metrics]}
        for name, result in judged.items()
    ]
    gains = [
        {
            "model": name,
            "cells": [
                _cell(result.values(m).mean() - first.values(m).mean(), result.gain_interval(first, m)) for m in metrics
            ],
        }
        for name, result in later
    ]
    left_out = f"; {first.num_skipped:,} more have nothing to find and are left out" if first.num_skipped else ""
    return {
        "protocol": protocol,
        "about": f"{first.num_queries:,} queries in {first.num_gallery:,} items{left_out}.",
        "baseline": baseline,
        "metrics": [metric_name(metric) for metric in metrics],
        "rows": rows,
        "gains": gains,
    }


def _cell(value: float, interval: tuple[float, float]) -> list[float | None]:
    """Value, low and high in percent."""
    return [None if math.isnan(number) else round(100 * float(number), 3) for number in (value, *interval)]
