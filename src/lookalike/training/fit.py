"""Epoch after epoch: train, judge on held-out classes, keep the best."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lookalike.catalog.batches import ClassBatches
from lookalike.encoders import Encoder
from lookalike.errors import TrainingError
from lookalike.losses import Loss
from lookalike.progress import progress_bar
from lookalike.training.batch import Batch
from lookalike.training.inputs import Inputs
from lookalike.training.loop import Terms, train_steps
from lookalike.training.optimizer import build_optimizer, build_schedule, learning_rates
from lookalike.training.settings import TrainingSettings

Row = dict[str, Any]
#: How much of the trained weights a blend has; the rest is the start's.
BLENDS = (0.25, 0.5, 0.75)


@dataclass
class Fit:
    """How a fit went so far; the encoder's best weights are kept here.

    Attributes:
        history: one row per epoch, epoch 0 being the state before the first step.
        best: the row whose weights the encoder ends with; its "validation" is None without held-out classes.
    """

    history: list[Row] = field(default_factory=list)
    best: Row = field(default_factory=dict)
    start_state: dict[str, Tensor] = field(default_factory=dict)
    best_state: dict[str, Tensor] = field(default_factory=dict)

    def add(self, row: Row, encoder: Encoder) -> bool:
        """Note a row, and keep its weights if they are the best so far (without scores: the latest)."""
        self.history.append(row)
        score, best = row["validation"], self.best.get("validation")
        if score is not None and best is not None and score <= best:
            return False
        self.best, self.best_state = row, copy.deepcopy(encoder.state_dict())
        self.start_state = self.start_state or self.best_state
        return True

    def restore_best(self, encoder: Encoder) -> None:
        """Put the best weights back; before the first row there is nothing to put back."""
        if self.best_state:
            encoder.load_state_dict(self.best_state)


@dataclass(frozen=True)
class TrainingItems:
    """What is trained on: inputs and labels by row, and the batches of row numbers."""

    inputs: Inputs
    batches: ClassBatches
    labels: np.ndarray
    side_vectors: np.ndarray | None = None
    start_embeddings: np.ndarray | None = None

    @property
    def available(self) -> list[str]:
        """The batch fields that are there."""
        return ["labels", *(name for name in ("side_vectors", "start_embeddings") if getattr(self, name) is not None)]

    def epoch(self, number: int, device: torch.device) -> Iterator[Batch]:
        """The batches of one epoch, on the device."""
        for rows, inputs in self.inputs.batches(number, self.batches.epoch(number)):
            fields = {name: torch.from_numpy(getattr(self, name)[rows]).to(device) for name in self.available}
            yield Batch(inputs.to(device, non_blocking=True), **fields)


def fit(
    encoder: Encoder,
    loss: Loss,
    items: TrainingItems,
    settings: TrainingSettings,
    score: Callable[[], float] | None,
    on_epoch: Callable[[Row, bool], None],
) -> Fit:
    """Train head and loss, and the backbone if the settings say so. The encoder ends with its best weights.

    Args:
        encoder: on its device; changed in place.
        loss: changed in place.
        items: what is trained on.
        settings: how.
        score: judges the encoder on held-out classes, higher is better; without it the last epoch is kept.
        on_epoch: told after each epoch of its history row, and whether it is the best so far.

    Raises:
        TrainingError: the loss or a gradient is not finite; the encoder then has its best weights so far.
    """
    result = Fit()
    try:
        for row, is_best in _epochs(result, encoder, loss.to(encoder.device), items, settings, score):
            on_epoch(row, is_best)
    finally:  # also on Ctrl-C and on a loss that is not finite
        result.restore_best(encoder)
        encoder.eval().requires_grad_(False)
    return result


def _epochs(
    result: Fit,
    encoder: Encoder,
    loss: Loss,
    items: TrainingItems,
    settings: TrainingSettings,
    score: Callable[[], float] | None,
) -> Iterator[tuple[Row, bool]]:
    device = encoder.device
    optimizer = build_optimizer(encoder, loss, settings)
    steps = len(items.batches)
    schedule = build_schedule(optimizer, steps * settings.epochs, warmup_steps=min(steps, 50))
    autocast, scaler = _precision(device, settings)
    embed = encoder if settings.tune_backbone else encoder.embed_features
    yield _record(result, {"epoch": 0}, encoder, score)
    with progress_bar() as bar:
        task = bar.add_task("training", total=steps * settings.epochs, note="")
        for epoch in range(1, settings.epochs + 1):
            started = time.monotonic()
            _set_modes(encoder, settings, epoch)
            totals: list[Terms] = []
            for terms in train_steps(
                embed,
                loss.train(),
                items.epoch(epoch, device),
                optimizer,
                schedule,
                scaler,
                available=items.available,
                autocast=autocast,
                max_norm=settings.max_gradient_norm,
            ):
                totals.append(terms)
                bar.advance(task)
            row = {"epoch": epoch, "steps": len(totals), "terms": _means(totals, epoch)}
            row |= {"learning_rates": learning_rates(optimizer), "seconds": round(time.monotonic() - started, 3)}
            recorded = _record(result, row, encoder, score)
            bar.update(task, completed=steps * epoch, note=_note(row, settings.epochs))
            yield recorded
    if score is not None:
        yield from _blends(result, encoder, score)


def _blends(result: Fit, encoder: Encoder, score: Callable[[], float]) -> Iterator[tuple[Row, bool]]:
    """Judge mixtures of the first and the last weights too.

    What training adds for its own classes it takes from others; a mixture often keeps both (Wortsman et al., Robust
    fine-tuning of zero-shot models, CVPR 2022).
    """
    last = copy.deepcopy(encoder.state_dict())
    for share in BLENDS:
        mixed = {
            name: torch.lerp(first, last[name], share) if first.is_floating_point() else last[name]
            for name, first in result.start_state.items()
        }
        encoder.load_state_dict(mixed)
        yield _record(result, {"epoch": result.history[-1]["epoch"], "blend": share}, encoder, score)


def _record(result: Fit, row: Row, encoder: Encoder, score: Callable[[], float] | None) -> tuple[Row, bool]:
    row["validation"] = None if score is None else score()
    return row, result.add(row, encoder)


def _set_modes(encoder: Encoder, settings: TrainingSettings, epoch: int) -> None:
    tuning = settings.tune_backbone and epoch > settings.warmup_epochs
    encoder.head.train().requires_grad_(True)
    encoder.backbone.train(tuning).requires_grad_(tuning)
    if settings.freeze_batchnorm:
        for module in encoder.backbone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _precision(
    device: torch.device, settings: TrainingSettings
) -> tuple[Callable[[], AbstractContextManager[None]], torch.amp.GradScaler]:
    """Half precision on a GPU: bfloat16 where it is native, else float16 with a scaler."""
    if device.type != "cuda" or not settings.half_precision:
        return nullcontext, torch.amp.GradScaler(enabled=False)
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    scaler = torch.amp.GradScaler("cuda", enabled=dtype == torch.float16)
    return lambda: torch.autocast("cuda", dtype), scaler


def _means(totals: list[Terms], epoch: int) -> dict[str, float]:
    if not totals:
        raise TrainingError(f"epoch {epoch} had no batch; there is nothing to train on")
    return {name: float(torch.stack([terms[name] for terms in totals]).mean()) for name in totals[0]}


def _note(row: Row, epochs: int) -> str:
    judged = "" if row["validation"] is None else f", validation {row['validation']:.3f}"
    return f"epoch {row['epoch']}/{epochs}, loss {sum(row['terms'].values()):.3f}{judged}"
