"""A whole run: read, begin at the frozen backbone, fit, judge both on unseen classes, save."""

import datetime
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder
from lookalike.errors import TrainingError
from lookalike.files import sha256
from lookalike.losses import Loss, Proxies
from lookalike.losses.lines import Lines
from lookalike.progress import note
from lookalike.recipes.build import build_encoder, build_loss, with_image_size
from lookalike.recipes.calibration import fit_calibration
from lookalike.recipes.data import LabeledItems, RunData, labeled_items, prepare
from lookalike.recipes.feedback import read_feedback, with_feedback
from lookalike.recipes.geometry import geometry_of
from lookalike.recipes.identity import identity_of
from lookalike.recipes.inputs import build_batches, build_inputs, check_inputs
from lookalike.recipes.judge import NOT_JUDGED, embed_rows, judge, metrics_of, report
from lookalike.recipes.recipe import Recipe
from lookalike.recipes.validation import Validation
from lookalike.recipes.words import fit_words
from lookalike.side import SideVectors, describe_items, make_text_encoder, texts_of
from lookalike.training.best import Fit, Row
from lookalike.training.distributed import check_same, first_then_all, from_first, joined, local_device, rank
from lookalike.training.fit import fit
from lookalike.training.forward import check_forward
from lookalike.training.items import TrainingItems
from lookalike.training.resume import Checkpoints
from lookalike.training.run import (
    CHECKPOINTS,
    ENCODER,
    PANELS,
    RECIPE,
    REPORT,
    Run,
    append_history,
    begun,
    finish,
    write_history,
    write_identity,
)
from lookalike.training.trackers import KINDS, check_trackers, tracked

#: Panels of a run, about: each takes the time to read some pictures.
NUM_PANELS = 10


