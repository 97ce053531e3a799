"""margin_softmax: the formula, the chunks that change nothing, and what is not formed."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from lookalike.errors import LossInputError
from lookalike.losses import AdaptiveAdditiveSoftmaxLoss, NormalizedSoftmaxLoss
from lookalike.losses import margin_softmax as kernel
from lookalike.losses.base import check_batch
from lookalike.losses.margin_softmax import chunk_rows_for, margin_softmax
from tests.losses import references
from tests.losses.batches import Batch, batches, generic, tables
from tests.losses.sizes import Sizes
from tests.losses.test_chunked import far

Arguments = dict[str, object]


def unit_rows(size: int, dim: int, num_classes: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x, y = generic(size, dim, num_classes)
    return F.normalize(x, dim=1).to(dtype), y


def found(unit: Tensor, proxies: Tensor, labels: Tensor, **arguments: object) -> list[Tensor]:
    """The value, and its gradients to the embeddings and the proxies."""
    inputs = [unit.clone().requires_grad_(), proxies.clone().requires_grad_()]
    value = margin_softmax(*inputs, labels, **arguments)
    return [value.detach(), *torch.autograd.grad(value, inputs)]


def added(size: int, num_classes: int, dtype: torch.dtype = torch.float64) -> dict[str, Arguments]:
    """Every way to give margins."""
    left, right = (0.2 * generic(rows, 5, seed=seed)[0].to(dtype) for rows, seed in ((size, 2), (num_classes, 3)))
    margins, own = 0.3 + left @ right.T, torch.linspace(-0.1, 0.5, size, dtype=dtype)
    return {
        "none": {},
        "one of the own": {"own_margins": 0.35},
        "one each": {"own_margins": own},
        "text": {"text": (left, right)},
        "text, bounded": {"text": (left, right), "own_margins": 0.3, "largest": float((left @ right.T).max())},
        "text, one each": {"text": (left, right), "own_margins": own, "largest": 0.5},
        "rows": {"margins": lambda rows: margins[rows]},
        "rows, bounded": {"margins": lambda rows: margins[rows], "largest": 0.8},
    }


@settings(deadline=None, max_examples=150)
@given(batches(), st.data(), st.sampled_from([1.0, 20.0, 200.0]), st.integers(0, 5))
def test_equals_the_reference(batch: Batch, data: st.DataObject, scale: float, chunk: int) -> None:
    size, classes = len(batch.labels), batch.num_classes
    proxies = data.draw(tables(classes, batch.embeddings.shape[1]))
    left, right = data.draw(tables(size, 2)), 0.1 * data.draw(tables(classes, 2))
    left[0] = 0
    own = torch.tensor(data.draw(st.lists(st.sampled_from([-0.5, 0, 0.25, 3]), min_size=size, max_size=size))).double()
    unit = F.normalize(batch.embeddings, dim=1)
    largest = data.draw(st.sampled_from([math.inf, float((left @ right.T).max().clamp_min(3))]))
    value = margin_softmax(
        unit, proxies, batch.labels, scale=scale, own_margins=own, text=(left, right), largest=largest, chunk=chunk
    )
    expected = references.margin_softmax(
        unit.tolist(), batch.labels.tolist(), proxies.tolist(), scale, own.tolist(), (left @ right.T).tolist()
    )
    assert value.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("scale", [1.0, 20.0, 64.0, 1e4])
@pytest.mark.parametrize("way", added(4, 4))
def test_the_chunk_does_not_change_the_value_nor_the_gradients(way: str, scale: float) -> None:
    (unit, y), proxies = unit_rows(48, 32, 200), generic(301, 32, seed=1)[0]
    arguments = {"scale": scale, **added(48, 301)[way]}
    plain = found(unit, proxies, y, **arguments)
    assert plain[0] > 1e-3 and all(gradient.abs().sum() > 0 for gradient in plain[1:])
    for chunk in (1, 7, 48, 1000):
        assert far(found(unit, proxies, y, **arguments, chunk=chunk), plain) < 1e-12 * max(1, scale / 100)


@pytest.mark.parametrize("scale", [20.0, 64.0])
@pytest.mark.parametrize("way", added(4, 4))
def test_in_float32_the_chunk_changes_at_most_the_rounding(way: str, scale: float) -> None:
    (unit, y), proxies = unit_rows(48, 32, 200, torch.float32), generic(301, 32, seed=1)[0].float()
    arguments = {"scale": scale, **added(48, 301, torch.float32)[way]}
    at_once = found(unit, proxies, y, **arguments, chunk=48)
    exact = found(unit.double(), proxies.double(), y, **{"scale": scale, **added(48, 301)[way]})
    assert far(at_once, exact) < 2e-6
    for chunk in (0, 1, 7):
        value, *gradients = found(unit, proxies, y, **arguments, chunk=chunk)
        assert far([value], at_once[:1]) < 1e-6
        assert far(gradients, at_once[1:]) < 2e-6


def test_a_loss_far_below_one_keeps_its_digits() -> None:
    """log(1 + e^-40) is e^-40, not 0."""
    proxies = torch.tensor([[1.0], [-1.0]])
    for scale, largest in ((20.0, 0.0), (20.0, math.inf)):
        value = margin_softmax(
            torch.ones(1, 1), proxies, torch.tensor([0]), scale=scale, text=(torch.zeros(1, 1), proxies),
            largest=largest, chunk=1,
        )  # fmt: skip
        assert value.item() == pytest.approx(math.exp(-40), rel=1e-5, abs=0)


@pytest.mark.parametrize("chunk", [0, 1, 4])
@pytest.mark.parametrize("scale", [1.0, 20.0, 1e4])
@pytest.mark.parametrize("own_margins", [0.0, 1.1, 60.0, 100.0])
def test_zero_vectors_and_a_huge_scale_stay_finite(chunk: int, scale: float, own_margins: float) -> None:
    unit, y = unit_rows(8, 4, 5)
    unit[::2] = 0
    proxies = generic(5, 4, seed=1)[0]
    proxies[1] = 0
    arguments: Arguments = {"scale": scale, "own_margins": own_margins, "chunk": chunk}
    for labels in (y, torch.ones(8, dtype=torch.int64)):  # of the second, all belong to the proxy of zeros
        single = found(unit.float(), proxies.float(), labels, **arguments)
        double = found(unit, proxies, labels, **arguments)
        assert far(single, double) < 1e-6 * max(scale, 10)
        expected = references.margin_softmax(
            unit.tolist(), labels.tolist(), proxies.tolist(), scale, [own_margins] * 8, [[0.0] * 5] * 8
        )
        assert double[0].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("bound", [{}, {"largest": 10.0}])
def test_margins_beyond_what_float32_can_raise_to_a_power(bound: Arguments) -> None:
    (unit, y), proxies, tens = (
        unit_rows(8, 4, 5, torch.float32),
        generic(7, 4, seed=1)[0].float(),
        torch.ones(8, 7) * 10,
    )
    plain = found(unit, proxies, y, scale=20, margins=lambda rows: tens[rows])
    for arguments in ({"margins": lambda rows: tens[rows]}, {"text": (tens[:, :1], torch.ones(7, 1))}):
        assert far(found(unit, proxies, y, scale=20, **arguments, **bound, chunk=3), plain) < 1e-6


@pytest.mark.parametrize("way", added(4, 4))
def test_gradients(way: str) -> None:
    (unit, y), proxies = unit_rows(8, 4, 5), generic(7, 4, seed=1)[0]
    arguments = {"scale": 8.0, **added(8, 7)[way]}
    inputs = [unit.requires_grad_(), proxies.requires_grad_()]
    for chunk in (3, 8):
        assert gradcheck(lambda u, p, chunk=chunk: margin_softmax(u, p, y, **arguments, chunk=chunk), inputs)
    assert gradcheck(lambda u, p: margin_softmax(u, p, y, **arguments), inputs)
    assert gradgradcheck(lambda u, p: margin_softmax(u, p, y, **arguments), inputs)
    with pytest.raises(LossInputError, match="cannot be differentiated again: leave create_graph out"):
        torch.autograd.grad(margin_softmax(*inputs, y, **arguments, chunk=3), inputs, create_graph=True)


@pytest.mark.parametrize("chunk", [0, 3])
def test_no_gradient_reaches_the_margins(chunk: int) -> None:
    (unit, y), proxies = unit_rows(8, 4, 5), generic(7, 4, seed=1)[0]
    own, left, right = (torch.rand(*shape, requires_grad=True) for shape in ((8,), (8, 3), (7, 3)))
    for arguments in (
        {"text": (left, right), "own_margins": own},
        {"margins": lambda rows: left[rows] @ right.T, "own_margins": own},
    ):
        margin_softmax(unit.requires_grad_(), proxies, y, scale=5, **arguments, chunk=chunk).backward()
        assert unit.grad is not None
        assert own.grad is left.grad is right.grad is None


def test_only_what_is_asked_for_gets_a_gradient_and_a_second_backward_pass_gives_the_same() -> None:
    (unit, y), proxies = unit_rows(8, 4, 5), generic(7, 4, seed=1)[0]
    value = 3 * margin_softmax(unit.requires_grad_(), proxies, y, scale=5, chunk=3)
    first = torch.autograd.grad(value, unit, retain_graph=True)[0].clone()
    second = torch.autograd.grad(value, unit)[0]
    assert first.count_nonzero() and torch.equal(first, second)
    with torch.no_grad():
        assert 3 * margin_softmax(unit, proxies, y, scale=5, chunk=3) == value


@pytest.mark.parametrize("chunk", [0, 3])
def test_an_empty_batch_is_0_on_the_graph(chunk: int) -> None:
    unit, proxies = torch.zeros(0, 4, requires_grad=True), torch.ones(7, 4, requires_grad=True)
    value = margin_softmax(unit, proxies, torch.zeros(0, dtype=torch.int64), scale=20, chunk=chunk)
    assert value == 0
    value.backward()
    assert proxies.grad is not None and not proxies.grad.any()


@pytest.mark.parametrize("chunk", [0, 3])
def test_half_precision_is_judged_in_float32_and_autocast_does_not_reach_in(chunk: int) -> None:
    (unit, y), proxies = unit_rows(8, 4, 5, torch.float32), generic(7, 4, seed=1)[0].float()
    for dtype in (torch.bfloat16, torch.float16):
        low = unit.to(dtype)
        expected = found(low.float(), proxies, y, scale=20.0, chunk=chunk)
        value, to_low, to_proxies = found(low, proxies, y, scale=20.0, chunk=chunk)
        assert (value.dtype, to_low.dtype, to_proxies.dtype) == (torch.float32, dtype, torch.float32)
        assert far([value, to_proxies], [expected[0], expected[2]]) < 1e-6
        assert far([to_low], [expected[1].to(dtype)]) < 1e-6
        inputs = [unit.clone().requires_grad_(), proxies.clone().requires_grad_()]
        with torch.autocast("cpu", dtype):
            under = margin_softmax(*inputs, y, scale=20.0, chunk=chunk)
        gradients = torch.autograd.grad(under, inputs)
        assert far([under.detach(), *gradients], found(unit, proxies, y, scale=20.0, chunk=chunk)) == 0


def test_the_size_chooses_the_way() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert chunk_rows_for(64, 100, cpu) == chunk_rows_for(64, 1000, cpu) == 0
    for device in (cpu, cuda):
        chunk = chunk_rows_for(1024, 11_318, device)
        assert 64 <= chunk <= 1024 and chunk * 11_318 <= kernel.BLOCK_NUMBERS[device.type]
    assert chunk_rows_for(1024, 10**7, cpu) == chunk_rows_for(64, 10**6, cpu) == kernel.FEWEST_ROWS
    assert chunk_rows_for(33, 10**6, cpu) == 17  # of one size, not 32 and 1


@pytest.mark.parametrize("curve", ["linear", "sqrt", "square"])
def test_no_matrix_of_batch_and_classes_is_formed(curve: str) -> None:
    """No tensor but the tables and their gradient has more numbers than a block of logits."""
    classes, size, dim = 30_000, 300, 80
    loss = AdaptiveAdditiveSoftmaxLoss(classes, dim, torch.randn(classes, dim), curve=curve)
    x, y = torch.randn(size, dim, requires_grad=True), torch.arange(size)
    with Sizes() as sizes:
        loss(x, y).backward()
    assert max(sizes.made) == classes * dim < classes * size / 3
    assert sorted(sizes.made)[-2] <= kernel.BLOCK_NUMBERS["cpu"]


@pytest.mark.parametrize("way", added(4, 4))
@pytest.mark.parametrize("chunk", [0, 3])
def test_it_compiles_to_one_graph(way: str, chunk: int) -> None:
    (unit, y), proxies = unit_rows(8, 4, 5), generic(7, 4, seed=1)[0]
    arguments = {"scale": 8.0, **added(8, 7)[way], "chunk": chunk}
    inputs = [unit.requires_grad_(), proxies.requires_grad_()]
    torch._dynamo.reset()
    compiled = torch.compile(lambda u, p: margin_softmax(u, p, y, **arguments), backend="eager", fullgraph=True)
    value = compiled(*inputs)
    assert far([value.detach(), *torch.autograd.grad(value, inputs)], found(*inputs, y, **arguments)) < 1e-12


def test_whole_losses_compile_to_one_graph_and_still_refuse_labels_out_of_range() -> None:
    x, y = generic()
    for loss in (
        NormalizedSoftmaxLoss(4, 6, margin=0.1).double(),
        AdaptiveAdditiveSoftmaxLoss(4, 6, generic(4, 3, seed=2)[0]).double(),
        AdaptiveAdditiveSoftmaxLoss(4, 6, generic(4, 3, seed=2)[0], curve="linear").double(),
    ):
        torch._dynamo.reset()
        compiled = torch.compile(loss, backend="eager", fullgraph=True)
        assert compiled(x, y).item() == pytest.approx(loss(x, y).item(), abs=1e-12)
        for wrong in (4, -100):
            with pytest.raises(RuntimeError, match=r"labels must lie in 0\.\.3"):
                compiled(x, y.clone().index_fill(0, torch.tensor([3]), wrong))
    with pytest.raises(LossInputError):
        check_batch(x, y + 2, 4)
