"""Lines: where they begin, which point of them is nearest, and the softmax over them by chunks."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import normalize

from lookalike.errors import LossInputError
from lookalike.losses import Lines
from lookalike.losses.density import Groups
from lookalike.losses.line_softmax import line_softmax, nearest, shapes_of
from lookalike.losses.lines import wrong_lengths
from lookalike.losses.margin_softmax import margin_softmax
from tests.losses import references
from tests.losses.batches import generic, tables
from tests.losses.sizes import Sizes


def table_of(
    num_classes: int, dim: int, vertices: int, size: float = 0.4, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Lines around unit points, each step of about this length."""
    lines, (middles, _) = Lines(num_classes, dim, vertices), generic(num_classes, dim, seed=1)
    steps, _ = generic((vertices - 1) * num_classes, dim, seed=2)
    lines.steps.data = (size * normalize(steps, dim=1)).view(vertices - 1, num_classes, dim)
    return lines(normalize(middles, dim=1)).detach().to(dtype)


def products(x: Tensor, table: Tensor) -> tuple[Tensor, ...]:
    return (normalize(x, dim=1) @ table.mT).unbind(0)


@settings(deadline=None, max_examples=100)
@given(st.data(), st.integers(2, 4), st.integers(1, 4))
def test_the_vertices_and_the_nearest_point_equal_the_reference(data: st.DataObject, vertices: int, dim: int) -> None:
    x, middles = data.draw(tables(3, dim)), data.draw(tables(2, dim))
    lines = Lines(2, dim, vertices)
    lines.steps.data = 0.1 * data.draw(tables(2 * (vertices - 1), dim)).view(vertices - 1, 2, dim)
    table = lines(normalize(middles, dim=1)).detach()
    cosines, places = nearest(products(x, table), shapes_of(table))
    for c in range(2):
        drawn = references.line_vertices(middles[c].tolist(), lines.steps[:, c].tolist())
        torch.testing.assert_close(torch.tensor(drawn, dtype=x.dtype), table[:, c].cumsum(dim=0), rtol=0, atol=1e-14)
        for i in range(3):
            cosine, place = references.nearest_on_line(x[i].tolist(), drawn)
            assert cosines[i, c].item() == pytest.approx(cosine, abs=1e-7)
            if vertices == 2:  # a folded line may have its nearest point twice
                assert places[i, c].item() == pytest.approx(place, abs=1e-7)


@pytest.mark.parametrize("vertices", [2, 3])
@pytest.mark.parametrize("chunk", [0, 3])
def test_lines_without_length_are_their_middles(vertices: int, chunk: int) -> None:
    (x, y), (weight, _) = generic(12, 6, 5), generic(5, 6, seed=1)
    lines, unit, own = Lines(5, 6, vertices).double(), normalize(x, dim=1), torch.linspace(0, 0.5, 12).double()
    lines.steps.data.zero_()
    text = (generic(12, 3, seed=2)[0], generic(5, 3, seed=3)[0])
    found = line_softmax(unit, lines(normalize(weight, dim=1)), y, scale=24, own_margins=own, text=text, chunk=chunk)
    expected = margin_softmax(unit, weight, y, scale=24, own_margins=own, text=text)
    assert expected > 0.1
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def values(x: Tensor, y: Tensor, table: Tensor, chunk: int, text: tuple[Tensor, Tensor] | None = None) -> list[Tensor]:
    x, table = x.clone().requires_grad_(), table.clone().requires_grad_()
    own = torch.linspace(0, 0.3, len(x)).to(x)
    total = line_softmax(normalize(x, dim=1), table, y, scale=24, own_margins=own, text=text, chunk=chunk)
    (2 * total).backward()
    assert x.grad is not None and table.grad is not None
    return [total.detach(), x.grad, table.grad]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("vertices", [2, 3])
@pytest.mark.parametrize("chunk", [1, 5, 48, 1000])
def test_the_chunk_changes_at_most_the_rounding(chunk: int, vertices: int, dtype: torch.dtype) -> None:
    (x, y), table = generic(48, 16, 30), table_of(31, 16, vertices, dtype=dtype)
    text = (generic(48, 4, seed=2)[0].to(dtype), 0.1 * generic(31, 4, seed=3)[0].to(dtype))
    limit = {torch.float32: 1e-6, torch.float64: 1e-12}[dtype]
    for texts in (None, text):
        plain, found = (values(x.to(dtype), y, table, c, texts) for c in (0, chunk))
        for ours, theirs in zip(found, plain, strict=True):
            assert (ours - theirs).norm() < limit * theirs.norm()


