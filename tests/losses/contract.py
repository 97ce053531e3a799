"""What every loss must do. Each check takes a case and fails if the loss does not."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pkgutil import resolve_name
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import functional_call

from lookalike.errors import LossInputError
from lookalike.losses import Loss
from tests.losses.batches import generic
from tests.losses.cases import DIM, NUM_CLASSES, Case, axes_of

Check = Callable[[Case], None]
CHECKS: dict[str, Check] = {}

#: Batches with little to compare: (embeddings, labels) -> (embeddings, labels).
DEGENERATE: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "one class": lambda x, y: (x, torch.zeros_like(y)),
    "singletons": lambda x, y: (x[:NUM_CLASSES], torch.arange(NUM_CLASSES)),
    "equal points": lambda x, y: (x[:1].repeat(len(x), 1), y),
    "zero vectors": lambda x, y: (x * (torch.arange(len(x)) % 2)[:, None], y),
    "one item": lambda x, y: (x[:1], y[:1]),
    "no item": lambda x, y: (x[:0], y[:0]),
}


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    return generic(12, DIM, NUM_CLASSES, seed)


def value(loss: Loss, embeddings: Tensor, labels: Tensor) -> float:
    """The loss, which must be something: 0 = 0 shows nothing."""
    result = loss(embeddings, labels)
    assert result.shape == ()
    assert result > 0.01
    return result.item()


def of_the_first_call(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    found: list[Tensor] = []

    def of_the_first(*args: object) -> Tensor:
        found.extend([] if found else [function(*args)])
        return found[0]

    return of_the_first


@check
def order_of_the_batch_does_not_matter(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    order = torch.tensor([5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6])
    assert value(loss, x[order], y[order]) == pytest.approx(value(loss, x, y), abs=1e-12)


@check
def numbers_of_the_classes_do_not_matter(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    expected = value(loss, x, y)
    number_of = torch.tensor([2, 0, 3, 1])
    state = loss.state_dict()
    for name, tensor in state.items():
        for axis in axes_of(name).classes:
            tensor = tensor.index_select(axis, number_of.argsort())
        state[name] = tensor
    loss = case.make()
    loss.load_state_dict(state)
    assert value(loss, x, number_of[y]) == pytest.approx(expected, abs=1e-12)


@check
def rotation_does_not_matter(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    expected = value(loss, x, y)
    rotation, _ = torch.linalg.qr(generic(DIM, DIM, seed=7)[0])
    state = loss.state_dict()
    for name, tensor in state.items():
        if axes_of(name).embedding is not None:
            state[name] = tensor @ rotation
    loss = case.make()
    loss.load_state_dict(state)
    assert (x @ rotation - x).abs().max() > 0.5
    assert value(loss, x @ rotation, y) == pytest.approx(expected, abs=1e-12)


@check
def length_of_embeddings_does_not_matter(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    lengths = torch.logspace(-4, 4, len(x), dtype=torch.float64)[:, None]
    assert value(loss, x * lengths, y) == pytest.approx(value(loss, x, y), abs=1e-12)


@check
def gradient_is_that_of_the_loss(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    names = [name for name, _ in loss.named_parameters()]

    def of(embeddings: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(loss, dict(zip(names, parameters, strict=True)), (embeddings, y))

    inputs = [tensor.detach().clone().requires_grad_() for tensor in (x, *loss.parameters())]
    (gradient,) = torch.autograd.grad(of(*inputs), inputs[:1])
    assert gradient.count_nonzero() > gradient.numel() / 3
    with ExitStack() as held:
        for name in case.held:
            held.enter_context(patch(name, of_the_first_call(resolve_name(name))))
        assert gradcheck(of, inputs, eps=1e-6, atol=1e-7, rtol=1e-6, raise_exception=False)


@check
def no_gradient_reaches_side_information(case: Case) -> None:
    sides = {name: tensor.requires_grad_() for name, tensor in case.sides(0).items()}
    loss, (x, y) = case.build(**sides).double(), batch()
    total = loss(x.requires_grad_(), y)
    total.backward()
    assert x.grad is not None
    assert all(tensor.grad is None for tensor in sides.values())
    assert not any(buffer.requires_grad for buffer in loss.buffers())


@check
def side_information_is_not_watched(case: Case) -> None:
    sides = case.sides(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss, (x, y) = case.build(**sides).double(), batch()
    before = value(loss, x, y)
    for tensor in sides.values():
        tensor.mul_(torch.linspace(0, 1, tensor.shape[1]))
    assert value(loss, x, y) == before


@check
def every_parameter_gets_a_gradient(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    loss(x.requires_grad_(), y).backward()
    for name, tensor in [("embeddings", x), *loss.named_parameters()]:
        assert tensor.grad is not None, name
        assert tensor.grad.abs().sum() > 0, name


@check
def inputs_and_state_are_left_as_they_are(case: Case) -> None:
    loss, (x, y) = case.make().train(not case.keeps_running_means), batch()
    before = [tensor.clone() for tensor in (x, y, *loss.state_dict().values())]
    x.requires_grad_()
    first = value(loss, x, y)
    assert value(loss, x, y) == first
    for old, new in zip(before, (x, y, *loss.state_dict().values()), strict=True):
        assert torch.equal(old, new)


@check
def state_dict_holds_all(case: Case) -> None:
    loss, other, (x, y) = case.make(), case.make(seed=1), batch()
    if loss.state_dict():
        assert value(loss, x, y) != pytest.approx(value(other, x, y), abs=1e-3)
    other.load_state_dict(loss.state_dict())
    assert value(other, x, y) == value(loss, x, y)


@check
def half_precision_embeddings_are_judged_in_full(case: Case) -> None:
    x, y = batch()
    rounded = x.bfloat16()
    assert (rounded.double() - x).abs().max() > 1e-3
    precise, loss = value(case.make(), rounded.double(), y), case.make().float()
    assert loss(rounded, y).dtype == torch.float32
    assert value(loss, rounded, y) == pytest.approx(precise, rel=3e-5)


@check
def autocast_does_not_matter(case: Case) -> None:
    loss, (x, y) = case.make().float().train(not case.keeps_running_means), batch()
    expected = loss(x.float(), y)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(x.float(), y), expected)
    assert expected.dtype == torch.float32 and expected > 0.01


@check
def parameters_stay_float32(case: Case) -> None:
    loss, (x, y) = case.make().float(), batch()
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        embeddings = x.to(dtype).requires_grad_()
        total = loss(embeddings, y)
        total.backward()
        assert total.dtype in (torch.float32, torch.float64)
        assert embeddings.grad is not None and embeddings.grad.dtype == dtype
        assert all(p.dtype == torch.float32 and p.grad.dtype == torch.float32 for p in loss.parameters())


@check
def labels_may_be_any_integers(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    expected = value(loss, x, y)
    for dtype in (torch.int32, torch.int16, torch.uint8):
        assert value(loss, x, y.to(dtype)) == expected


@check
def labels_that_are_no_integers_are_refused(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    for dtype in (torch.float32, torch.float64, torch.complex64, torch.bool):
        with pytest.raises(LossInputError, match=f"labels must be integers, not {dtype}: class numbers above 2.24"):
            loss(x, y.to(dtype))


@check
def labels_beyond_the_class_table_are_refused(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    for wrong in (-1, -100, NUM_CLASSES):  # torch's cross entropy leaves out -100 in silence
        bad = y.clone()
        bad[3] = wrong
        if not case.has_class_table:
            assert torch.isfinite(loss(x, bad))
            continue
        with pytest.raises(LossInputError, match=rf"labels must lie in 0\.\.{NUM_CLASSES - 1}, but span .*{wrong}"):
            loss(x, bad)


@check
def wrong_shapes_are_refused(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    for embeddings, labels in ((x[None], y), (x, y[:-1]), (x, y[:, None]), (x[:, 0], y)):
        with pytest.raises(LossInputError, match=r"a loss takes embeddings \[B, D\] and labels \[B\], not \("):
            loss(embeddings, labels)


@check
def loss_is_the_sum_of_its_terms(case: Case) -> None:
    loss, (x, y) = case.make(), batch()
    terms = loss.terms(x, y)
    assert all(isinstance(name, str) and term.shape == () for name, term in terms.items())
    assert value(loss, x, y) == pytest.approx(sum(term.item() for term in terms.values()), rel=1e-12)
    assert loss(x, labels=y).item() == value(loss, x, y)


def finite_on(kind: str, case: Case) -> None:
    """A number, on the graph, with finite gradients."""
    for dtype in (torch.float64, torch.float32):
        x, y = DEGENERATE[kind](*batch())
        loss, embeddings = case.make().to(dtype), x.detach().to(dtype).requires_grad_()
        total = loss(embeddings, y)
        assert torch.isfinite(total)
        total.backward()  # fails off the graph
        assert embeddings.grad is not None
        for tensor in (embeddings, *loss.parameters()):
            assert tensor.grad is None or bool(torch.isfinite(tensor.grad).all())


def zero_only_where_nothing_applies_on(kind: str, case: Case) -> None:
    total = case.make()(*DEGENERATE[kind](*batch()))
    assert total == 0 if kind in case.zero_on else total > 1e-8


for _kind in DEGENERATE:
    CHECKS[f"finite_on_{_kind}"] = partial(finite_on, _kind)
    CHECKS[f"zero_only_where_nothing_applies_on_{_kind}"] = partial(zero_only_where_nothing_applies_on, _kind)
