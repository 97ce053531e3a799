"""Curves of a page: Recall@K over K, and what an epoch changed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lookalike.evaluation.result import Retrieval


def recall_curves(results: Mapping[str, Retrieval]) -> list[dict[str, Any]]:
    """Recall at every K up to the largest judged, for each model; and the intervals at those judged."""
    curves = []
    for model, result in results.items():
        depth = max(result.recall_at)
        values = [float((result.first_hit <= k).mean()) for k in range(1, depth + 1)]
        intervals = {k: result.interval(f"recall_at_{k}") for k in result.recall_at}
        curves.append(
            {
                "model": model,
                "values": values,
                "intervals": [[k, *bounds] for k, bounds in intervals.items() if not math.isnan(bounds[0])],
            }
        )
    return curves


def training_curves(history: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> dict[str, Any]:
    """What happened from epoch to epoch.

    Args:
        history: the rows of history.jsonl: "epoch", "validation" (may be None), "terms" of the loss; and those of
            the average of the weights, with its "average", and of blends of the first and last, with their "blend".
        best: the row that was kept.

    Returns:
        Of each curve the points [epoch, value], those that are finite; blends as [share, validation].
    """
    epochs = [row for row in history if not row.keys() & {"blend", "average"}]
    names = sorted({name for row in epochs for name in row.get("terms", {})})
    terms = {
        name: [[row["epoch"], row["terms"][name]] for row in epochs if name in row.get("terms", {})] for name in names
    }
    return {
        "validation": _finite([[row["epoch"], row["validation"]] for row in epochs if row["validation"] is not None]),
        "terms": {name: _finite(points) for name, points in terms.items()},
        "averages": [[row["epoch"], row["validation"]] for row in history if "average" in row],
        "blends": [[row["blend"], row["validation"]] for row in history if "blend" in row],
        "best": {key: best.get(key) for key in ("epoch", "validation", "blend", "average")},
    }


def _finite(points: list[list[float]]) -> list[list[float]]:
    return [point for point in points if np.isfinite(point[1])]
