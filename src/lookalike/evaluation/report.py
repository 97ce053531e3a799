"""report.html: one self-contained page with the figures, the frozen baseline beside, and pictures of results."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from PIL import ImageOps

from lookalike.catalog import Catalog
from lookalike.evaluation.figures import Row, neighbor_rows
from lookalike.evaluation.protocol import Protocol
from lookalike.evaluation.retrieval import Retrieval
from lookalike.files import write_text

QUERIES_SHOWN = 6
THUMBNAIL_PX = 96
PAGE = Template((Path(__file__).parent / "report.html.template").read_text(encoding="utf-8"))


def write_report(
    path: Path,
    title: str,
    sentences: Sequence[str],
    results: Mapping[str, Mapping[str, Retrieval]],
    grids: str,
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        title: its heading.
        sentences: what is to be said first (already plain text).
        results: model name -> protocol name -> its figures. The first model is the baseline.
        grids: HTML of the pictures, from `grids_html`.
    """
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    write_text(path, PAGE.substitute(title=escape(title), said=said, tables=_tables(results), grids=grids))


def grids_html(
    catalog: Catalog, protocol: Protocol, embeddings: np.ndarray, labels: np.ndarray, result: Retrieval, seed: int = 0
) -> str:
    """Query and neighbor pictures of one protocol: some at random, and the worst."""
    # Positions of the counted queries, the one whose first hit comes last at the end.
    by_rank = result.query_numbers[np.argsort(result.first_hit, kind="stable")]
    count = min(QUERIES_SHOWN, len(by_rank))
    chosen = np.random.default_rng(seed).choice(by_rank, count, replace=False)
    sections = [("Queries drawn at random", chosen), ("The worst queries", by_rank[::-1][:count])]
    return "".join(
        f"<h3>{escape(protocol.name)} · {heading}</h3>"
        + "".join(_grid_row(catalog, row) for row in neighbor_rows(protocol, embeddings, labels, queries.tolist()))
        for heading, queries in sections
    )


def _tables(results: Mapping[str, Mapping[str, Retrieval]]) -> str:
    protocols = list(next(iter(results.values())))
    first, *others = (
        _table(protocol, {model: judged[protocol] for model, judged in results.items()}) for protocol in protocols
    )
    if not others:
        return first
    return f"{first}<details><summary>Within and across domains</summary>{''.join(others)}</details>"


def _table(protocol: str, judged: Mapping[str, Retrieval]) -> str:
    first = next(iter(judged.values()))
    metrics = {f"recall_at_{k}": f"Recall@{k}" for k in first.recall_at} | {
        "map_at_r": "MAP@R",
        "r_precision": "R-precision",
    }
    head = "".join(f"<th>{name}</th>" for name in metrics.values())
    body = "".join(
        f"<tr><th>{escape(model)}</th>" + "".join(_cell(result, metric) for metric in metrics) + "</tr>"
        for model, result in judged.items()
    )
    return (
        f"<h3>{escape(protocol)}</h3><p class=quiet>{first.num_queries:,} queries in {first.num_gallery:,} items, "
        f"{first.num_skipped:,} more left out that have nothing to find</p>"
        f"<div class=scroll><table><tr><th></th>{head}</tr>{body}</table></div>"
    )


def _cell(result: Retrieval, metric: str) -> str:
    low, high = result.interval(metric)
    interval = "" if math.isnan(low) else f"<small>{100 * low:.1f} – {100 * high:.1f}</small>"
    return f"<td>{100 * result.values(metric).mean():.1f}{interval}</td>"


def _grid_row(catalog: Catalog, row: Row) -> str:
    found = zip(row.neighbors, row.cosines, row.right, strict=True)
    tiles = [_tile(catalog, row.query, "query", "query")]
    tiles += [_tile(catalog, item, "right" if right else "wrong", f"{near:.2f}") for item, near, right in found]
    return f"<div class=row>{''.join(tiles)}</div>"


def _tile(catalog: Catalog, row: int, kind: str, caption: str) -> str:
    buffer = io.BytesIO()
    ImageOps.contain(catalog.image(row), (THUMBNAIL_PX, THUMBNAIL_PX)).save(buffer, "JPEG", quality=85)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    about = {name: catalog.table.column(name)[row].as_py() for name in ("label", "text", "domain") if name in catalog}
    title = escape(" · ".join(str(value) for value in about.values() if value is not None))
    return (
        f'<figure class={kind} title="{title}"><img alt="{title}" src="data:image/jpeg;base64,{encoded}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
