"""How good a run is: on test classes, once, in the end."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.encoders import Encoder, embed_catalog
from lookalike.evaluation import Protocol, Retrieval
from lookalike.evaluation.compare import gains, verdict
from lookalike.evaluation.curves import training_curves
from lookalike.evaluation.protocol import judge_all
from lookalike.evaluation.report import parts_of, write_report
from lookalike.recipes.data import RunData
from lookalike.recipes.recipe import Recipe
from lookalike.training.best import Fit, Row


@dataclass(frozen=True)
class Judged:
    """Test figures by protocol, of the frozen backbone and of the trained encoder, whose embeddings are [N, D]."""

    protocols: list[Protocol]
    frozen: dict[str, Retrieval]
    trained: dict[str, Retrieval]
    embeddings: np.ndarray


#: Of a run that leaves the test classes alone.
NOT_JUDGED = Judged([], {}, {}, np.empty((0, 0), np.float32))


def judge(recipe: Recipe, data: RunData, encoder: Encoder) -> Judged:
    """The test figures."""
    protocols = data.test_protocols()
    embeddings = embed_for(protocols, recipe, data, encoder)
    frozen, trained = (judge_all(protocols, x, data.labels, recipe.evaluation.k) for x in (data.features, embeddings))
    return Judged(protocols, frozen, trained, embeddings)


def metrics_of(recipe: Recipe, data: RunData, encoder: Encoder, result: Fit, judged: Judged) -> dict[str, Any]:
    """The content of metrics.json."""
    found = gains(judged.frozen, judged.trained)
    said = verdict(found, trained=result.best["epoch"] > 0)
    parts = {"training": data.training, "validation": data.validation, "test": data.test}
    return {
        "encoder": encoder.describe(),
        "fingerprint": encoder.fingerprint,
        "loss": recipe.loss.name,
        "seed": recipe.training.seed,
        "items": {name: int(mask.sum()) for name, mask in parts.items()},
        "classes": {name: len(np.unique(data.labels[mask])) for name, mask in parts.items()},
        "best": result.best,
        "verdict": "The test classes were left alone." if judged is NOT_JUDGED else said,
        "gains": [asdict(gain) for gain in found],
        "test": {
            name: {"frozen": judged.frozen[name].to_dict(), "trained": judged.trained[name].to_dict()}
            for name in judged.trained
        },
        "broken": data.broken,
    }


def report(
    path: Path, data: RunData, judged: Judged, metrics: dict[str, Any], history: list[Row], loss: dict[str, Any] | None
) -> None:
    """Write report.html.

    Args:
        path: of the page.
        data: what the run worked on.
        judged: the figures.
        metrics: the content of metrics.json.
        history: the rows of history.jsonl.
        loss: from `geometry.geometry_of` the loss.
    """
    sentences = [
        f"{metrics['encoder']}, trained with {metrics['loss']} on {metrics['items']['training']:,} pictures of "
        f"{metrics['classes']['training']:,} classes; judged on {metrics['classes']['test']:,} classes never seen.",
        metrics["verdict"],
    ]
    embeddings = {"frozen backbone": data.features, "trained": judged.embeddings}
    results = {
        name: {"frozen backbone": judged.frozen[name], "trained": trained} for name, trained in judged.trained.items()
    }
    parts = parts_of(data.catalog, judged.protocols[:1], embeddings, data.labels, results)
    parts |= {"training": training_curves(history, metrics["best"]), "geometry": loss}
    write_report(path, data.catalog.name, sentences, results, parts)


def embed_for(protocols: list[Protocol], recipe: Recipe, data: RunData, encoder: Encoder) -> np.ndarray:
    """Embeddings [N, D] of the rows these protocols look at; rows of NaN elsewhere."""
    embeddings = np.full((len(data.labels), encoder.dim), np.nan, dtype=np.float32)
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *(protocol.rows for protocol in protocols)]))
    if len(rows):
        embeddings[rows] = embed_rows(recipe, data, encoder, rows)
    return embeddings


def embed_rows(recipe: Recipe, data: RunData, encoder: Encoder, rows: np.ndarray) -> np.ndarray:
    """Embeddings [R, D] of these rows: numbers, or a mask."""
    if recipe.training.tune_backbone:
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return embed_catalog(encoder, data.catalog.take(rows)).embeddings
    return encoder.embed_feature_array(data.features[rows])
