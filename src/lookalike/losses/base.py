"""Loss: what every loss is; WeightedSum: losses added up."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lookalike.errors import LossInputError

#: The argument of a loss that compares items: only the first so many are anchors (see CrossBatchMemory).
ANCHORS = "anchors"


class Loss(nn.Module, ABC):
    """A number that says how wrong a batch of embeddings is. A subclass writes `terms` and nothing else of this class.

    What is fixed for the run (class text vectors) enters the constructor; what changes with the batch (labels, side
    vectors) enters `terms`, whose signature is the declaration of what the loss needs. Where its settings decide that
    too (AdaptiveAdditiveSoftmaxLoss, WeightedSum) it writes `inputs` as well.

    Attributes:
        class_axes: of a loss with `Proxies` that can share the classes out over processes: which of its own tensors
            count classes, and along which axis. None: it needs all of them in one place.
    """

    class_axes: ClassVar[Mapping[str, int] | None] = None

    @abstractmethod
    def terms(self, *args: Any, **inputs: Any) -> dict[str, Tensor]:
        """Named scalar terms; the loss is their sum."""

    def forward(self, embeddings: Tensor, *args: Any, **inputs: Any) -> Tensor:
        """The loss of a batch: `loss(embeddings, labels, side_vectors=...)` -> scalar; under autocast as without it."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return torch.stack(list(self.terms(embeddings, *args, **inputs).values())).sum()

    @property
    def inputs(self) -> dict[str, bool]:
        """What `terms` takes of a batch besides the embeddings: name -> must it be there?"""
        parameters = list(inspect.signature(self.terms).parameters.values())[1:]
        return {p.name: p.default is p.empty for p in parameters if p.name != ANCHORS}


class WeightedSum(Loss):
    """Several losses at once: the weighted sum of their terms, each part given only the inputs it takes.

    Args:
        parts: name -> (weight, loss). Parts may share one `Proxies`.

    Terms: "<part>.<term>", already weighted.
    """

    def __init__(self, parts: Mapping[str, tuple[float, Loss]]) -> None:
        super().__init__()
        if not parts:
            raise LossInputError("a WeightedSum needs at least one loss")
        self.weights = {name: weight for name, (weight, _) in parts.items()}
        self.parts = nn.ModuleDict({name: loss for name, (_, loss) in parts.items()})

    def terms(self, embeddings: Tensor, labels: Tensor | None = None, **inputs: Any) -> dict[str, Tensor]:
        """The terms of all parts."""
        if labels is not None:
            inputs["labels"] = labels
        unknown = sorted(inputs.keys() - self.inputs.keys())
        if unknown:  # as of any loss: a misspelt name must not pass for one that was left out
            raise TypeError(
                f"no part of this WeightedSum takes {', '.join(unknown)}; they take {', '.join(self.inputs)}"
            )
        terms: dict[str, Tensor] = {}
        for name, weight in self.weights.items():
            loss = self.parts[name]
            assert isinstance(loss, Loss)
            own = {key: inputs[key] for key in loss.inputs if key in inputs}
            terms |= {f"{name}.{term}": weight * value for term, value in loss.terms(embeddings, **own).items()}
        return terms

    @property
    def inputs(self) -> dict[str, bool]:
        """What any of the parts takes; needed if one part needs it."""
        union: dict[str, bool] = {}
        for loss in self.parts.values():
            assert isinstance(loss, Loss)
            for name, needed in loss.inputs.items():
                union[name] = union.get(name, False) or needed
        return union


def check_batch(embeddings: Tensor, labels: Tensor, num_classes: int | None = None) -> Tensor:
    """Refuse inputs no loss can work with; returns the labels as int64.

    Raises:
        LossInputError: wrong shapes, labels that are no integers, or (given `num_classes`) labels outside 0..C-1; of
            these last, compiled code raises torch's RuntimeError.
    """
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise LossInputError(
            f"a loss takes embeddings [B, D] and labels [B], not {tuple(embeddings.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise LossInputError(f"labels must be integers, not {labels.dtype}: class numbers above 2^24 collide as floats")
    if num_classes is None or not len(labels):
        return labels.long()
    if torch.compiler.is_compiling():  # to look at a number here would break the graph in two
        inside = ((labels >= 0) & (labels < num_classes)).all()
        torch._assert_async(inside, f"labels must lie in 0..{num_classes - 1}")
    elif not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise LossInputError(
            f"labels must lie in 0..{num_classes - 1}, but span {int(labels.min())}..{int(labels.max())}"
        )
    return labels.long()
