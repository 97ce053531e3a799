"""Batch, and what a loss wants of it."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from lookalike.errors import TrainingError
from lookalike.losses import Loss


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees. The fields after `inputs` are the whole vocabulary of loss inputs."""

    inputs: Tensor  # uint8 pictures [B, 3, S, S], or features [B, F] of a frozen backbone
    labels: Tensor  # int64 [B], class numbers 0..C-1
    side_vectors: Tensor | None = None  # float32 [B, T]
    start_embeddings: Tensor | None = None  # float32 [B, D], of the same items before training


REMEDIES = {
    "side_vectors": "add a text column to the catalog, or choose a loss without text",
    "labels": "add a label column to the catalog",
}


def inputs_of(loss: Loss, available: Collection[str]) -> list[str]:
    """The batch fields this loss is given.

    Raises:
        TrainingError: it needs one that is not available; the sentence says how to get it.
    """
    for name, needed in loss.inputs.items():
        if needed and name not in available:
            remedy = REMEDIES.get(name, "choose another loss")
            raise TrainingError(f"{type(loss).__name__} needs {name}, and this run has none: {remedy}")
    return [name for name in loss.inputs if name in available]
