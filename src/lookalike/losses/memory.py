"""CrossBatchMemory: a loss that compares items is given those of earlier batches too."""

import inspect
from typing import Any

import torch
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import ANCHORS, Loss


class CrossBatchMemory(Loss):
    r"""Gives a loss that compares items many more of them: embeddings of earlier batches, without gradient.

    For triplets with batches too small to hold hard ones. The weights move slowly, so an embedding of some batches ago
    is nearly what it would be now; a run that begins from nothing should wait with `after_steps`.

    .. math:: L = L_{pairs}(\text{anchors } x_1 \dots x_B; \text{ others } x_1 \dots x_B, \hat x_1 \dots \hat x_M)

    in formula | in code    | what it is, shape, unit, range
    x          | embeddings | (batch, dim), whatever the loss takes
    x-hat      |            | the M newest embeddings of earlier batches, M <= size, with their labels and side vectors
    L_pairs    | loss       | TripletLoss or AdaptiveTripletLoss

    Items of the batch are the anchors; what is remembered is positive or negative of theirs. Only while training is
    anything remembered.

    Needs: what the loss needs.
    Terms: those of the loss.
    Args: size: how many items are remembered, at least 1; after_steps: batches before anything is.
    State: what is remembered, and the number of batches: a run that is gone on with has its memory.
    Raises: LossInputError: a setting out of range, or the loss compares no items.
    Limits (tested): the first batch => the loss alone; an encoder that stands still => the loss of one big batch, of
    which the last items are the anchors.
    Cost: time that of the loss for B anchors and B + M others, memory O(M (D + T)).
    Source: Wang, Zhang, Huang, Scott, CVPR 2020, arXiv 1912.06798 [paper]; the batch itself with gradient beside the
    memory instead of in it, side vectors remembered too [ours].

    >>> from lookalike.losses import TripletLoss
    >>> loss = CrossBatchMemory(TripletLoss(margin=1.0), size=8)
    >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> loss(x, y).item(), loss(x, y + 1).item()  # alone in its batch; as near to what is remembered as to its own
    (0.0, 1.0)
    """

    #: By the name under which the loss takes them; None before anything is remembered.
    embeddings: Tensor | None
    labels: Tensor | None
    side_vectors: Tensor | None

    def __init__(self, loss: Loss, size: int, after_steps: int = 0) -> None:
        super().__init__()
        if size < 1 or after_steps < 0:
            raise LossInputError(f"a memory needs size >= 1 and after_steps >= 0, not {size} and {after_steps}")
        if not compares_items(type(loss)):
            raise LossInputError(
                f"{type(loss).__name__} does not compare the items of a batch, so it has no use for a memory of them: "
                "leave the memory out, or take a triplet loss"
            )
        self.loss, self.size, self.after_steps, self.steps = loss, size, after_steps, 0
        for name in ("embeddings", *loss.inputs):
            self.register_buffer(name, None)
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    def terms(self, embeddings: Tensor, labels: Tensor | None = None, **inputs: Any) -> dict[str, Tensor]:
        """The terms of the loss, with the batch as anchors."""
        given = {"embeddings": embeddings, "labels": labels, **inputs}
        joined = {name: self._joined(name, tensor) for name, tensor in given.items() if tensor is not None}
        terms = self.loss.terms(**joined, anchors=len(embeddings))
        if self.training:
            self.steps += 1
            if self.steps > self.after_steps:
                for name, tensor in joined.items():  # a step that is not finite must not spoil those after it
                    setattr(self, name, tensor[: self.size].detach().nan_to_num(0.0, 0.0, 0.0))
        return terms

    @property
    def inputs(self) -> dict[str, bool]:
        """What the loss takes."""
        return self.loss.inputs

    def get_extra_state(self) -> Tensor:
        """The number of batches, for the state dict."""
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        """Take it from a state dict."""
        self.steps = int(state)

    def _joined(self, name: str, tensor: Tensor) -> Tensor:
        """Of the batch, then what is remembered, the newest first."""
        kept: Tensor | None = getattr(self, name)
        return tensor if kept is None else torch.cat([tensor, kept.to(tensor)])


def compares_items(loss: type[Loss]) -> bool:
    """Whether a loss takes items that are no anchors."""
    return ANCHORS in inspect.signature(loss.terms).parameters


def _make_room(memory: Any, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Make the buffers as large as those about to be loaded; none for those that are not there."""
    for name in ("embeddings", *memory.inputs):
        stored = state.get(prefix + name)
        setattr(memory, name, None if stored is None else torch.empty_like(stored))
