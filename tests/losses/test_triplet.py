"""TripletLoss: the formula, its golden numbers, its limits and its peer."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import LossInputError
from lookalike.losses import TripletLoss
from lookalike.losses.pairs import squared_distances
from lookalike.losses.relations import SameClass
from tests.losses import references
from tests.losses.batches import FIRST_CLASS_NUMBERS, Batch, batches, generic


@settings(deadline=None, max_examples=150)
@given(batches(), st.sampled_from([0.05, 0.5, 3.9]), st.sampled_from(FIRST_CLASS_NUMBERS))
def test_equals_the_reference(batch: Batch, margin: float, first: int) -> None:
    labels = batch.labels + first
    expected = references.triplet(batch.embeddings.tolist(), labels.tolist(), margin)
    assert TripletLoss(margin)(batch.embeddings, labels).item() == pytest.approx(expected, abs=1e-10)


def test_equals_the_reference_where_some_hinges_are_active_and_some_are_not() -> None:
    x, y = generic(12, num_classes=4, seed=3)
    # Pulled together by class, most anchors are content.
    means = torch.stack([x[y == c].mean(dim=0) for c in range(3)])
    pulled = 0.3 * x + means[y]
    hinges = references.triplet_hinges(pulled.tolist(), y.tolist(), 0.1)
    assert 3 <= sum(hinge > 0 for hinge in hinges) < len(hinges) == 12
    assert TripletLoss(0.1)(pulled, y).item() == pytest.approx(sum(hinges) / 12, abs=1e-10)


def test_a_batch_worked_out_by_hand() -> None:
    """On the circle at 0°, 60° (class 0) and 90° (class 1): squared distances 1, 2 - sqrt 3 and 2.

    Anchor 0°: 1 - 2 + m. Anchor 60°: 1 - (2 - sqrt 3) + m. The third has no positive, so the mean is over two.
    """
    x = torch.tensor([[1.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1])
    assert TripletLoss(0.2)(x, y).item() == pytest.approx((0 + (3**0.5 - 1 + 0.2)) / 2, abs=1e-12)
    assert TripletLoss(1.5)(x, y).item() == pytest.approx((0.5 + (3**0.5 - 1 + 1.5)) / 2, abs=1e-12)


def test_class_numbers_that_are_one_float32_are_two_classes() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.05]])
    y = torch.tensor([2**24, 2**24, 2**24 + 1])
    assert y.float().unique().numel() == 1
    assert TripletLoss()(x, y) > 0.1


def test_the_hardest_positive_and_negative_get_the_gradient_and_the_others_none() -> None:
    degrees = torch.tensor([0.0, 10, 50, 70, 170], dtype=torch.float64).deg2rad()
    x = torch.stack([degrees.cos(), degrees.sin()], dim=1).requires_grad_()
    y = torch.tensor([0, 0, 0, 1, 2])
    loss = TripletLoss(margin=0.01)
    hinges = references.triplet_hinges(x.tolist(), y.tolist(), 0.01)
    assert [hinge > 0 for hinge in hinges] == [False, False, True]
    loss(x, y).backward()
    # The only active anchor is at 50°: pulled to the one at 0°, pushed from the one at 70°.
    assert x.grad is not None
    assert x.grad.abs().sum(dim=1).gt(1e-6).tolist() == [True, False, True, True, False]


def test_no_active_hinge_gives_no_gradient() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.01], [-1.0, 0.0], [-1.0, 0.01]], requires_grad=True)
    loss = TripletLoss()(x, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss == 0 and x.grad is not None and not x.grad.any()


def test_equals_pytorch_metric_learning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from pytorch_metric_learning import distances, losses, miners, reducers
    squared = distances.LpDistance(power=2)
    # Its default averages over the active triplets only; ours over the anchors that have one.
    peer = losses.TripletMarginLoss(margin=0.1, distance=squared, reducer=reducers.MeanReducer())
    mine = miners.BatchHardMiner(distance=squared)
    x, y = generic(16, dim=5, num_classes=5)
    y[0] = 7  # an anchor without a positive
    hinges = references.triplet_hinges(x.tolist(), y.tolist(), 0.1)
    assert len(hinges) == 15 and sum(hinge > 0 for hinge in hinges) > 3
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = peer(theirs, y, mine(theirs, y))
    found = TripletLoss(0.1)(ours, y)
    assert found.item() == pytest.approx(expected.item(), abs=1e-10)
    found.backward(), expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=0)


@pytest.mark.parametrize("margin", [0, -0.1, 4, 5.5, float("nan")])
def test_a_margin_out_of_range_is_refused(margin: float) -> None:
    sentence = rf"margin is a squared distance of unit vectors and must lie in \(0, 4\), not {margin}"
    with pytest.raises(LossInputError, match=sentence):
        TripletLoss(margin)


def test_squared_distances_are_those_of_unit_vectors() -> None:
    x, _ = generic(7)
    expected = references.distances_of(x.tolist())
    torch.testing.assert_close(squared_distances(x), torch.tensor(expected, dtype=x.dtype), atol=1e-12, rtol=0)
    assert squared_distances(x.bfloat16()).dtype == torch.float32


def test_pairs_leave_out_an_item_and_itself() -> None:
    positive, negative = SameClass(torch.tensor([4, 9, 4])).pairs()
    assert positive.tolist() == [[False, False, True], [False, False, False], [True, False, False]]
    assert negative.tolist() == [[False, True, False], [True, False, True], [False, True, False]]


@pytest.mark.parametrize("average", ["valid", "active"])
@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
def test_every_mining_equals_the_reference(mining: str, average: str) -> None:
    for size in (13, 52):
        x, y = generic(size, 5, num_classes=5, seed=1)
        x += 2 * generic(5, 5, seed=1)[0][y]
        found = references.mined_triplets(x.tolist(), y.tolist(), [[0.3] * size] * size, mining)
        gaps = [gap for *_, gap in found]
        assert sum(gap > 0 for gap in gaps) > 3
        expected = references.mean_of_hinges(gaps, average)
        assert TripletLoss(0.3, mining, average)(x, y).item() == pytest.approx(expected, abs=1e-10)


def test_defaults_are_as_they_were() -> None:
    loss = TripletLoss()
    assert (loss.margin, loss.mining, loss.average) == (0.2, "hard", "valid")


@pytest.mark.parametrize("size", [16, 60])
def test_all_triplets_equal_pytorch_metric_learning(size: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from pytorch_metric_learning import distances, losses
    peer = losses.TripletMarginLoss(margin=0.1, distance=distances.LpDistance(power=2))
    x, y = generic(size, dim=5, num_classes=5)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = TripletLoss(0.1, "all", "active")(ours, y), peer(theirs, y)
    assert expected > 0.1 and found.item() == pytest.approx(expected.item(), abs=1e-10)
    found.backward(), expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=0)


@pytest.mark.parametrize("setting", [{"mining": "easy"}, {"average": "mean"}])
def test_an_unknown_choice_is_refused(setting: dict[str, str]) -> None:
    with pytest.raises(LossInputError, match=r"must be one of (all, semihard, hard, distance|valid, active), not '"):
        TripletLoss(**setting)
