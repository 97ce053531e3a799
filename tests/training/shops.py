"""A tiny fit of everything that has a state: for tests that stop it and go on."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lookalike.catalog.batches import ClassBatches
from lookalike.encoders import Encoder
from lookalike.losses import DensityAwareLineLoss, Loss, NormalizedSoftmaxLoss, WeightedSum, from_pml
from lookalike.losses.density import Groups, RunningDensities, densities
from lookalike.losses.memory import CrossBatchMemory
from lookalike.losses.triplet import TripletLoss
from lookalike.training import TrainingSettings
from lookalike.training.best import Fit, Row
from lookalike.training.fit import fit
from lookalike.training.inputs import FeatureInputs, Inputs
from lookalike.training.items import TrainingItems
from lookalike.training.resume import Checkpoints

CLASSES, PER_CLASS, DIM = 6, 8, 4


class Dropped(Loss):
    """The softmax of what chance leaves of the embeddings; remembers densities. Chance is torch's, and Python's."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = NormalizedSoftmaxLoss(CLASSES, DIM)
        self.running = RunningDensities(CLASSES)
        self.calls = 0
        self.register_buffer("last", torch.zeros(DIM), persistent=False)

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        groups = Groups.of(labels)
        self.running(groups, densities(embeddings.detach(), groups, 0.5))
        kept = embeddings * (torch.rand_like(embeddings) < 0.8) * (1 + 0.1 * np.random.random()) + 0.1 * self.last
        self.last = embeddings.detach().mean(dim=0)
        weight = self.running.densities[labels].mean()
        return {"softmax": self.softmax(kept, labels) * (1 + weight / self.calls)}


def make_loss() -> Loss:
    memory = from_pml("ContrastiveLoss", CLASSES, DIM, memory_size=40)
    parts: dict[str, tuple[float, Loss]] = {
        "dropped": (1.0, Dropped()),
        "lines": (0.5, DensityAwareLineLoss(CLASSES, DIM)),
        "memory": (0.5, memory),
        "ours": (0.5, CrossBatchMemory(TripletLoss(), 30, after_steps=3)),
    }
    return WeightedSum(parts)


class NoisyPictures:
    """Pictures of 32 px; counts those that were asked for."""

    def __init__(self, labels: np.ndarray) -> None:
        rng = np.random.default_rng(1)
        self.pictures = torch.from_numpy(rng.integers(0, 256, (CLASSES, 3, 32, 32))[labels].astype(np.uint8))
        self.asked = 0

    def batches(self, epoch: int, batches: Any) -> Any:
        for rows in batches:
            self.asked += len(rows)
            noise = [np.random.default_rng([epoch, row]).integers(-30, 30, (3, 32, 32)) for row in rows]
            noisy = self.pictures[rows].int() + torch.from_numpy(np.stack(noise))
            yield rows, noisy.clamp(0, 255).to(torch.uint8)


def make_items(encoder: Encoder, pictures: bool) -> TrainingItems:
    labels = np.arange(CLASSES * PER_CLASS) % CLASSES
    rng = np.random.default_rng(0)
    features = rng.normal(size=(CLASSES, encoder.feature_dim))[labels] + rng.normal(
        size=(len(labels), encoder.feature_dim)
    )
    inputs: Inputs = NoisyPictures(labels) if pictures else FeatureInputs(features.astype(np.float32))
    ids = [f"item {row}" for row in range(len(labels))]
    return TrainingItems(inputs, ClassBatches(labels, 3, 4, seed=0), labels, item_ids=ids)


def settings_of(pictures: bool, **more: Any) -> TrainingSettings:
    given = {"epochs": 3, "tune_backbone": pictures, "freeze_batchnorm": False, "average_decay": 0.9}
    return TrainingSettings(**(given | {"head_learning_rate": 0.05, "checkpoint_minutes": 0} | more))


def run_fit(
    pictures: bool,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[Row, bool], None] = lambda row, best: None,
    **more: Any,
) -> tuple[Encoder, Loss, Fit]:
    """A fit from its beginning, or from the last checkpoint."""
    torch.manual_seed(0)
    np.random.seed(0)
    encoder = Encoder.create("test_resnet", DIM, pretrained=False, image_size=32)
    loss, items = make_loss(), make_items(encoder, pictures)

    def judge() -> Row:
        # Any number that the weights decide: up and down, so that the best are somewhere in between.
        return {"validation": math.sin(300 * float(encoder.head.linear.weight.detach().abs().mean()))}

    start = checkpoints.last() if checkpoints else None
    return encoder, loss, fit(encoder, loss, items, settings_of(pictures, **more), judge, on_epoch, checkpoints, start)


def told_apart(found: tuple[Encoder, Loss, Fit], expected: tuple[Encoder, Loss, Fit]) -> list[str]:
    """What differs, in any bit, of two fits: weights, buffers, the state of the loss, the history besides seconds."""
    names = []
    for mine, theirs in ((found[0], expected[0]), (found[1], expected[1])):
        states = mine.state_dict(), theirs.state_dict()
        names += [
            name
            for name in states[0].keys() | states[1].keys()
            if name not in states[0] or name not in states[1] or not torch.equal(states[0][name], states[1][name])
        ]
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in fit.history] for fit in (found[2], expected[2])
    ]
    return names + ([] if rows[0] == rows[1] else ["history"])


def folder_of(path: Path) -> Checkpoints:
    return Checkpoints(path / "checkpoints", 0)