@joined()
def train(
    recipe: Recipe,
    catalog: Catalog | str | Path,
    directory: str | Path | None = None,
    *,
    judge_test: bool = True,
) -> Run:
    """Train an encoder on a catalog and judge it on classes it has never seen, beside the frozen backbone.

    A run that was stopped, in whatever way, is gone on with by the same call. On a CPU it ends with the same weights,
    to the bit, as one that was not.

    Started by torchrun it is one run in several processes, to rounding the same as in one. All return it; the words
    of its encoder are with the first, and in the directory.

    Args:
        recipe: all settings.
        catalog: with labels; its split column (train / validation / test) is used if there is one, else classes are
            held out by the recipe's shares.
        directory: of the run; `runs/<time>` by default. Must be empty, new, or hold this run, not finished.
        judge_test: without it the test classes are left alone, for whoever chooses between runs: no test figures, no
            report, and no search by words, which would be judged on them.

    Raises:
        LookalikeError: something the user can mend: the catalog, a setting, weights, or a loss that is not finite.
        KeyboardInterrupt: the run was stopped; its directory holds the best encoder so far.
    """
    catalog = catalog if isinstance(catalog, Catalog) else Catalog.read(catalog)
    directory = from_first(lambda: Path(directory or Path("runs") / f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}"))
    recipe = with_image_size(recipe, catalog)
    items = labeled_items(recipe, catalog)
    check_inputs(recipe, items.catalog)
    check_trackers(recipe.training.trackers)
    if recipe.training.feedback:
        read_feedback(recipe.training.feedback)
    torch.manual_seed(recipe.training.seed)
    encoder = build_encoder(recipe.encoder).to(_device(recipe.training.device))
    check_forward(encoder, recipe.training)
    identity = identity_of(recipe, catalog, encoder, judge_test=judge_test)
    with ExitStack() as held:
        from_first(lambda: held.enter_context(begun(directory, identity)))
        return _run(recipe, items, encoder, directory, identity)


def _run(recipe: Recipe, items: LabeledItems, encoder: Encoder, directory: Path, identity: dict[str, Any]) -> Run:
    checkpoints = Checkpoints(directory / CHECKPOINTS, recipe.training.checkpoint_minutes)
    data = first_then_all(partial(prepare, recipe, items, encoder))
    check_same(sha256(data.training_labels.tobytes()), "the classes made from the descriptions")
    if recipe.training.start == "geometry":
        encoder.head.fit_geometry(torch.from_numpy(data.features[data.training]))
    start = encoder.embed_feature_array(data.features[data.training])
    # Asked for only where a loss takes text, and made once: a text encoder may be trained for them.
    side_vectors = cache(partial(from_first, partial(_side_vectors, recipe, data)))
    loss = _loss(recipe, data, start, side_vectors)
    batches = _items(recipe, data, encoder, loss, start, side_vectors)
    if recipe.training.feedback:
        loss, batches = with_feedback(recipe, data.training_catalog, loss, batches)
    if rank() == 0:
        write_identity(directory, identity)  # nothing is left behind by what was refused so far
        recipe.save(directory / RECIPE)
    result = _fit(recipe, data, encoder, loss, batches, directory, checkpoints)

    def finished() -> dict[str, Any]:
        words = fit_words(recipe, data, encoder) if identity["judge_test"] else None
        calibration = fit_calibration(recipe, data, encoder) if identity["judge_test"] else None
        encoder.save(directory / ENCODER)
        judged = judge(recipe, data, encoder) if identity["judge_test"] else NOT_JUDGED
        metrics = metrics_of(recipe, data, encoder, result, judged) | {"seconds": round(checkpoints.seconds, 1)}
        metrics |= {"words": words} if words else {}
        metrics |= {"calibration": calibration} if calibration else {}
        metrics |= {"weak_labels": items.weak.to_dict()} if items.weak else {}
        if judged.protocols:
            shape = geometry_of(loss, lambda: embed_rows(recipe, data, encoder, data.training), data.training_labels)
            report(directory / REPORT, data, judged, metrics, result.history, shape)
        finish(directory, metrics)
        return metrics

    return Run(directory, encoder, from_first(finished))


def _device(name: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        raise TrainingError(f"training.device = {name!r}: there is none here; take 'auto' or 'cpu'")
    return local_device(name)


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
    for proxies in tables if recipe.training.start == "geometry" else ():
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
    of_items = side_vectors().scaled(recipe.text.scaling).vectors if "side_vectors" in loss.inputs else None
    batches = build_batches(recipe, data, loss, side_vectors)
    inputs = first_then_all(partial(build_inputs, recipe, data, encoder))
    item_ids = data.training_catalog.column("item_id")
    return TrainingItems(inputs, batches, data.training_labels, of_items, start, item_ids)


def _fit(
    recipe: Recipe,
    data: RunData,
    encoder: Encoder,
    loss: Loss,
    items: TrainingItems,
    directory: Path,
    checkpoints: Checkpoints,
) -> Fit:
    validation = Validation(recipe, data, encoder)
    drawn_every = -(-recipe.training.epochs // NUM_PANELS)
    start = first_then_all(checkpoints.last)
    history = start["result"]["history"] if start else []
    if rank() == 0:
        write_history(directory, history)

    def panel_of(row: Row) -> Path:
        kind = next((f"_{kind}" for kind in KINDS if kind in row), "")  # of these none is drawn
        return directory / PANELS / f"epoch_{row['epoch']:03d}{kind}.jpg"

    def on_epoch(row: Row, is_best: bool) -> None:
        append_history(directory, row)
        if is_best:  # so that a run stopped in any way leaves a usable encoder
            encoder.save(directory / ENCODER)
        if row["epoch"] % drawn_every == 0 and row.keys().isdisjoint(KINDS):
            validation.draw(panel_of(row))
        tell(row)

    try:
        with tracked(recipe.training.trackers if rank() == 0 else [], directory, history, panel_of) as tell:
            return fit(encoder, loss, items, recipe.training, validation, on_epoch, checkpoints, start)
    except KeyboardInterrupt:
        note(
            f"stopped; the same command with --run {directory} goes on from here. It holds the best weights so far: "
            f"lookalike evaluate CATALOG --run {directory}"
        )
        raise
