"""How good a run is: on validation classes while it trains, on test classes once in the end."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.encoders import Encoder, embed_catalog
from lookalike.evaluation import Protocol, Retrieval
from lookalike.evaluation.compare import gains, verdict
from lookalike.evaluation.protocol import judge_all
from lookalike.evaluation.report import grids_html, write_report
from lookalike.recipes.data import RunData
from lookalike.recipes.recipe import Recipe
from lookalike.training.fit import Fit


@dataclass(frozen=True)
class Judged:
    """Test figures by protocol, of the frozen backbone and of the trained encoder, whose embeddings are [N, D]."""

    protocols: list[Protocol]
    frozen: dict[str, Retrieval]
    trained: dict[str, Retrieval]
    embeddings: np.ndarray


def validation_score(recipe: Recipe, data: RunData, encoder: Encoder, protocols: list[Protocol]) -> float:
    """Recall@1 over all queries of all protocols, in [0, 1]."""
    embeddings = _embeddings(recipe, data, encoder, protocols)
    results = judge_all(protocols, embeddings, data.labels, k=[1]).values()
    return float(np.mean(np.concatenate([result.values("recall_at_1") for result in results])))


def judge(recipe: Recipe, data: RunData, encoder: Encoder) -> Judged:
    """The test figures."""
    protocols = data.test_protocols()
    embeddings = _embeddings(recipe, data, encoder, protocols)
    frozen, trained = (judge_all(protocols, x, data.labels, recipe.evaluation.k) for x in (data.features, embeddings))
    return Judged(protocols, frozen, trained, embeddings)


def metrics_of(recipe: Recipe, data: RunData, encoder: Encoder, result: Fit, judged: Judged) -> dict[str, Any]:
    """The content of metrics.json."""
    found = gains(judged.frozen, judged.trained)
    parts = {"training": data.training, "validation": data.validation, "test": data.test}
    return {
        "encoder": encoder.describe(),
        "fingerprint": encoder.fingerprint,
        "loss": recipe.loss.name,
        "seed": recipe.training.seed,
        "items": {name: int(mask.sum()) for name, mask in parts.items()},
        "classes": {name: len(np.unique(data.labels[mask])) for name, mask in parts.items()},
        "best": result.best,
        "verdict": verdict(found, trained=result.best["epoch"] > 0),
        "gains": [asdict(gain) for gain in found],
        "test": {
            name: {"frozen": judged.frozen[name].to_dict(), "trained": judged.trained[name].to_dict()}
            for name in judged.trained
        },
        "broken": data.broken,
    }


def report(path: Path, data: RunData, judged: Judged, metrics: dict[str, Any]) -> None:
    """Write report.html."""
    pooled = judged.protocols[0]
    grids = grids_html(data.catalog, pooled, judged.embeddings, data.labels, judged.trained[pooled.name])
    sentences = [
        f"{metrics['encoder']}, trained with {metrics['loss']} on {metrics['items']['training']:,} pictures of "
        f"{metrics['classes']['training']:,} classes; judged on {metrics['classes']['test']:,} classes never seen.",
        metrics["verdict"],
    ]
    results = {"frozen backbone": judged.frozen, "trained": judged.trained}
    write_report(path, data.catalog.name, sentences, results, grids)


def _embeddings(recipe: Recipe, data: RunData, encoder: Encoder, protocols: list[Protocol]) -> np.ndarray:
    """Embeddings [N, D] of the rows these protocols look at; rows of NaN elsewhere."""
    embeddings = np.full((len(data.labels), encoder.dim), np.nan, dtype=np.float32)
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *(protocol.rows for protocol in protocols)]))
    if len(rows) and recipe.training.tune_backbone:
        embeddings[rows] = embed_catalog(encoder, data.catalog.take(rows)).embeddings
    elif len(rows):
        embeddings[rows] = encoder.embed_feature_array(data.features[rows])
    return embeddings
