"""ProxyOrthogonality: the direct form, the small one, its floor."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses import Proxies, ProxyOrthogonality
from lookalike.losses.chunked import gram_deviation, gram_deviation_by_chunks
from tests.losses import references
from tests.losses.batches import generic, tables

NONE = torch.empty(0, 6)


def of(weight: Tensor, **settings: object) -> ProxyOrthogonality:
    proxies = Proxies(*weight.shape).to(weight.dtype)
    proxies.weight.data = weight
    return ProxyOrthogonality(proxies, **settings)


@settings(deadline=None, max_examples=100)
@given(st.data(), st.integers(2, 9), st.integers(1, 5), st.booleans(), st.integers(1, 10))
def test_equals_the_reference(data: st.DataObject, classes: int, dim: int, unit: bool, chunk: int) -> None:
    weight = data.draw(tables(classes, dim))
    expected = references.orthogonality([references.unit(row) if unit else row for row in weight.tolist()])
    found = of(weight, unit=unit, reduction="sum")(NONE)
    assert found.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    mean = of(weight, unit=unit)(NONE)
    assert mean.item() == pytest.approx(expected / (classes * (classes - 1)), rel=1e-12, abs=1e-12)
    if classes > dim:
        assert gram_deviation_by_chunks(weight, unit, chunk).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize(("classes", "dim", "chunk"), [(40, 6, 0), (40, 6, 7), (7, 6, 1), (6, 6, 0), (4, 6, 0)])
def test_the_small_form_has_the_values_and_gradients_of_the_direct_one(
    classes: int, dim: int, chunk: int, unit: bool
) -> None:
    weight, _ = generic(classes, dim)
    ours, theirs = weight.clone().requires_grad_(), weight.clone().requires_grad_()
    rows = torch.nn.functional.normalize(theirs, dim=1) if unit else theirs
    expected = (rows @ rows.T - torch.eye(classes)).square().sum()
    found = gram_deviation_by_chunks(ours, unit, chunk) if chunk else gram_deviation(ours, unit)
    found.backward(), expected.backward()
    assert expected > 1
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-11, atol=1e-12)


def test_a_large_table_goes_by_chunks_to_the_same_value() -> None:
    weight, _ = generic(3000, 64)
    rows = weight / weight.norm(dim=1, keepdim=True)
    expected = (rows @ rows.T).fill_diagonal_(0).square().sum().item()
    assert gram_deviation(weight, True).item() == pytest.approx(expected, rel=1e-12)
    assert gram_deviation(weight.float(), True).item() == pytest.approx(expected, rel=1e-6)
    assert "InOneVisit" in type(gram_deviation(weight.requires_grad_(), True).grad_fn).__name__


@pytest.mark.parametrize("classes", [3, 8])
def test_orthonormal_proxies_have_none_in_float32(classes: int) -> None:
    loss = ProxyOrthogonality(Proxies(classes, 8, orthogonal=True), reduction="sum")
    total = loss(torch.empty(0, 8))
    total.backward()
    assert 0 <= total.item() < 1e-11, "the D x D identity with C - 2 ||P||^2 would leave 1e-6"
    assert loss.proxies.weight.grad.abs().max() < 1e-5


@pytest.mark.parametrize(("classes", "dim"), [(5, 4), (12, 3), (9, 8)])
def test_the_floor_of_the_mean_squared_cosine(classes: int, dim: int) -> None:
    """(C - D) / (D (C - 1)), reached by descent and by nothing less."""
    floor = (classes - dim) / (dim * (classes - 1))
    loss = of(generic(classes, dim)[0])
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)
    before = loss(NONE).item()
    assert before > floor * 1.05
    for _ in range(400):
        optimizer.zero_grad()
        loss(NONE).backward()
        optimizer.step()
    assert loss(NONE).item() == pytest.approx(floor, rel=1e-3)
    assert loss(NONE).item() >= floor - 1e-12
    assert loss.proxies.mean_squared_cosine() == pytest.approx(floor, rel=1e-3)


def test_raw_rows_are_also_drawn_to_length_one_and_unit_rows_keep_theirs() -> None:
    weight = 3 * torch.eye(4, 6, dtype=torch.float64)
    assert of(weight, unit=False, reduction="sum")(NONE).item() == pytest.approx(4 * 64)
    assert of(weight)(NONE).item() == pytest.approx(0, abs=1e-20)


def test_it_takes_the_embeddings_alone_and_does_not_look_at_them() -> None:
    loss = of(generic(4)[0])
    assert loss.inputs == {}
    assert loss(torch.full((2, 3), torch.nan)).item() == loss(NONE).item() > 0.01


def test_a_proxy_without_length_gives_finite_gradients() -> None:
    for classes in (4, 40):
        weight, _ = generic(classes)
        weight[1] = 0
        for found in (gram_deviation, lambda rows, unit: gram_deviation_by_chunks(rows, unit, 3)):
            rows = weight.clone().requires_grad_()
            found(rows, True).backward()
            assert torch.isfinite(rows.grad).all()


def test_another_reduction_is_refused() -> None:
    with pytest.raises(LossInputError, match="reduction must be one of mean, sum, not 'max'"):
        ProxyOrthogonality(Proxies(3, 4), reduction="max")
