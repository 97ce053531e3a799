"""The loop: it lowers the loss, yields what came of each step, leaves out what is not finite, and never waits."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lookalike.errors import TrainingError
from lookalike.losses import Loss, NormalizedSoftmaxLoss
from lookalike.training.batch import Batch, inputs_of
from lookalike.training.loop import Step, train_steps


class NeedsText(Loss):
    def terms(self, embeddings: Tensor, labels: Tensor, *, side_vectors: Tensor) -> dict[str, Tensor]:
        return {"text": (embeddings.mean() - side_vectors.mean()) ** 2}


class Explodes(Loss):
    """Its second term is as given at the n-th call, and else nothing."""

    def __init__(self, value: float, call: int = 1) -> None:
        super().__init__()
        self.value, self.call, self.calls = value, call, 0

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        return {"fine": embeddings.sum(), "bad": embeddings.sum() * (self.value if self.calls == self.call else 0)}


class Reads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, which waits for the device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def steps(
    loss: Loss,
    batches: int = 1,
    max_norm: float = 1.0,
    available: list[str] | None = None,
    model: nn.Module | None = None,
    autocast: Any = nullcontext,
) -> Iterator[Step]:
    torch.manual_seed(0)
    model = model or nn.Linear(8, 4)
    labels = torch.arange(12) % 3
    inputs = torch.randn(3, 8)[labels] + 0.1 * torch.randn(12, 8)
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()], lr=0.05, fused=True)
    return train_steps(
        model,
        loss,
        [Batch(inputs, labels)] * batches,
        optimizer,
        torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
        torch.amp.GradScaler(enabled=False),
        available=available or ["labels"],
        autocast=autocast,
        max_norm=max_norm,
    )


def test_the_loss_falls_and_every_step_yields_its_terms() -> None:
    done = list(steps(NormalizedSoftmaxLoss(3, 4), batches=40))
    assert len(done) == 40
    assert set(done[0].terms) == {"softmax"}
    assert done[-1].terms["softmax"] < 0.2 * done[0].terms["softmax"]
    assert not any(step.skipped for step in done)
    assert not any(tensor.requires_grad for tensor in (done[0].terms["softmax"], done[0].total, done[0].norm))


def test_a_step_is_that_of_a_plain_loop() -> None:
    torch.manual_seed(1)
    model, plain = nn.Linear(8, 4), nn.Linear(8, 4)
    plain.load_state_dict(model.state_dict())
    done = list(steps(Explodes(0.5), batches=1, max_norm=0.7, model=model))
    torch.manual_seed(0)
    labels = torch.arange(12) % 3
    inputs = torch.randn(3, 8)[labels] + 0.1 * torch.randn(12, 8)
    (1.5 * plain(inputs).sum()).backward()
    norm = torch.cat([p.grad.flatten() for p in plain.parameters()]).norm()  # type: ignore[union-attr]
    torch.testing.assert_close(done[0].norm, norm)
    assert norm > 0.7
    for p in plain.parameters():
        p.grad *= 0.7 / norm
    torch.optim.AdamW(plain.parameters(), lr=0.05).step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_left_out_and_the_next_is_not(value: float) -> None:
    torch.manual_seed(1)
    model = nn.Linear(8, 4)
    before = [p.detach().clone() for p in model.parameters()]
    going = steps(Explodes(value), batches=2, model=model)
    step = next(going)
    assert step.skipped
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert not next(going).skipped
    assert not any(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_an_infinite_gradient_of_a_finite_loss_is_left_out() -> None:
    class Root(Loss):
        def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
            return {"root": (embeddings * 0).abs().sum().sqrt()}

    (step,) = steps(Root())
    assert step.skipped and step.total == 0 and step.norm.isnan()


def test_no_step_waits_for_the_device() -> None:
    with Reads() as reads:
        assert len(list(steps(Explodes(float("nan"), call=2), batches=5))) == 5
        assert reads.count == 0
        torch.ones(1).item()
        assert reads.count == 1


def test_loss_and_proxies_are_in_float32_whatever_the_encoder_is_in() -> None:
    class Watched(NormalizedSoftmaxLoss):
        def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
            assert embeddings.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
            seen.append((embeddings.detach().clone(), self.proxies.weight.detach().clone()))
            return super().terms(embeddings, labels)

    seen: list[tuple[Tensor, Tensor]] = []
    loss = Watched(3, 4)
    (step,) = steps(loss, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    embeddings, proxies = seen[0]
    assert torch.equal(embeddings, embeddings.bfloat16().float())  # the encoder was in half precision
    assert loss.proxies.weight.dtype == loss.proxies.weight.grad.dtype == torch.float32  # type: ignore[union-attr]
    expected = NormalizedSoftmaxLoss(3, 4)
    expected.proxies.weight.data = proxies
    assert step.total == expected(embeddings, torch.arange(12) % 3)


def test_a_loss_is_refused_before_the_first_step_what_it_needs_is_missing() -> None:
    with pytest.raises(TrainingError, match="NeedsText needs side_vectors, and this run has none: add a text column"):
        next(steps(NeedsText()))


def test_a_loss_gets_only_what_it_takes() -> None:
    assert inputs_of(NeedsText(), ["labels", "side_vectors"]) == ["labels", "side_vectors"]
    assert inputs_of(NormalizedSoftmaxLoss(3, 4), ["labels", "side_vectors"]) == ["labels"]