def test_gradients_and_what_can_be_differentiated_twice() -> None:
    (x, y), table = generic(7, 4, 5), table_of(4, 4, 3)

    def of(x: Tensor, table: Tensor, chunk: int = 0) -> Tensor:
        return line_softmax(normalize(x, dim=1), table, y, scale=4, own_margins=0.1, chunk=chunk)

    inputs = [x.requires_grad_(), table.requires_grad_()]
    assert gradcheck(of, inputs) and gradcheck(lambda *tensors: of(*tensors, chunk=3), inputs)
    assert gradgradcheck(of, inputs)
    with pytest.raises(LossInputError, match="leave create_graph out"):
        torch.autograd.grad(of(*inputs, chunk=2), inputs[:1], create_graph=True)


def test_points_without_length_and_huge_scales_stay_finite() -> None:
    x, y = generic(6, 3, 4)
    x[0] = 0
    table = torch.zeros(2, 4, 3)
    table[0, 1] = table[0, 2] = 1  # class 0: at the origin; 1: a point
    table[1, 2], table[1, 3] = -2, 2  # 2: through the origin; 3: from it
    for scale, chunk in ((1.0, 0), (1e4, 0), (1e4, 2)):
        for items in (x, x[:1], x[:0]):
            items, lines = items.float().requires_grad_(), table.clone().requires_grad_()
            labels = y[: len(items)]
            total = line_softmax(normalize(items, dim=1), lines, labels, scale=scale, own_margins=0.1, chunk=chunk)
            total.backward()
            assert 0 <= total < 3 * scale + 1
            assert torch.isfinite(items.grad).all() and torch.isfinite(lines.grad).all()
    cosines, places = nearest(products(x.float(), table), shapes_of(table))
    assert cosines.abs().max() < 1.001
    assert places.min() >= 0 and places.max() <= 1


def test_no_matrix_of_the_batch_by_the_classes_is_formed() -> None:
    classes, size, dim = 5_000, 4096, 8
    table = table_of(classes, dim, 2, dtype=torch.float32).requires_grad_()
    x, y = torch.randn(size, dim, requires_grad=True), torch.arange(size)
    with Sizes() as sizes:
        line_softmax(normalize(x, dim=1), table, y, scale=24, own_margins=0.1).backward()
    assert max(sizes.made) < size * classes / 2


@pytest.mark.parametrize("vertices", [2, 4])
def test_lines_begin_along_the_first_principal_direction(vertices: int) -> None:
    generator = torch.Generator().manual_seed(0)
    direction, middle = torch.tensor([0, 3.0, 4]) / 5, torch.tensor([1.0, 0, 0])
    places = torch.randn(400, generator=generator)
    x = middle + 0.05 * places[:, None] * direction + 0.002 * torch.randn(400, 3, generator=generator)
    x = torch.cat([x[:300], torch.ones(5, 3), x[:1], x[300:]])
    y = torch.tensor([2] * 300 + [0] * 5 + [1] + [2] * 100)
    lines = Lines(4, 3, vertices)
    before = lines.steps.detach().clone()
    order = torch.randperm(len(x), generator=generator)
    lines.start_at(7 * x[order], y[order])
    steps = lines.steps.detach()
    assert torch.equal(steps[:, [0, 1, 3]], before[:, [0, 1, 3]]), "equal points, one item, no item"
    line = steps[:, 2].sum(dim=0)
    assert abs(line @ direction / line.norm()) > 0.999
    assert line.norm().item() == pytest.approx(2 * 0.05 * places.std().item(), rel=0.02)
    assert torch.equal(steps[:, 2], steps[:1, 2].expand(vertices - 1, 3))


def test_many_classes_begin_fast() -> None:
    x, y = torch.randn(40_000, 128), torch.arange(40_000) % 2_000
    lines, began = Lines(2_000, 128), time.process_time()
    lines.start_at(x, y)
    assert time.process_time() - began < 20
    assert (lines.steps.norm(dim=-1) > 0.3).all()


def test_a_length_follows_its_class_and_not_the_class_the_length() -> None:
    (x, y), own = generic(6, 4, 3), table_of(2, 4, 3).requires_grad_()
    total = wrong_lengths(normalize(x.requires_grad_(), dim=1), own, Groups.of(y), 1.0)
    total.backward()
    assert total > 0.01 and own.grad is not None and own.grad[1:].any()
    assert x.grad is None


def test_a_line_has_two_vertices_at_least() -> None:
    with pytest.raises(LossInputError, match="a line needs at least 2 vertices, not 1"):
        Lines(3, 4, vertices=1)
