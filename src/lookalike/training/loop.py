"""The loop, all of it: a generator that yields what came of each step. Logging, judging and saving are the caller's."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lookalike.losses import Loss
from lookalike.training.batch import Batch, inputs_of
from lookalike.training.distributed import add_up_gradients, clip_gradients, gathered, own_random_numbers

Terms = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """What came of a step. Scalars on the device: to read one waits for the device, so it is the caller's choice when.

    Attributes:
        terms: of the loss, by name.
        total: the loss.
        norm: of its gradient, before it was scaled down.
        skipped: the loss or its gradient was not finite, and no weight was changed.
    """

    terms: Terms
    total: Tensor
    norm: Tensor
    skipped: Tensor


def train_steps(
    embed: Callable[[Tensor], Tensor],
    loss: Loss,
    batches: Iterable[Batch],
    optimizer: Optimizer,
    schedule: LRScheduler,
    scaler: torch.amp.GradScaler,
    *,
    available: list[str],
    autocast: Callable[[], AbstractContextManager[None]],
    max_norm: float,
) -> Iterator[Step]:
    """Go through the batches once, without ever waiting for the device.

    Args:
        embed: inputs of a batch to embeddings [B, D].
        loss: what is made smaller.
        batches: on the right device already; of several processes each has the inputs of its piece, and all else whole.
        optimizer: over the parameters of both; a fused one, which alone can leave out a step by a number on the device.
        schedule: stepped once a batch.
        scaler: for float16; does nothing else.
        available: the batch fields that are there.
        autocast: context in which embeddings are computed; the loss is computed outside of it, in float32.
        max_norm: gradients are scaled down to this norm.

    Raises:
        TrainingError: the loss needs what is not available.
    """
    names = inputs_of(loss, available)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for batch in batches:
        with autocast(), own_random_numbers(schedule.last_epoch, batch.inputs.device):
            own = embed(batch.inputs)
        embeddings = gathered(own.float(), len(batch.labels))
        terms = loss.terms(embeddings, **{name: getattr(batch, name) for name in names})
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(total).backward()
        add_up_gradients(parameters, loss)
        scaler.unscale_(optimizer)
        norm = clip_gradients(parameters, loss, max_norm)
        skipped = ~(total.isfinite() & norm.isfinite())
        optimizer.found_inf = skipped.float()  # type: ignore[attr-defined]  # a scaler in use finds its own
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        yield Step({name: value.detach() for name, value in terms.items()}, total.detach(), norm, skipped)
