"""Loss and WeightedSum: what a signature declares, and how parts are put together."""

import pytest
import torch
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses import AdaptiveAdditiveSoftmaxLoss, Loss, NormalizedSoftmaxLoss, Proxies, TripletLoss, WeightedSum
from tests.losses.batches import generic


class Lengths(Loss):
    """Takes no labels; what it takes is optional."""

    def terms(self, embeddings: Tensor, *, side_vectors: Tensor | None = None) -> dict[str, Tensor]:
        base = embeddings.square().mean()
        return {"length": base} if side_vectors is None else {"length": base, "side": side_vectors.square().mean()}


class Sides(Loss):
    def terms(self, embeddings: Tensor, labels: Tensor, *, side_vectors: Tensor) -> dict[str, Tensor]:
        return {"side": (embeddings.sum(dim=1) * side_vectors.sum(dim=1)).mean()}


def test_the_signature_declares_the_inputs() -> None:
    assert TripletLoss().inputs == {"labels": True}
    assert Lengths().inputs == {"side_vectors": False}
    assert Sides().inputs == {"labels": True, "side_vectors": True}


def test_a_loss_is_the_sum_of_its_terms() -> None:
    x, sides = generic()[0], generic(seed=1)[0]
    assert Lengths()(x).item() == pytest.approx(x.square().mean().item())
    assert Lengths()(x, side_vectors=sides).item() == pytest.approx((x.square() + sides.square()).mean().item())


def test_a_misspelt_input_is_an_error() -> None:
    x, wrong = generic()[0], torch.ones(12, 2)
    with pytest.raises(TypeError, match="side_vector"):
        Lengths()(x, side_vector=wrong)
    with pytest.raises(TypeError, match="no part of this WeightedSum takes side_vector; they take side_vectors"):
        WeightedSum({"lengths": (1, Lengths())})(x, side_vector=wrong)


def test_a_missing_input_is_an_error() -> None:
    with pytest.raises(TypeError, match="side_vectors"):
        WeightedSum({"a": (1, Sides())})(*generic())
    with pytest.raises(TypeError, match="labels"):
        WeightedSum({"a": (1, TripletLoss())})(generic()[0])


def test_a_weighted_sum_takes_what_any_part_takes_and_gives_each_its_own() -> None:
    total = WeightedSum({"triplet": (2, TripletLoss(0.5)), "lengths": (3, Lengths()), "sides": (0.5, Sides())})
    assert total.inputs == {"labels": True, "side_vectors": True}
    assert WeightedSum({"triplet": (1, TripletLoss()), "lengths": (1, Lengths())}).inputs == {
        "labels": True,
        "side_vectors": False,
    }
    assert WeightedSum({"sides": (1, Sides()), "lengths": (1, Lengths())}).inputs == total.inputs
    (x, y), sides = generic(), generic(seed=1)[0]
    terms = total.terms(x, y, side_vectors=sides)
    triplet = TripletLoss(0.5)(x, y)
    assert triplet > 0.1
    assert {name: round(term.item(), 9) for name, term in terms.items()} == {
        "triplet.triplet": round(2 * triplet.item(), 9),
        "lengths.length": round(3 * x.square().mean().item(), 9),
        "lengths.side": round(3 * sides.square().mean().item(), 9),
        "sides.side": round(0.5 * Sides()(x, y, side_vectors=sides).item(), 9),
    }
    assert total(x, y, side_vectors=sides).item() == pytest.approx(sum(terms.values()).item(), abs=1e-9)


def test_a_weighted_sum_can_hold_a_weighted_sum() -> None:
    x, y = generic()
    inner = WeightedSum({"triplet": (2, TripletLoss(0.5))})
    outer = WeightedSum({"inner": (3, inner)})
    assert outer.inputs == {"labels": True}
    assert list(outer.terms(x, y)) == ["inner.triplet.triplet"]
    assert outer(x, y).item() == pytest.approx(6 * TripletLoss(0.5)(x, y).item())


def test_shared_proxies_are_one_parameter_trained_by_both() -> None:
    proxies = Proxies(4, 6).double()
    x, y = generic()
    adaptive = AdaptiveAdditiveSoftmaxLoss(proxies=proxies, class_side_vectors=torch.eye(4)).double()
    plain = NormalizedSoftmaxLoss(proxies=proxies)
    total = WeightedSum({"adaptive": (0.5, adaptive), "plain": (2, plain)})
    assert [parameter is proxies.weight for parameter in total.parameters()] == [True]

    def gradient(loss: Loss) -> Tensor:
        proxies.zero_grad()
        loss(x, y).backward()
        assert proxies.weight.grad is not None and proxies.weight.grad.abs().max() > 1e-3
        return proxies.weight.grad.clone()

    expected = 0.5 * gradient(adaptive) + 2 * gradient(plain)
    torch.testing.assert_close(gradient(total), expected)


def test_a_weight_of_0_gives_nothing_and_no_gradient() -> None:
    x, y = generic()
    total = WeightedSum({"triplet": (0, TripletLoss(0.5))})(x.requires_grad_(), y)
    total.backward()
    assert total == 0 and x.grad is not None and not x.grad.any()


def test_an_empty_weighted_sum_is_refused() -> None:
    with pytest.raises(LossInputError, match="a WeightedSum needs at least one loss"):
        WeightedSum({})
