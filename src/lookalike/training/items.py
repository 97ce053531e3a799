"""What is trained on: inputs and labels by row, and the batches of row numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, tee

import numpy as np
import torch

from lookalike.catalog.batches import Batches
from lookalike.training.batch import Batch
from lookalike.training.distributed import own_rows
from lookalike.training.inputs import Inputs

#: Items named of a batch in which something went wrong.
NAMED = 4


@dataclass(frozen=True)
class TrainingItems:
    """What is trained on: inputs and labels by row, and the batches of row numbers."""

    inputs: Inputs
    batches: Batches
    labels: np.ndarray
    side_vectors: np.ndarray | None = None
    start_embeddings: np.ndarray | None = None
    #: How the user calls the items; without it they are told by row.
    item_ids: list[str] | None = None

    @property
    def available(self) -> list[str]:
        """The batch fields that are there."""
        return ["labels", *(name for name in ("side_vectors", "start_embeddings") if getattr(self, name) is not None)]

    def epoch(self, number: int, device: torch.device, done: int = 0) -> Iterator[Batch]:
        """The batches of one epoch after the first `done`, on the device. What is left out is not even read.

        Of several processes each has the inputs of its own piece of a batch, and all else of the whole batch.
        """
        wholes, others = tee(islice(self.batches.epoch(number), done, None))
        for rows, (_, inputs) in zip(wholes, self.inputs.batches(number, map(own_rows, others)), strict=True):
            fields = {name: torch.from_numpy(getattr(self, name)[rows]).to(device) for name in self.available}
            yield Batch(inputs.to(device, non_blocking=True), **fields)

    def named(self, epoch: int, batch: int) -> str:
        """Which items a batch of an epoch, counted from 0, is made of, for people: the first few."""
        rows = next(islice(self.batches.epoch(epoch), batch, None))
        first = [repr(self.item_ids[row]) if self.item_ids else f"row {row}" for row in rows[:NAMED]]
        return ", ".join(first) + (f" and {len(rows) - NAMED} more" if len(rows) > NAMED else "")
