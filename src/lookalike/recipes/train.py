"""A whole run: read, begin at the frozen backbone, fit, judge both on unseen classes, save."""

import datetime
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lookalike.catalog import Catalog
from lookalike.catalog.batches import ClassBatches
from lookalike.encoders import Augmentation, Encoder
from lookalike.errors import TrainingError
from lookalike.losses import Loss, Proxies
from lookalike.losses.lines import Lines
from lookalike.progress import note
from lookalike.recipes.build import build_encoder, build_loss, with_image_size
from lookalike.recipes.data import RunData, labeled_items, prepare
from lookalike.recipes.geometry import geometry_of
from lookalike.recipes.judge import NOT_JUDGED, embed_rows, judge, metrics_of, report, validation_score
from lookalike.recipes.recipe import Recipe
from lookalike.recipes.words import fit_words
from lookalike.side import SideVectors, describe_items, make_text_encoder, texts_of
from lookalike.training.fit import Fit, Row, TrainingItems, fit
from lookalike.training.inputs import FeatureInputs, Inputs, PictureInputs
from lookalike.training.run import ENCODER, RECIPE, REPORT, Run, append_history, begin, write_metrics


def train(
    recipe: Recipe,
    catalog: Catalog | str | Path,
    directory: str | Path | None = None,
    *,
    judge_test: bool = True,
) -> Run:
    """Train an encoder on a catalog and judge it on classes it has never seen, beside the frozen backbone.

    Args:
        recipe: all settings.
        catalog: with labels; its split column (train / validation / test) is used if there is one, else classes are
            held out by the recipe's shares.
        directory: of the run; `runs/<time>` by default. Must be empty or new.
        judge_test: without it the test classes are left alone, for whoever chooses between runs: no test figures, no
            report, and no search by words, which would be judged on them.

    Raises:
        LookalikeError: something the user can mend: the catalog, a setting, weights, or a loss that is not finite.
        KeyboardInterrupt: the run was stopped; its directory holds the best encoder so far.
    """
    started = time.monotonic()
    catalog = catalog if isinstance(catalog, Catalog) else Catalog.read(catalog)
    directory = Path(directory or Path("runs") / datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S"))
    recipe = with_image_size(recipe, catalog)
    items = labeled_items(recipe, catalog)
    torch.manual_seed(recipe.training.seed)
    encoder = build_encoder(recipe.encoder).to(_device(recipe.training.device))
    begin(directory)

    data = prepare(recipe, items, encoder)
    encoder.head.fit_geometry(torch.from_numpy(data.features[data.training]))
    start = encoder.embed_feature_array(data.features[data.training])
    # Asked for only where a loss takes text, and made once: a text encoder may be trained for them.
    side_vectors = cache(partial(_side_vectors, recipe, data))
    loss = _loss(recipe, data, start, side_vectors)
    batches = _items(recipe, data, encoder, loss, start, side_vectors)
    recipe.save(directory / RECIPE)  # nothing is left behind by what was refused so far
    result = _fit(recipe, data, encoder, loss, batches, directory)
    words = fit_words(recipe, data, encoder) if judge_test else None
    encoder.save(directory / ENCODER)
    judged = judge(recipe, data, encoder) if judge_test else NOT_JUDGED
    metrics = metrics_of(recipe, data, encoder, result, judged) | {"seconds": round(time.monotonic() - started, 1)}
    metrics |= {"words": words} if words else {}
    metrics |= {"weak_labels": items.weak.to_dict()} if items.weak else {}
    write_metrics(directory, metrics)
    if judged.protocols:
        shape = geometry_of(loss, lambda: embed_rows(recipe, data, encoder, data.training), data.training_labels)
        report(directory / REPORT, data, judged, metrics, result.history, shape)
    return Run(directory, encoder, metrics)


def _device(name: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        raise TrainingError(f"training.device = {name!r}: there is none here; take 'auto' or 'cpu'")
    return torch.device(name)


def _loss(recipe: Recipe, data: RunData, start: np.ndarray, side_vectors: Callable[[], SideVectors]) -> Loss:
    """The recipe's loss, its proxies beginning where the classes are now, plus what keeps the similarities."""
    labels = data.training_labels
    num_classes = int(labels.max()) + 1

    def class_side_vectors() -> np.ndarray:
        return side_vectors().of_classes(labels, num_classes, scaling=recipe.text.scaling)

    kept = recipe.training.keep_similarities
    loss = build_loss(recipe.loss, num_classes, start.shape[1], class_side_vectors, kept)
    tables = [module for module in loss.modules() if isinstance(module, Proxies)]
    has_table = any(True for _ in loss.parameters())  # of proxies, ours or another library's
    if not has_table and (np.bincount(labels).max() < 2 or recipe.training.images_per_class < 2):
        raise TrainingError(
            f"{recipe.loss.name} compares pictures of one class, and here no batch has two of one: give more pictures "
            "per class (and training.images_per_class of at least 2), or take loss.name = 'normalized_softmax'"
        )
    for proxies in tables:
        # Else the first steps would pull the geometry to wherever chance put the proxies.
        proxies.start_at(_class_means(start, labels))
    for module in loss.modules():
        if isinstance(module, Lines):
            module.start_at(torch.from_numpy(start), torch.from_numpy(labels))
    return loss


def _side_vectors(recipe: Recipe, data: RunData) -> SideVectors:
    texts = texts_of(data.training_catalog, recipe.text.column)
    encoder = make_text_encoder(recipe.text.encoder, texts, **recipe.text.arguments)
    return describe_items(data.training_catalog, encoder, column=recipe.text.column)


def _class_means(embeddings: np.ndarray, labels: np.ndarray) -> torch.Tensor:
    sums = torch.zeros(int(labels.max()) + 1, embeddings.shape[1])
    return F.normalize(sums.index_add_(0, torch.from_numpy(labels), torch.from_numpy(embeddings)), dim=1)


def _items(
    recipe: Recipe,
    data: RunData,
    encoder: Encoder,
    loss: Loss,
    start: np.ndarray,
    side_vectors: Callable[[], SideVectors],
) -> TrainingItems:
    settings = recipe.training
    of_items = side_vectors().scaled(recipe.text.scaling).vectors if "side_vectors" in loss.inputs else None
    inputs: Inputs = FeatureInputs(data.features[data.training])
    if settings.tune_backbone:
        augmentation = Augmentation(settings.min_crop, flip=settings.flip)
        inputs = PictureInputs(data.training_catalog, encoder.preprocessing, augmentation, settings.seed)
    domains = data.training_catalog.column("domain") if "domain" in data.catalog else None
    batches = ClassBatches(
        data.training_labels, settings.classes_per_batch, settings.images_per_class, settings.seed, domains
    )
    return TrainingItems(inputs, batches, data.training_labels, of_items, start)


def _fit(recipe: Recipe, data: RunData, encoder: Encoder, loss: Loss, items: TrainingItems, directory: Path) -> Fit:
    protocols = data.validation_protocols()

    def on_epoch(row: Row, is_best: bool) -> None:
        append_history(directory, row)
        if is_best:  # so that a run stopped in any way leaves a usable encoder
            encoder.save(directory / ENCODER)

    score = (lambda: validation_score(recipe, data, encoder, protocols)) if protocols else None
    try:
        return fit(encoder, loss, items, recipe.training, score, on_epoch)
    except KeyboardInterrupt:
        note(f"stopped; {directory} holds the best weights so far: lookalike evaluate CATALOG --run {directory}")
        raise
