"""SoftOrthogonalProxyAnchorLoss: its limit, and that it is its parts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import LossInputError
from lookalike.losses import Proxies, ProxyAnchorLoss, ProxyOrthogonality, SoftOrthogonalProxyAnchorLoss, WeightedSum
from tests.losses import references
from tests.losses.batches import Batch, batches, generic, tables


@settings(deadline=None, max_examples=60)
@given(batches(), st.data(), st.sampled_from([0.0, 0.5, 10.0]), st.booleans(), st.sampled_from(["mean", "sum"]))
def test_equals_the_reference(batch: Batch, data: st.DataObject, weight: float, unit: bool, reduction: str) -> None:
    rows = data.draw(tables(batch.num_classes, batch.embeddings.shape[1]))
    loss = SoftOrthogonalProxyAnchorLoss(*rows.shape, orthogonality=weight, unit=unit, reduction=reduction).double()
    loss.load_state_dict({"proxies.weight": rows})
    anchor = references.proxy_anchor(batch.embeddings.tolist(), batch.labels.tolist(), rows.tolist(), 32.0, 0.1)
    apart = references.orthogonality([references.unit(row) if unit else row for row in rows.tolist()])
    pairs = len(rows) * (len(rows) - 1) if reduction == "mean" else 1
    found = [term.item() for term in loss.terms(batch.embeddings, batch.labels).values()]
    assert found == pytest.approx([*anchor, weight * apart / pairs], rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("chunk", [0, 3])
def test_with_weight_zero_it_is_proxy_anchor_exactly(chunk: int) -> None:
    (x, y), proxies = generic(), Proxies(8, 6)
    results = []
    for loss in (
        SoftOrthogonalProxyAnchorLoss(proxies=proxies, orthogonality=0, chunk_classes=chunk),
        ProxyAnchorLoss(proxies=proxies, chunk_classes=chunk),
    ):
        proxies.weight.grad, embeddings = None, x.clone().requires_grad_()
        total = loss(embeddings, y)
        total.backward()
        results.append((total, embeddings.grad, proxies.weight.grad))
    assert results[1][0] > 0.1
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_it_is_the_sum_of_its_parts_on_one_table() -> None:
    (x, y), proxies = generic(), Proxies(8, 6).double()
    whole = SoftOrthogonalProxyAnchorLoss(proxies=proxies, orthogonality=2.5)
    parts = WeightedSum({"anchor": (1, ProxyAnchorLoss(proxies=proxies)), "apart": (2.5, ProxyOrthogonality(proxies))})
    assert whole.terms(x, y)["orthogonality"] > 0.01
    assert whole(x, y).item() == pytest.approx(parts(x, y).item(), rel=1e-14)
    assert [*whole.parameters()] == [proxies.weight]


def test_it_holds_the_proxies_apart() -> None:
    x, y = generic(12, num_classes=4)
    x = x + 4  # all classes in one corner
    found = []
    for weight in (0.0, 300.0):
        torch.manual_seed(0)
        loss = SoftOrthogonalProxyAnchorLoss(4, 6, orthogonality=weight).double()
        optimizer = torch.optim.Adam(loss.parameters(), 0.02)
        for _ in range(150):
            optimizer.zero_grad()
            loss(x, y).backward()
            optimizer.step()
        found.append(loss.proxies.mean_squared_cosine())
    assert found[1] < found[0] / 5


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_settings_out_of_range_are_refused(weight: float) -> None:
    with pytest.raises(LossInputError, match=f"weight of its term, must be at least 0, not {weight}"):
        SoftOrthogonalProxyAnchorLoss(3, 4, orthogonality=weight)
    with pytest.raises(LossInputError, match="reduction must be one of mean, sum, not 'max'"):
        SoftOrthogonalProxyAnchorLoss(3, 4, reduction="max")
    with pytest.raises(LossInputError, match="alpha must be above 0"):
        SoftOrthogonalProxyAnchorLoss(3, 4, alpha=0)
