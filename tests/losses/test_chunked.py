"""The chunks: their number changes nothing, nothing is kept of a row of chunks but the gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from lookalike.errors import LossInputError
from lookalike.losses import NormalizedSoftmaxLoss, Proxies, ProxyAnchorLoss, ProxyOrthogonality, WeightedSum, chunked
from tests.losses import references
from tests.losses.batches import generic
from tests.losses.sizes import Sizes

Terms = list[Tensor]


def anchored(
    x: Tensor, y: Tensor, weight: Tensor, chunk: int, alpha: float = 32.0, weights: tuple[float, float] = (1, 1)
) -> Terms:
    """Both terms, and the gradients of their weighted sum to the embeddings and the proxies."""
    loss = ProxyAnchorLoss(*weight.shape, alpha=alpha, chunk_classes=chunk).to(weight.dtype)
    loss.proxies.weight.data = weight.clone()
    x = x.clone().requires_grad_()
    positive, negative = loss.terms(x, y).values()
    (weights[0] * positive + weights[1] * negative).backward()
    assert x.grad is not None and loss.proxies.weight.grad is not None
    return [positive.detach(), negative.detach(), x.grad, loss.proxies.weight.grad]


def deviation(rows: Tensor, unit: bool, chunk: int) -> Terms:
    rows = rows.clone().requires_grad_()
    value = chunked.gram_deviation_by_chunks(rows, unit, chunk)
    value.backward()
    assert rows.grad is not None
    return [value.detach(), rows.grad]


def far(found: Terms, expected: Terms) -> float:
    """The largest relative difference, of each tensor by its norm."""
    assert all(torch.isfinite(tensor).all() for tensor in found)
    return max(
        ((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-300)).item()
        for a, b in zip(found, expected, strict=True)
    )


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 12), st.integers(2, 9), st.integers(1, 6), st.integers(1, 12), st.sampled_from([1.0, 32.0, 3e3]),
    st.data(),
)  # fmt: skip
def test_the_chunk_does_not_change_proxy_anchor(
    size: int, classes: int, dim: int, chunk: int, alpha: float, data: st.DataObject
) -> None:
    (x, _), (weight, _) = generic(size, dim), generic(classes, dim, seed=1)
    y = torch.tensor(data.draw(st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)))
    weights = data.draw(st.tuples(st.sampled_from([0.5, 2.0]), st.sampled_from([1.0, 3.0])))
    plain = anchored(x, y, weight, 0, alpha, weights)
    found = anchored(x, y, weight, chunk, alpha, weights)
    assert far(found[:2], plain[:2]) < 1e-12
    scale = alpha * 3 * (1 / x.norm(dim=1).min() + 1 / weight.norm(dim=1).min())
    for ours, theirs in zip(found[2:], plain[2:], strict=True):  # in one dimension all gradients are 0 but for rounding
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12 * float(scale) + 1e-12 * theirs.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunk", [1, 7, 64, 301, 1000])
def test_the_chunk_changes_at_most_the_rounding(chunk: int, dtype: torch.dtype) -> None:
    (x, y), (weight, _) = generic(48, 32, 200), generic(301, 32, seed=1)
    x, weight, limit = x.to(dtype), weight.to(dtype), {torch.float32: 1e-6, torch.float64: 1e-12}[dtype]
    all_at_once = anchored(x, y, weight, 301)
    assert far(anchored(x, y, weight, chunk)[:2], all_at_once[:2]) < limit
    # A cosine off by 6e-8 is alpha times that in the exponent: gradients in float32 differ by a little more.
    assert far(anchored(x, y, weight, chunk), all_at_once) < 4 * limit
    for unit in (True, False):
        assert far(deviation(weight, unit, chunk), deviation(weight, unit, 301)) < limit


@pytest.mark.parametrize("chunk", [0, 1, 3])
@pytest.mark.parametrize("alpha", [32.0, 100.0, 1e4])
def test_zero_vectors_and_one_class_and_a_huge_alpha_stay_finite(chunk: int, alpha: float) -> None:
    x, _ = generic(6, 4)
    x[::2] = 0
    weight, _ = generic(5, 4, seed=1)
    weight[1] = 0
    for y in (torch.zeros(6, dtype=torch.int64), torch.tensor([0, 1, 1, 2, 4, 4])):
        found = anchored(x.float(), y, weight.float(), chunk, alpha)
        assert far(found, anchored(x, y, weight, chunk, alpha)) < 1e-7 * alpha
        if alpha < 500:  # beyond, the reference overflows
            expected = references.proxy_anchor(x.tolist(), y.tolist(), weight.tolist(), alpha, 0.1)
            assert [term.item() for term in found[:2]] == pytest.approx(list(expected), rel=1e-5)


def test_a_term_far_below_one_keeps_its_digits() -> None:
    """log(1 + e^-40) is e^-40, not 0, in both directions: cos is 1 or -1, and delta 0."""
    for chunk in (0, 1):
        x, weight, y = torch.tensor([[1.0]]), torch.tensor([[1.0], [-1.0]]), torch.tensor([0])
        loss = ProxyAnchorLoss(2, 1, alpha=40, delta=0, chunk_classes=chunk)
        loss.proxies.weight.data = weight
        terms = loss.terms(x, y)
        assert terms["positive"].item() == pytest.approx(math.exp(-40), rel=1e-5, abs=0)
        assert terms["negative"].item() == pytest.approx(math.exp(-40) / 2, rel=1e-5, abs=0)


def test_a_second_backward_pass_gives_the_same() -> None:
    (x, y), (weight, _) = generic(), generic(9, seed=1)
    loss = ProxyAnchorLoss(9, 6, chunk_classes=2).double()
    loss.proxies.weight.data = weight
    total = 3 * loss(x.requires_grad_(), y)
    inputs = [x, loss.proxies.weight]
    first = torch.autograd.grad(total, inputs, retain_graph=True)
    kept = [tensor.clone() for tensor in first]
    second = torch.autograd.grad(total, inputs)
    for a, b, c in zip(first, kept, second, strict=True):
        assert a.count_nonzero() and torch.equal(a, b) and torch.equal(b, c)


def test_gradients_of_each_term_and_of_the_deviation() -> None:
    (x, y), (weight, _) = generic(8, 4), generic(7, 4, seed=1)

    def terms(x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        unit = torch.nn.functional.normalize(x, dim=1)
        return chunked.proxy_anchor_by_chunks(unit, weight, y, 8.0, 0.1, 3)

    assert gradcheck(terms, [x.requires_grad_(), weight.requires_grad_()])
    for unit in (True, False):
        assert gradcheck(lambda rows, unit=unit: chunked.gram_deviation_by_chunks(rows, unit, 3), [weight])


def test_only_all_at_once_can_be_differentiated_twice() -> None:
    (x, y), (weight, _) = generic(8, 4), generic(6, 4, seed=1)
    loss = ProxyAnchorLoss(6, 4, alpha=4).double()

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(loss, {"proxies.weight": weight}, (x, y))

    inputs = [x.requires_grad_(), weight.requires_grad_()]
    assert gradgradcheck(plain, inputs)
    assert gradgradcheck(lambda rows: chunked.gram_deviation(rows, True), [weight])
    loss.chunk_classes = 2
    with pytest.raises(LossInputError, match="made by chunks of classes cannot be differentiated again: leave create_"):
        torch.autograd.grad(plain(*inputs), inputs[:1], create_graph=True)


def test_no_gradient_is_made_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    healthy = chunked.back_to_lengths
    monkeypatch.setattr(chunked, "back_to_lengths", lambda *a, **k: (made.append(1), healthy(*a, **k)))
    (x, y), loss = generic(), ProxyAnchorLoss(5, 6, chunk_classes=2).double()
    with torch.no_grad():
        silent = loss(x, y)
    assert not made
    assert torch.equal(loss(x, y).detach(), silent) and made


def test_autocast_does_not_reach_in() -> None:
    (x, y), loss = generic(), ProxyAnchorLoss(5, 6, chunk_classes=2)
    x = x.float().requires_grad_()
    expected = torch.autograd.grad(loss(x, y), x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(loss(x, y), x)[0]
    assert torch.equal(found, expected)


def test_the_size_chooses_the_way() -> None:
    cpu = torch.device("cpu")
    assert chunked.chunk_classes_for(64, 100, 128, cpu) == 0
    for device in (cpu, torch.device("cuda")):
        chunk = chunked.chunk_classes_for(1024, 11_318, 128, device)
        assert chunk >= 64 and chunk * 1024 <= chunked.CHUNK_NUMBERS[device.type]


def test_no_matrix_of_a_size_with_the_classes_is_formed() -> None:
    """Of the chunked ways: no tensor but the proxies and their gradient has more numbers than a few chunks."""
    classes, size, dim = 20_000, 512, 32
    proxies = Proxies(classes, dim)
    x, y = torch.randn(size, dim, requires_grad=True), torch.arange(size)
    with Sizes() as sizes:
        loss = WeightedSum({"anchor": (1, ProxyAnchorLoss(proxies=proxies)), "apart": (1, ProxyOrthogonality(proxies))})
        loss(x, y).backward()
    assert max(sizes.made) == classes * dim < classes * size / 10
    assert sorted(sizes.made)[-2] <= chunked.CHUNK_NUMBERS["cpu"]


def test_one_table_is_trained_by_three_losses() -> None:
    (x, y), proxies = generic(num_classes=5), Proxies(5, 6).double()
    total = WeightedSum(
        {
            "anchor": (1, ProxyAnchorLoss(proxies=proxies, chunk_classes=2)),
            "softmax": (2, NormalizedSoftmaxLoss(proxies=proxies)),
            "apart": (3, ProxyOrthogonality(proxies)),
        }
    )
    assert [*total.parameters()] == [proxies.weight]
    assert total.inputs == {"labels": True}
    total(x, y).backward()
    found, expected = proxies.weight.grad, torch.zeros_like(proxies.weight)
    for name, weight in total.weights.items():
        proxies.weight.grad = None
        part = total.parts[name]
        (weight * (part(x) if name == "apart" else part(x, y))).backward()
        expected += proxies.weight.grad
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    optimizer, before = torch.optim.SGD(total.parameters(), 0.05), total(x, y).item()
    for _ in range(20):
        optimizer.zero_grad()
        total(x, y).backward()
        optimizer.step()
    assert total(x, y).item() < before - 0.1
