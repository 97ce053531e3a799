"""The loop: it lowers the loss, yields its terms, and stops at a loss that is not finite."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from lookalike.errors import TrainingError
from lookalike.losses import Loss, NormalizedSoftmaxLoss
from lookalike.training.batch import Batch, inputs_of
from lookalike.training.loop import train_steps


class NeedsText(Loss):
    def terms(self, embeddings: Tensor, labels: Tensor, *, side_vectors: Tensor) -> dict[str, Tensor]:
        return {"text": (embeddings.mean() - side_vectors.mean()) ** 2}


class Explodes(Loss):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"fine": embeddings.sum() * 0, "bad": embeddings.sum() * self.value}


def steps(
    loss: Loss, batches: int = 1, max_norm: float = 1.0, available: list[str] | None = None
) -> Iterator[dict[str, Tensor]]:
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    labels = torch.arange(12) % 3
    inputs = torch.randn(3, 8)[labels] + 0.1 * torch.randn(12, 8)
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()], lr=0.05)
    return train_steps(
        model,
        loss,
        [Batch(inputs, labels)] * batches,
        optimizer,
        torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
        torch.amp.GradScaler(enabled=False),
        available=available or ["labels"],
        autocast=nullcontext,
        max_norm=max_norm,
    )


def test_the_loss_falls_and_every_step_yields_its_terms() -> None:
    terms = list(steps(NormalizedSoftmaxLoss(3, 4), batches=40))
    assert len(terms) == 40
    assert set(terms[0]) == {"softmax"}
    assert terms[-1]["softmax"] < 0.2 * terms[0]["softmax"]
    assert not terms[0]["softmax"].requires_grad


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(value: float) -> None:
    with pytest.raises(
        TrainingError, match=r"at batch 1 .*not finite.*fine = .*, bad = (nan|-?inf).*lower the learning rates"
    ):
        list(steps(Explodes(value)))


def test_an_infinite_gradient_of_a_finite_loss_stops_the_run() -> None:
    class Root(Loss):
        def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
            return {"root": (embeddings * 0).abs().sum().sqrt()}

    with pytest.raises(TrainingError, match="gradient norm nan"):
        list(steps(Root()))


def test_a_loss_is_refused_before_the_first_step_what_it_needs_is_missing() -> None:
    with pytest.raises(TrainingError, match="NeedsText needs side_vectors, and this run has none: add a text column"):
        next(steps(NeedsText()))


def test_a_loss_gets_only_what_it_takes() -> None:
    assert inputs_of(NeedsText(), ["labels", "side_vectors"]) == ["labels", "side_vectors"]
    assert inputs_of(NormalizedSoftmaxLoss(3, 4), ["labels", "side_vectors"]) == ["labels"]
