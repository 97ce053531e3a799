"""AdaptiveTripletLoss: the formula in every mining, its limits, its golden numbers and its peer."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from lookalike.errors import LossInputError
from lookalike.losses import AdaptiveTripletLoss, TripletLoss
from lookalike.losses.pairs import Margins
from tests.losses import references
from tests.losses.batches import FIRST_CLASS_NUMBERS, Batch, batches, generic, tables

SCALINGS = ("shrink", "stretch")


@settings(deadline=None, max_examples=150)
@given(
    st.data(),
    batches(),
    st.sampled_from([0.1, 1.0]),
    st.sampled_from(SCALINGS),
    st.sampled_from(FIRST_CLASS_NUMBERS),
    st.sampled_from(["all", "hard"]),
)
def test_equals_the_reference(
    data: st.DataObject, batch: Batch, beta: float, scaling: str, first: int, mining: str
) -> None:
    side, labels = data.draw(tables(len(batch.labels), 3)), batch.labels + first
    margins = references.text_margins(side.tolist(), beta, scaling)
    found = references.mined_triplets(batch.embeddings.tolist(), labels.tolist(), margins, mining)
    expected = references.mean_of_hinges([gap for *_, gap in found], "valid")
    loss = AdaptiveTripletLoss(beta, mining, scaling)
    assert loss(batch.embeddings, labels, side_vectors=side).item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("average", ["valid", "active"])
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
def test_equals_the_reference_where_nothing_ties(mining: str, scaling: str, average: str) -> None:
    for size in (9, 15, 52):
        x, y = generic(size, 5, num_classes=5, seed=size)
        x += 3 * generic(5, 5, seed=1)[0][y]  # near its class, so that some hinges are content
        side = generic(size, 4, seed=2)[0]
        margins = references.text_margins(side.tolist(), 0.1, scaling)
        gaps = [gap for *_, gap in references.mined_triplets(x.tolist(), y.tolist(), margins, mining)]
        assert sum(gap > 0 for gap in gaps) >= 3
        assert mining != "all" or scaling == "stretch" or size == 52 or min(gaps) < 0
        expected = references.mean_of_hinges(gaps, average)
        loss = AdaptiveTripletLoss(0.1, mining, scaling, average)
        assert loss(x, y, side_vectors=side).item() == pytest.approx(expected, abs=1e-10)


def test_a_batch_worked_out_by_hand() -> None:
    """Embeddings at 0°, 60° (class 0), 90°: squared distances 1, 2, 2 - sqrt 3. Texts t, t, -t: |t - (-t)|^2 = 4.

    beta = 0.5 makes the margin 0.5 + 4/3.5 (shrink) and 4 (stretch). Two triplets: 1 - 2 + m and 1 - (2 - sqrt 3) + m.
    """
    x = torch.tensor([[1.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 1.0]], dtype=torch.float64)
    y, t = torch.tensor([0, 0, 1]), torch.tensor([[2.0], [0.5], [-3.0]], dtype=torch.float64)
    for scaling, m in (("shrink", 0.5 + 4 / 3.5), ("stretch", 4.0)):
        expected = ((m - 1) + (m - 1 + 3**0.5)) / 2
        found = AdaptiveTripletLoss(0.5, scaling=scaling)(x, y, side_vectors=t)
        assert found.item() == pytest.approx(expected, abs=1e-12)


def test_defaults_are_those_of_the_contract() -> None:
    loss = AdaptiveTripletLoss()
    assert (loss.base_margin, loss.mining, loss.scaling, loss.average) == (0.1, "all", "shrink", "valid")
    assert loss.inputs == {"labels": True, "side_vectors": True}


@pytest.mark.parametrize("mining", ["all", "semihard", "hard", "distance"])
@pytest.mark.parametrize("average", ["valid", "active"])
@pytest.mark.parametrize("size", [12, 60])
def test_equal_texts_are_the_triplet_loss_with_margin_beta(mining: str, average: str, size: int) -> None:
    x, y = generic(size)
    side = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64).repeat(size, 1)
    torch.manual_seed(0)
    found = AdaptiveTripletLoss(0.3, mining, "stretch", average)(x, y, side_vectors=side)
    torch.manual_seed(0)
    expected = TripletLoss(0.3, mining, average)(x, y)
    assert found.item() == pytest.approx(expected.item(), abs=1e-10) and expected > 0.05


@settings(deadline=None, max_examples=50)
@given(tables(6, 3), st.sampled_from([0.01, 0.1, 2.0, 3.9]), st.sampled_from(SCALINGS))
def test_margins_lie_in_their_range(side: torch.Tensor, beta: float, scaling: str) -> None:
    # x_a = x_p, and the negative at distance 0 too: the hinge is the margin alone.
    side = torch.cat([side, -side[:1]])
    x = torch.ones(3, 2, dtype=torch.float64)
    y, loss = torch.tensor([0, 0, 1]), AdaptiveTripletLoss(beta, scaling=scaling)
    largest = beta + 4 / (4 - beta) if scaling == "shrink" else 4.0
    for n in range(7):
        margin = loss(x, y, side_vectors=side[[0, 0, n]]).item()
        assert beta - 1e-9 <= margin <= largest + 1e-9
        assert n != 0 or margin == pytest.approx(beta, abs=1e-9)
    assert margin == pytest.approx(largest, abs=1e-9)


def test_the_semihard_window_is_as_wide_as_the_margin_of_the_pair() -> None:
    degrees = torch.tensor([0.0, 0.0, 40.0], dtype=torch.float64).deg2rad()
    x = torch.stack([degrees.cos(), degrees.sin()], dim=1)  # negative at 0.468, margin 0.1 or 0.1 + 4/3.9
    y, loss = torch.tensor([0, 0, 1]), AdaptiveTripletLoss(mining="semihard")
    near, far = torch.tensor([[1.0], [1.0], [1.0]]), torch.tensor([[1.0], [1.0], [-1.0]])
    assert loss(x, y, side_vectors=near) == 0
    assert loss(x, y, side_vectors=far).item() == pytest.approx(0.1 + 4 / 3.9 - (2 - 2 * degrees[2].cos().item()))


@pytest.mark.parametrize("mining", ["all", "semihard", "hard", "distance"])
def test_no_gradient_reaches_the_side_vectors(mining: str) -> None:
    x, y = generic()
    side = generic(12, 3, seed=1)[0].requires_grad_()
    AdaptiveTripletLoss(mining=mining)(x.requires_grad_(), y, side_vectors=side).backward()
    assert side.grad is None and x.grad is not None and x.grad.any()


@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
def test_gradient_with_a_text_for_each_item(mining: str) -> None:
    x, y = generic()
    side, loss = generic(12, 3, seed=1)[0], AdaptiveTripletLoss(mining=mining, average="active")
    assert gradcheck(lambda e: loss(e, y, side_vectors=side), x.requires_grad_())


@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
@pytest.mark.parametrize("size", [12, 60])
def test_order_of_items_with_their_texts_does_not_matter(mining: str, size: int) -> None:
    x, y = generic(size)
    side, loss = generic(size, 3, seed=1)[0], AdaptiveTripletLoss(mining=mining, scaling="stretch")
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    expected = loss(x, y, side_vectors=side).item()
    assert loss(x[order], y[order], side_vectors=side[order]).item() == pytest.approx(expected, abs=1e-12)
    assert loss(x, y, side_vectors=side[order]).item() != pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("mining", ["all", "hard", "semihard", "distance"])
def test_autocast_does_not_round(mining: str) -> None:
    for size in (12, 60):
        x, y = generic(size)
        x, side, loss = x.float(), generic(size, 3, seed=1)[0].bfloat16(), AdaptiveTripletLoss(mining=mining)
        torch.manual_seed(0)
        expected = loss(x, y, side_vectors=side)
        with torch.autocast("cpu", torch.bfloat16):
            assert (x @ x.T).dtype == torch.bfloat16
            torch.manual_seed(0)
            assert torch.equal(loss(x, y, side_vectors=side), expected)


@pytest.mark.parametrize("size", [20, 60])
def test_equal_texts_equal_pytorch_metric_learning(size: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from pytorch_metric_learning import distances, losses
    peer = losses.TripletMarginLoss(margin=0.1, distance=distances.LpDistance(power=2))
    x, y = generic(size, dim=5, num_classes=5)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    side = torch.ones(size, 2, dtype=torch.float64)
    found = AdaptiveTripletLoss(0.1, average="active")(ours, y, side_vectors=side)
    expected = peer(theirs, y)
    assert expected > 0.1 and found.item() == pytest.approx(expected.item(), abs=1e-10)
    found.backward(), expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=0)


def test_what_cannot_be_is_refused() -> None:
    for margin in (0, -0.1, 4, float("nan")):
        with pytest.raises(LossInputError, match=rf"base_margin .* must lie in \(0, 4\), not {margin}"):
            AdaptiveTripletLoss(margin)
    with pytest.raises(LossInputError, match="scaling must be one of shrink, stretch, not 'grow'"):
        AdaptiveTripletLoss(scaling="grow")
    with pytest.raises(LossInputError, match="mining must be one of all, semihard, hard, distance, not 'easy'"):
        AdaptiveTripletLoss(mining="easy")
    with pytest.raises(LossInputError, match="average must be one of valid, active, not 'mean'"):
        AdaptiveTripletLoss(average="mean")
    x, y = generic()
    for side in (x[:-1], x[:, 0], x[None]):
        with pytest.raises(LossInputError, match=r"side_vectors must be \[12, T\], one row an item, not \("):
            AdaptiveTripletLoss()(x, y, side_vectors=side)


def test_margins_by_table_and_by_product_agree() -> None:
    side = generic(8, 3)[0]
    table = references.text_margins(side.tolist(), 0.1, "stretch")
    margins = Margins(0.1, (4 - 0.1) / 4, side)
    found = -margins.subtracted_from(torch.zeros(8, 8, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(table, dtype=torch.float64), atol=1e-12, rtol=0)
