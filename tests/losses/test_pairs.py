"""The counting of triplets: equal to three nested loops, whatever the blocks, and what its gradient is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from lookalike.losses import pairs
from lookalike.losses.pairs import Margins, sum_over_triplets
from lookalike.losses.relations import SameClass
from tests.losses import references
from tests.losses.batches import FIRST_CLASS_NUMBERS, Batch, batches, generic, tables

#: Of all comparisons at once, and of several anchors, and of one anchor in a block.
BLOCKS = (pairs.BLOCK, 40, 1)


def looped(x: Tensor, y: Tensor, margins: Margins, semihard: bool = False) -> list[float]:
    text = torch.ones(len(x), 1) if margins.vectors is None else margins.vectors
    distances = references.distances_of(text.tolist())
    table = [[margins.base + margins.slope * d for d in row] for row in distances]
    found = references.mined_triplets(x.tolist(), y.tolist(), table, "semihard" if semihard else "all")
    return [gap for *_, gap in found]


@settings(deadline=None, max_examples=150)
@given(st.data(), batches(), st.sampled_from([0.1, 0.5, 3.9]), st.sampled_from(FIRST_CLASS_NUMBERS))
def test_all_triplets_equal_the_loops(data: st.DataObject, batch: Batch, base: float, first: int) -> None:
    margins = Margins(base, 0.4, data.draw(tables(len(batch.labels), 3)))
    labels = batch.labels + first
    gaps = looped(batch.embeddings, labels, margins)
    for block in BLOCKS:
        found = sum_over_triplets(batch.embeddings, SameClass(labels), margins, block=block)
        assert found.total.item() == pytest.approx(sum(max(0.0, gap) for gap in gaps), abs=1e-10)
        assert found.valid == len(gaps)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**20), st.integers(1, 12), st.integers(1, 5), st.booleans(), st.booleans(), st.booleans())
def test_sums_and_numbers_equal_the_loops_where_nothing_ties(
    seed: int, size: int, classes: int, text: bool, semihard: bool, search: bool
) -> None:
    x, _ = generic(size, 4, seed=seed)
    y = torch.randint(classes, (size,), generator=torch.Generator().manual_seed(seed)) + 2**24
    margins = Margins(0.3, 0.9, generic(size, 3, seed=seed + 1)[0]) if text else Margins(0.3)
    gaps = looped(x, y, margins, semihard)
    active = [gap for gap in gaps if gap > 0]
    with pytest.MonkeyPatch.context() as patch:
        if search:
            patch.setattr(pairs, "FEW", 0)
        for block in BLOCKS:
            found = sum_over_triplets(x, SameClass(y), margins, semihard, block)
            assert found.total.item() == pytest.approx(sum(active), abs=1e-10)
            assert (found.valid, found.active) == (len(gaps), len(active))


@pytest.mark.parametrize("semihard", [False, True])
@pytest.mark.parametrize("few", [0, 64])
@pytest.mark.parametrize("block", BLOCKS)
def test_gradient_is_that_of_the_sum(block: int, few: int, semihard: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "FEW", few)
    x, y = generic(11, 4, num_classes=4)
    margins = Margins(0.3, 0.9, generic(11, 3, seed=1)[0])
    gaps = looped(x, y, margins, semihard)
    assert sum(gap > 0 for gap in gaps) > 10 and (semihard or min(gaps) < 0)
    assert gradcheck(lambda e: sum_over_triplets(e, SameClass(y), margins, semihard, block).total, x.requires_grad_())


@pytest.mark.parametrize("block", BLOCKS)
def test_a_second_derivative_is_refused(block: int) -> None:
    x, y = generic(11, 4)
    total = sum_over_triplets(x.requires_grad_(), SameClass(y), Margins(0.5), block=block).total
    (gradient,) = torch.autograd.grad(total, x, create_graph=True)
    with pytest.raises(RuntimeError, match="all or semi-hard triplets cannot be differentiated twice"):
        gradient.square().sum().backward()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("semihard", [False, True])
def test_the_block_and_the_way_of_counting_do_not_change_the_result(
    dtype: torch.dtype, tolerance: float, semihard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = generic(70, 16, num_classes=6)
    text = generic(70, 8, seed=1)[0]
    results = []
    for block, few in ((10**6, 64), (pairs.BLOCK, 64), (70 * 13, 64), (pairs.BLOCK, 0), (70 * 13, 0), (1, 0)):
        monkeypatch.setattr(pairs, "FEW", few)
        embeddings = x.to(dtype).requires_grad_()
        found = sum_over_triplets(embeddings, SameClass(y), Margins(0.1, 0.3, text), semihard, block)
        (gradient,) = torch.autograd.grad(found.total, embeddings)
        results.append((found.total.detach(), found.active, gradient))
    assert results[0][1] > 1000
    for total, active, gradient in results[1:]:
        torch.testing.assert_close(total, results[0][0], rtol=tolerance, atol=0)
        # A hinge within rounding of 0 may count or not, in float32.
        assert abs(active - results[0][1]) <= (0 if dtype == torch.float64 else 3)
        scale = results[0][2].abs().max().item()
        few = 20 * tolerance if dtype == torch.float64 else 1e-3
        torch.testing.assert_close(gradient, results[0][2], rtol=0, atol=few * scale)


def test_twice_the_same_bits() -> None:
    x, y = generic(70, 16, num_classes=6)
    first, second = (sum_over_triplets(x.float(), SameClass(y), Margins(0.1)).total for _ in range(2))
    assert torch.equal(first, second) and first > 1


def test_no_table_of_the_batch_is_kept_for_the_backward_pass() -> None:
    x, y = generic(60, 4)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        sum_over_triplets(x.requires_grad_(), SameClass(y), Margins(0.5))
    assert 0 < max(kept) <= 60 * 4


def test_numbers_that_are_not_numbers_are_not_hidden() -> None:
    for size in (11, 60):
        x, y = generic(size, 4)
        x[3, 2] = torch.nan
        total = sum_over_triplets(x.requires_grad_(), SameClass(y), Margins(0.5)).total
        total.backward()
        assert total.isnan() and x.grad is not None and x.grad.isnan().any()


def test_margins_of_rows_of_zeros_are_those_of_a_vector_without_length() -> None:
    vectors = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    less = Margins(0.1, 0.5, vectors).subtracted_from(torch.zeros(3, 3, dtype=torch.float64))
    expected = torch.tensor([[0.1, 0.1, 0.6], [0.1, 0.1, 0.6], [0.6, 0.6, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(-less, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("few", [0, 64])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_hinge_of_exactly_zero_is_not_active_nor_in_the_window(
    block: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 0° and 90° (class 0) and 180°: gaps 2 - 4 + 2 = 0 and 2 - 2 + 2; d(a,n) is at an end of the window in both."""
    monkeypatch.setattr(pairs, "FEW", few)
    x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), torch.tensor([0, 0, 1])
    assert [number.item() for number in sum_over_triplets(x, SameClass(y), Margins(2.0), block=block)] == [2, 2, 1]
    assert [number.item() for number in sum_over_triplets(x, SameClass(y), Margins(2.0), True, block)] == [0, 0, 0]
