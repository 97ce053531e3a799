"""The loop, all of it: a generator that yields the terms of each step. Logging, judging and saving are the caller's."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lookalike.errors import TrainingError
from lookalike.losses import Loss
from lookalike.training.batch import Batch, inputs_of

Terms = dict[str, Tensor]


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
) -> Iterator[Terms]:
    """Go through the batches once.

    Args:
        embed: inputs of a batch to embeddings [B, D].
        loss: what is made smaller.
        batches: on the right device already.
        optimizer: over the parameters of both.
        schedule: stepped once a batch.
        scaler: for float16; does nothing else.
        available: the batch fields that are there.
        autocast: context in which embeddings are computed; the loss is computed outside of it.
        max_norm: gradients are scaled down to this norm.

    Raises:
        TrainingError: the loss needs what is not available, or a loss or gradient is not a finite number.
    """
    names = inputs_of(loss, available)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for step, batch in enumerate(batches):
        with autocast():
            embeddings = embed(batch.inputs)
        terms = loss.terms(embeddings.float(), **{name: getattr(batch, name) for name in names})
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(total).backward()
        scaler.unscale_(optimizer)
        norm = clip_grad_norm_(parameters, max_norm)
        # Under a scaler an infinite gradient is its way to find the scale, and the step is skipped by it.
        if not torch.isfinite(total) or not (torch.isfinite(norm) or scaler.is_enabled()):
            raise TrainingError(_diagnosis(step, terms, norm))
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        yield {name: value.detach() for name, value in terms.items()}


def _diagnosis(step: int, terms: Terms, norm: Tensor) -> str:
    values = ", ".join(f"{name} = {value.item():.4g}" for name, value in terms.items())
    return (
        f"at batch {step + 1} of the epoch the loss is not finite or its gradient is not ({values}; gradient norm "
        f"{norm.item():.4g}): lower the learning rates or loss.scale"
    )
