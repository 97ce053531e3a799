"""ProxyAnchorLoss: the formula, its golden numbers, its peer."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import LossInputError
from lookalike.losses import Proxies, ProxyAnchorLoss
from tests.losses import references
from tests.losses.batches import Batch, batches, generic, tables


def with_proxies(weight: torch.Tensor, **settings: float) -> ProxyAnchorLoss:
    """The loss in float64 with these proxies as they are, not made unit."""
    loss = ProxyAnchorLoss(*weight.shape, **settings).double()
    loss.load_state_dict({"proxies.weight": weight})
    return loss


@settings(deadline=None, max_examples=150)
@given(batches(), st.data(), st.sampled_from([1.0, 32.0, 100.0]), st.sampled_from([0.0, 0.1, 1.5]), st.integers(0, 6))
def test_equals_the_reference(batch: Batch, data: st.DataObject, alpha: float, delta: float, chunk: int) -> None:
    weight = data.draw(tables(batch.num_classes, batch.embeddings.shape[1]))
    expected = references.proxy_anchor(batch.embeddings.tolist(), batch.labels.tolist(), weight.tolist(), alpha, delta)
    loss = with_proxies(weight, alpha=alpha, delta=delta, chunk_classes=chunk)
    found = [term.item() for term in loss.terms(batch.embeddings, batch.labels).values()]
    assert found == pytest.approx(list(expected), rel=1e-10, abs=1e-10)


def test_a_batch_worked_out_by_hand() -> None:
    """Embeddings along their own proxies, at right angles: e^{-alpha (1 - delta)} and, once each, e^{alpha delta}."""
    x, weight = 5 * torch.eye(2, dtype=torch.float64), 0.1 * torch.eye(2, dtype=torch.float64)
    terms = with_proxies(weight, alpha=2, delta=0.5).terms(x, torch.tensor([0, 1]))
    assert terms["positive"].item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-12)
    assert terms["negative"].item() == pytest.approx(math.log(1 + math.exp(1)), abs=1e-12)


def test_the_pull_is_a_mean_over_the_classes_of_the_batch_and_the_push_over_all() -> None:
    """Two classes of ten in the batch, everything at right angles, delta = 0: log(1 + count) each."""
    everything = torch.eye(12, dtype=torch.float64)
    weight, x, y = everything[:10], everything[[10, 10, 11]], torch.tensor([3, 3, 7])
    terms = with_proxies(weight, delta=0).terms(x, y)
    assert terms["positive"].item() == pytest.approx((math.log(3) + math.log(2)) / 2, abs=1e-12)
    assert terms["negative"].item() == pytest.approx((8 * math.log(4) + math.log(2) + math.log(3)) / 10, abs=1e-12)


@pytest.mark.parametrize("chunk", [0, 3])
@pytest.mark.parametrize(("size", "alpha", "delta"), [(1, 32, 0.1), (12, 32, 0.1), (12, 64, 0.3)])
def test_equals_pytorch_metric_learning(size: int, alpha: float, delta: float, chunk: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from pytorch_metric_learning import losses
    peer = losses.ProxyAnchorLoss(7, 6, margin=delta, alpha=alpha)
    (x, y), weight = generic(size, num_classes=6), generic(7, seed=1)[0]
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    peer.proxies.data = weight.clone()
    loss = with_proxies(weight, alpha=alpha, delta=delta, chunk_classes=chunk)
    found, expected = loss(ours, y), peer(theirs, y)
    assert expected.item() > 0.1
    assert found.item() == pytest.approx(expected.item(), abs=1e-10)
    found.backward(), expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-10, rtol=0)
    torch.testing.assert_close(loss.proxies.weight.grad, peer.proxies.grad, atol=1e-10, rtol=0)


def test_a_proxy_without_an_item_is_only_pushed() -> None:
    x, y = generic(12, num_classes=4)
    loss = with_proxies(generic(4, seed=1)[0])
    loss.terms(x, y)["positive"].backward()
    moved = loss.proxies.weight.grad.abs().sum(dim=1) > 0
    assert moved.tolist() == [True, True, True, False]
    loss.terms(x, y)["negative"].backward()
    assert (loss.proxies.weight.grad.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize(
    ("alpha", "delta", "chunk"),
    [(0, 0.1, 0), (-1, 0.1, 0), (32, -0.1, 0), (float("nan"), 0.1, 0), (float("inf"), 0, 0), (32, 0.1, -1)],
)
def test_settings_out_of_range_are_refused(alpha: float, delta: float, chunk: int) -> None:
    sentence = f"alpha must be above 0, delta and chunk_classes at least 0, not {alpha}, {delta} and {chunk}"
    with pytest.raises(LossInputError, match=sentence):
        ProxyAnchorLoss(3, 4, alpha=alpha, delta=delta, chunk_classes=chunk)


@pytest.mark.parametrize("chunk", [0, 2])
def test_embeddings_of_another_dimension_are_refused(chunk: int) -> None:
    x, y = generic(dim=5)
    with pytest.raises(LossInputError, match="the proxies have 6 dimensions, the embeddings 5"):
        ProxyAnchorLoss(proxies=Proxies(4, 6), chunk_classes=chunk)(x, y)
