"""A whole run: read, begin at the frozen backbone, fit, judge both on unseen classes, save."""

import datetime
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lookalike.catalog import Catalog
from lookalike.catalog.batches import ClassBatches
from lookalike.encoders import Augmentation, Encoder, embed_catalog
from lookalike.errors import TrainingError
from lookalike.evaluation.compare import gains, verdict
from lookalike.evaluation.protocol import POOLED, Protocol, judge_all
from lookalike.evaluation.report import grids_html, write_report
from lookalike.evaluation.retrieval import Retrieval
from lookalike.losses import Loss, Proxies
from lookalike.progress import note
from lookalike.recipes.build import build_encoder, build_loss
from lookalike.recipes.data import RunData, prepare
from lookalike.recipes.recipe import Recipe
from lookalike.side import describe_items
from lookalike.training.fit import Fit, Row, TrainingItems, fit
from lookalike.training.inputs import FeatureInputs, Inputs, PictureInputs
from lookalike.training.run import ENCODER, RECIPE, REPORT, Run, append_history, begin, write_metrics


def train(recipe: Recipe, catalog: Catalog | str | Path, directory: str | Path | None = None) -> Run:
    """Train an encoder on a catalog and judge it on classes it has never seen, beside the frozen backbone.

    Args:
        recipe: all settings.
        catalog: with labels; its split column (train / validation / test) is used if there is one, else classes are
            held out by the recipe's shares.
        directory: of the run; `runs/<time>` by default. Must be empty or new.

    Raises:
        LookalikeError: something the user can mend: the catalog, a setting, weights, or a loss that is not finite.
        KeyboardInterrupt: the run was stopped; its directory holds the best encoder so far.
    """
    started = time.monotonic()
    catalog = catalog if isinstance(catalog, Catalog) else Catalog.read(catalog)
    directory = Path(directory or Path("runs") / datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S"))
    torch.manual_seed(recipe.training.seed)
    encoder = build_encoder(recipe.encoder).to(_device(recipe.training.device))
    begin(directory)

    data = prepare(recipe, catalog, encoder)
    encoder.head.fit_geometry(torch.from_numpy(data.features[data.training]))
    loss = _loss(recipe, data, encoder)
    recipe.save(directory / RECIPE)
    result = _fit(recipe, data, encoder, loss, directory)
    judged = _judge(recipe, data, encoder)
    metrics = _metrics(recipe, data, encoder, result, judged) | {"seconds": round(time.monotonic() - started, 1)}
    write_metrics(directory, metrics)
    _report(directory / REPORT, recipe, data, judged, metrics)
    return Run(directory, encoder, metrics)


@dataclass(frozen=True)
class _Judged:
    protocols: list[Protocol]
    frozen: dict[str, Retrieval]
    trained: dict[str, Retrieval]
    embeddings: np.ndarray


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _loss(recipe: Recipe, data: RunData, encoder: Encoder) -> Loss:
    labels = data.training_labels
    num_classes = int(labels.max()) + 1

    def class_side_vectors() -> np.ndarray:
        training = data.catalog.take(np.flatnonzero(data.training))
        vectors = describe_items(training, dim=recipe.text.dim, epochs=recipe.text.epochs)
        return vectors.of_classes(labels, num_classes)

    loss = build_loss(recipe.loss, num_classes, encoder.dim, class_side_vectors)
    tables = [module for module in loss.modules() if isinstance(module, Proxies)]
    if not tables and (np.bincount(labels).max() < 2 or recipe.training.images_per_class < 2):
        raise TrainingError(
            f"{recipe.loss.name} compares pictures of one class, and here no batch has two of one: give more pictures "
            "per class (and training.images_per_class of at least 2), or take loss.name = 'normalized_softmax'"
        )
    means = _class_means(encoder.embed_feature_array(data.features[data.training]), labels)
    for proxies in tables:
        # Where the class is now, so that the first steps do not pull the geometry to wherever chance put the proxies.
        proxies.start_at(means)
    return loss


def _fit(recipe: Recipe, data: RunData, encoder: Encoder, loss: Loss, directory: Path) -> Fit:
    settings = recipe.training
    rows = np.flatnonzero(data.training)
    inputs: Inputs = FeatureInputs(data.features[rows])
    if settings.tune_backbone:
        augmentation = Augmentation(settings.min_crop, flip=settings.flip)
        inputs = PictureInputs(data.catalog.take(rows), encoder.preprocessing, augmentation, settings.seed)
    domains = data.catalog.take(rows).column("domain") if "domain" in data.catalog else None
    batches = ClassBatches(
        data.training_labels, settings.classes_per_batch, settings.images_per_class, settings.seed, domains
    )
    protocols = data.protocols(data.validation)

    def score() -> float:
        embeddings = _embeddings(recipe, data, encoder, protocols)
        return float(np.mean([r.recall_at[1] for r in judge_all(protocols, embeddings, data.labels, k=[1]).values()]))

    def on_epoch(row: Row, is_best: bool) -> None:
        append_history(directory, row)
        if is_best:  # so that a run stopped in any way leaves a usable encoder
            encoder.save(directory / ENCODER)

    items = TrainingItems(inputs, batches, data.training_labels)
    return fit(encoder, loss, items, settings, score if protocols else None, on_epoch)


def _judge(recipe: Recipe, data: RunData, encoder: Encoder) -> _Judged:
    protocols = data.protocols(data.test)
    embeddings = _embeddings(recipe, data, encoder, protocols)
    frozen = judge_all(protocols, data.features, data.labels, recipe.evaluation.k)
    return _Judged(protocols, frozen, judge_all(protocols, embeddings, data.labels, recipe.evaluation.k), embeddings)


def _embeddings(recipe: Recipe, data: RunData, encoder: Encoder, protocols: list[Protocol]) -> np.ndarray:
    """Embeddings [N, D] of the rows these protocols look at; rows of NaN elsewhere."""
    embeddings = np.full((len(data.labels), encoder.dim), np.nan, dtype=np.float32)
    if not protocols:
        return embeddings
    rows = np.unique(np.concatenate([protocol.rows for protocol in protocols]))
    if recipe.training.tune_backbone:
        embeddings[rows] = embed_catalog(encoder, data.catalog.take(rows)).embeddings
    else:
        embeddings[rows] = encoder.embed_feature_array(data.features[rows])
    return embeddings


def _class_means(embeddings: np.ndarray, labels: np.ndarray) -> torch.Tensor:
    sums = torch.zeros(int(labels.max()) + 1, embeddings.shape[1])
    return F.normalize(sums.index_add_(0, torch.from_numpy(labels), torch.from_numpy(embeddings)), dim=1)


def _metrics(recipe: Recipe, data: RunData, encoder: Encoder, result: Fit, judged: _Judged) -> dict[str, Any]:
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
        "gains": [vars(gain) for gain in found],
        "test": {
            name: {"frozen": judged.frozen[name].to_dict(), "trained": judged.trained[name].to_dict()}
            for name in judged.trained
        },
        "broken": data.broken,
    }


def _report(path: Path, recipe: Recipe, data: RunData, judged: _Judged, metrics: dict[str, Any]) -> None:
    if not judged.protocols:
        note("no report: no test class has two pictures")
        return
    shown = [p for p in judged.protocols if p.name == POOLED] or judged.protocols[:1]
    grids = "".join(grids_html(data.catalog, p, judged.embeddings, data.labels, judged.trained[p.name]) for p in shown)
    sentences = [
        f"{metrics['encoder']}, trained with {recipe.loss.name} on {metrics['items']['training']:,} pictures of "
        f"{metrics['classes']['training']:,} classes; judged on {metrics['classes']['test']:,} classes never seen.",
        metrics["verdict"],
    ]
    results = {"frozen backbone": judged.frozen, "trained": judged.trained}
    write_report(path, data.catalog.name, sentences, results, grids)
