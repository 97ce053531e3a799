"""Mining: the window, the hardest, and how distance-weighted sampling draws."""

import math

import pytest
import torch

from lookalike.losses import TripletLoss
from lookalike.losses.mining import draw_negatives, sum_of_drawn
from lookalike.losses.pairs import Margins, squared_distances
from lookalike.losses.relations import SameClass
from tests.losses import references
from tests.losses.batches import generic


def on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_negatives_are_drawn_as_the_formula_says() -> None:
    """Distances 0.2 (drawn as 0.5), 0.8, 1.2 and 1.6 (beyond 1.4, never); D = 8."""
    lengths = [0.2, 0.8, 1.2, 1.6]
    distances = torch.tensor([[0.0, 0.0, *(d**2 for d in lengths)]], dtype=torch.float64)
    negative = torch.tensor([[False, False, True, True, True, True]])
    weights = [d ** (2 - 8) * (1 - d**2 / 4) ** (-(8 - 3) / 2) for d in (0.5, 0.8, 1.2)]
    expected = torch.tensor([0, 0, *weights, 0]) / sum(weights)
    drawn = draw_negatives(distances, negative, 8, 40_000, torch.Generator().manual_seed(0))
    found = drawn[0].bincount(minlength=6) / 40_000
    assert found[[0, 1, 5]].tolist() == [0, 0, 0]
    torch.testing.assert_close(found, expected, atol=4 * math.sqrt(0.25 / 40_000), rtol=0)
    assert expected[3] > 0.03


def test_an_anchor_whose_negatives_are_all_far_draws_from_them_alike() -> None:
    distances = torch.tensor([[0.0, 0.1, 2.5, 3.9]])
    negative = torch.tensor([[False, False, True, True]])
    drawn = draw_negatives(distances, negative, 8, 10_000, torch.Generator().manual_seed(0))
    counts = drawn[0].bincount(minlength=4)
    assert counts[:2].tolist() == [0, 0] and counts[2:].min() > 4_700


def test_every_pair_of_an_anchor_and_a_positive_gets_one_negative() -> None:
    x, y = generic(14, 6, num_classes=5)
    y[0] = 9  # no positive
    generator = torch.Generator().manual_seed(0)
    found = sum_of_drawn(x, SameClass(y), Margins(0.4), generator)
    margins = [[0.4] * 14] * 14
    triplets = references.mined_triplets(x.tolist(), y.tolist(), margins, "all")
    assert found.valid == len({(a, p) for a, p, *_ in triplets}) > 20
    assert 3 < found.active <= found.valid
    # Between the least and the most that any choice of negatives gives.
    by_pair: dict[tuple[int, int], list[float]] = {}
    for a, p, _, gap in triplets:
        by_pair.setdefault((a, p), []).append(max(0.0, gap))
    least, most = (sum(pick(gaps) for gaps in by_pair.values()) for pick in (min, max))
    assert least < found.total.item() < most


def test_with_one_negative_there_is_no_choice() -> None:
    x, y = on_circle(0, 20, 60, 85), torch.tensor([0, 0, 0, 1])
    margins = [[0.7] * 4] * 4
    gaps = [gap for *_, gap in references.mined_triplets(x.tolist(), y.tolist(), margins, "all")]
    assert 0 < sum(gap > 0 for gap in gaps) < len(gaps) == 6
    for average in ("valid", "active"):
        found = TripletLoss(0.7, "distance", average)(x, y).item()
        assert found == pytest.approx(references.mean_of_hinges(gaps, average), abs=1e-12)


def test_a_generator_or_the_random_state_decides() -> None:
    x, y = generic(40, 6, num_classes=9)
    one, same, other = (
        sum_of_drawn(x, SameClass(y), Margins(0.4), torch.Generator().manual_seed(n)).total for n in (1, 1, 2)
    )
    assert one == same and one != other
    loss = TripletLoss(0.4, "distance")
    torch.manual_seed(1)
    first, second = loss(x, y), loss(x, y)
    torch.manual_seed(1)
    assert loss(x, y) == first != second


@pytest.mark.parametrize("mining", ["all", "semihard", "hard", "distance"])
def test_batches_without_a_triplet_give_zero_on_the_graph(mining: str) -> None:
    x, y = generic(12)
    for rows, labels in ((12, torch.zeros_like(y)), (12, torch.arange(12)), (1, y[:1]), (0, y[:0])):
        for average in ("valid", "active"):
            embeddings = x[:rows].clone().requires_grad_()
            total = TripletLoss(0.5, mining, average)(embeddings, labels)
            total.backward()
            assert total == 0 and embeddings.grad is not None and not embeddings.grad.any()


def test_drawing_is_finite_on_equal_and_opposite_points_and_zeros() -> None:
    x, y = on_circle(0, 0, 180, 180, 0, 180), torch.tensor([0, 0, 1, 1, 2, 2])
    x[5] = 0
    for dim in (1, 2):
        embeddings = x[:, :dim].float().requires_grad_()
        total = TripletLoss(0.5, "distance")(embeddings, y)
        total.backward()
        assert torch.isfinite(total) and embeddings.grad is not None and torch.isfinite(embeddings.grad).all()


def test_only_negatives_are_drawn() -> None:
    x, y = generic(30, 6, num_classes=4)
    _, negative = SameClass(y).pairs()
    drawn = draw_negatives(squared_distances(x), negative, 6, 50)
    assert negative.gather(1, drawn).all() and len(drawn[0].unique()) > 3
