"""NormalizedSoftmaxLoss: the formula, its golden number, its limits and its peers."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import LossInputError
from lookalike.losses import NormalizedSoftmaxLoss, Proxies
from tests.losses import references
from tests.losses.batches import Batch, batches, generic, tables


def with_proxies(weight: torch.Tensor, **settings: float) -> NormalizedSoftmaxLoss:
    """The loss in float64 with these proxies as they are, not made unit."""
    loss = NormalizedSoftmaxLoss(*weight.shape, **settings).double()
    loss.load_state_dict({"proxies.weight": weight})
    return loss


@settings(deadline=None, max_examples=150)
@given(batches(), st.data(), st.sampled_from([1.0, 20.0, 64.0]), st.sampled_from([0.0, 0.35, 1.5]), st.integers(0, 3))
def test_equals_the_reference(batch: Batch, data: st.DataObject, scale: float, margin: float, rows: int) -> None:
    weight = data.draw(tables(batch.num_classes, batch.embeddings.shape[1]))
    expected = references.cosface(batch.embeddings.tolist(), batch.labels.tolist(), weight.tolist(), scale, margin)
    found = with_proxies(weight, scale=scale, margin=margin, chunk_rows=rows)(batch.embeddings, batch.labels)
    assert found.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_a_batch_worked_out_by_hand() -> None:
    """Two proxies at right angles, the embedding on the own one: log(1 + e^{-s (1 - m)})."""
    x, y = torch.tensor([[5.0, 0.0]], dtype=torch.float64), torch.tensor([0])
    loss = with_proxies(torch.tensor([[2.0, 0.0], [0.0, 0.1]], dtype=torch.float64), scale=2, margin=0.5)
    assert loss(x, y).item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-12)


def test_equal_proxies_give_the_log_of_the_number_of_classes() -> None:
    x, y = generic(6, dim=3, num_classes=4)
    loss = with_proxies(torch.ones(4, 3, dtype=torch.float64))
    assert loss(x, y).item() == pytest.approx(math.log(4), abs=1e-12)


def test_a_margin_makes_it_harder_the_larger_it_is() -> None:
    x, y = generic()
    weight = generic(4, seed=1)[0]
    losses = [with_proxies(weight, margin=margin)(x, y).item() for margin in (0, 0.1, 0.5)]
    assert losses[0] + 1 < losses[1] + 0.5 < losses[2]


@pytest.mark.parametrize("chunk_rows", [0, 5])
@pytest.mark.parametrize(("size", "margin"), [(1, 0.0), (12, 0.0), (12, 0.35)])
def test_equals_pytorch_metric_learning(size: int, margin: float, chunk_rows: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from pytorch_metric_learning import losses
    if margin:
        peer = losses.CosFaceLoss(4, 6, margin=margin, scale=20)
    else:
        peer = losses.NormalizedSoftmaxLoss(4, 6, temperature=1 / 20)
    (x, y), weight = generic(size), generic(4, seed=1)[0]
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    peer.W.data = weight.T.clone()
    loss = with_proxies(weight, scale=20, margin=margin, chunk_rows=chunk_rows)
    found, expected = loss(ours, y), peer(theirs, y)
    assert expected.item() > 0.1
    assert found.item() == pytest.approx(expected.item(), abs=1e-10)
    found.backward(), expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-10, rtol=0)
    torch.testing.assert_close(loss.proxies.weight.grad, peer.W.grad.T, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("scale", "margin"), [(0, 0), (-1, 0), (20, -0.1), (float("nan"), 0), (float("inf"), 0), (20, float("nan"))]
)
def test_settings_out_of_range_are_refused(scale: float, margin: float) -> None:
    sentence = f"scale must be above 0, margin and chunk_rows at least 0, not {scale}, {margin} and 0"
    with pytest.raises(LossInputError, match=sentence):
        NormalizedSoftmaxLoss(3, 4, scale=scale, margin=margin)
    with pytest.raises(LossInputError, match=r"margin and chunk_rows at least 0, not 20\.0, 0\.0 and -1"):
        NormalizedSoftmaxLoss(3, 4, chunk_rows=-1)


def test_proxies_are_needed() -> None:
    for sizes in ({}, {"num_classes": 3}, {"dim": 3}):
        with pytest.raises(LossInputError, match="a proxy loss needs num_classes and dim, or proxies="):
            NormalizedSoftmaxLoss(**sizes)
    assert NormalizedSoftmaxLoss(proxies=Proxies(3, 4)).proxies.dim == 4
