"""DensityPenalty: the formula, its limits, its memory, and that it spreads a class."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import normalize

from lookalike.errors import LossInputError
from lookalike.losses import DensityPenalty, NormalizedSoftmaxLoss, WeightedSum
from lookalike.losses.density import Groups, RunningDensities, densities
from tests.losses import references
from tests.losses.batches import Batch, batches, generic


@settings(deadline=None, max_examples=150)
@given(batches(), st.sampled_from([0.1, 0.5, 2.0]), st.sampled_from([0.0, 0.3, 0.9]), st.integers(1, 13))
def test_equals_the_reference(batch: Batch, bandwidth: float, max_density: float, block: int) -> None:
    x, y = batch.embeddings, batch.labels
    groups = Groups.of(y)
    members = {
        c: [row for row, label in zip(x.tolist(), y.tolist(), strict=True) if label == c] for c in set(y.tolist())
    }
    expected = {c: references.density(items, bandwidth) for c, items in members.items()}
    found = densities(normalize(x, dim=1), groups, bandwidth, block)
    assert dict(zip(groups.classes.tolist(), found.tolist(), strict=True)) == pytest.approx(expected, abs=1e-12)
    above = [max(0.0, expected[c] - max_density) ** 2 for c in members if len(members[c]) > 1]
    mean = sum(above) / len(above) if above else 0.0
    assert DensityPenalty(max_density, bandwidth)(x, y).item() == pytest.approx(mean, abs=1e-12)


def test_two_pairs_worked_out_by_hand() -> None:
    """One class at right angles, at a squared distance of 2; one of equal points; one item that has no density."""
    x, y = torch.tensor([[1.0, 0], [0, 3], [2, 0], [5, 0], [1, 1]]), torch.tensor([7, 7, 2**40, 2**40, 3])
    groups = Groups.of(y)
    found = densities(normalize(x, dim=1), groups, bandwidth=0.5)
    assert found.tolist() == pytest.approx([0, math.exp(-4), 1])
    assert DensityPenalty(0.5)(x, y).item() == pytest.approx(0.25 / 2)


def test_a_gradient_that_is_that_of_the_loss_and_of_its_gradient() -> None:
    x, y = generic(8, 4)
    loss = DensityPenalty(0.01, 1.0)
    assert loss(x, y) > 0.01
    assert gradcheck(lambda x: loss(x, y), [x.requires_grad_()])
    assert gradgradcheck(lambda x: loss(x, y), [x])


@pytest.mark.parametrize("labels", [[], [0], [0, 1, 2]])
def test_without_two_items_of_a_class_it_is_zero_with_a_graph(labels: list[int]) -> None:
    x = torch.ones(len(labels), 3, requires_grad=True)
    total = DensityPenalty()(x, torch.tensor(labels, dtype=torch.int64))
    total.backward()
    assert total == 0
    assert x.grad is not None and not x.grad.any()


def test_equal_points_and_rows_without_length_and_a_narrow_kernel_stay_finite() -> None:
    for bandwidth in (1e-3, 0.5, 1e6):
        x = torch.ones(6, 3).index_fill(0, torch.tensor([0, 1]), 0).requires_grad_()
        total = DensityPenalty(0.0, bandwidth)(x, torch.tensor([0, 0, 0, 1, 1, 1]))
        total.backward()
        assert 0 < total <= 1
        assert torch.isfinite(x.grad).all()


def test_rounding_makes_no_density_above_one() -> None:
    x = normalize(torch.randn(50, 64, generator=torch.Generator().manual_seed(0)), dim=1).repeat_interleave(2, dim=0)
    assert x.square().sum(dim=1).max() > 1
    found = densities(x, Groups.of(torch.arange(100) // 2), bandwidth=1e-3)
    assert found.min() > 0.5 and found.max() <= 1


def test_no_matrix_of_all_pairs_is_formed() -> None:
    size, sizes = 4096, []
    x, y = torch.randn(size, 16), torch.arange(size) // 4

    def watch(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(watch, lambda tensor: tensor):
        DensityPenalty(0.0)(x.requires_grad_(), y).backward()
    assert 0 < max(sizes) < size**2 / 100


def test_it_spreads_the_classes_a_softmax_draws_together() -> None:
    y, found = torch.arange(12) % 3, []
    for weight in (0.0, 10.0):
        torch.manual_seed(0)
        x = torch.randn(12, 4, requires_grad=True)
        softmax = NormalizedSoftmaxLoss(3, 4, scale=4, margin=1.0)
        loss = WeightedSum({"softmax": (1, softmax), "spread": (weight, DensityPenalty(0.6))})
        optimizer = torch.optim.Adam([x, *loss.parameters()], 0.05)
        for _ in range(200):
            optimizer.zero_grad()
            loss(x, y).backward()
            optimizer.step()
        with torch.no_grad():
            found.append(densities(normalize(x, dim=1), Groups.of(y), 0.5).mean().item())
    assert found[0] > 0.9
    assert found[1] < 0.7


def test_the_running_density_moves_while_training_and_only_then() -> None:
    running, groups = RunningDensities(4, momentum=0.75), Groups.of(torch.tensor([1, 1, 3]))
    assert running.eval()(groups, torch.tensor([0.4, 0.0])).tolist() == pytest.approx([0.4, 1.0])
    assert running.densities.tolist() == [1, 1, 1, 1]
    running.train()
    running(groups, torch.tensor([0.4, 0.0]))
    assert running.densities.tolist() == pytest.approx([1, 0.4, 1, 1]), "the first replaces what was not known"
    running(groups, torch.tensor([0.8, 0.0]))
    assert running.densities.tolist() == pytest.approx([1, 0.5, 1, 1])
    alone = running(Groups.of(torch.tensor([0, 1])), torch.tensor([0.0, 0.0]))
    assert alone.tolist() == pytest.approx([1, 0.5]), "of one item the running one, and 1 of a class never seen"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_density": 1.5}, r"max_density must be in \[0, 1\], not 1.5"),
        ({"max_density": -0.1}, r"max_density must be in \[0, 1\], not -0.1"),
        ({"bandwidth": 0}, "bandwidth must be at least 0.001, not 0"),
        ({"bandwidth": math.inf}, "bandwidth must be at least 0.001, not inf"),
        ({"bandwidth": math.nan}, "bandwidth must be at least 0.001, not nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(LossInputError, match=sentence):
        DensityPenalty(**settings)
