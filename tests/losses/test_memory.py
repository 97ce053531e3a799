"""Memory of earlier batches: equal to loops over what is remembered, kept by the state dict, and never in the way."""

from typing import Any

import pytest
import pytorch_metric_learning.distances
import pytorch_metric_learning.losses
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from lookalike.errors import LossInputError
from lookalike.losses import (
    AdaptiveTripletLoss,
    CrossBatchMemory,
    Loss,
    NormalizedSoftmaxLoss,
    ProxyAnchorLoss,
    TripletLoss,
    WeightedSum,
)
from lookalike.losses.mining import Average, Mining, sum_of_drawn
from lookalike.losses.pairs import Margins, sum_over_triplets
from lookalike.losses.relations import NearTexts, Relation, SameClass
from tests.losses import references
from tests.losses.batches import generic

Items = list[tuple[list[float], int, list[float]]]


def batch(step: int, size: int = 7) -> dict[str, Tensor]:
    """Embeddings, labels and side vectors of a step, of changing size."""
    x, y = generic(size + step % 3, 5, num_classes=5, seed=step)
    return {"embeddings": x, "labels": y.roll(step), "side_vectors": generic(len(x), 3, seed=50 + step)[0]}


def items_of(given: dict[str, Tensor]) -> Items:
    return list(zip(*(given[name].tolist() for name in ("embeddings", "labels", "side_vectors")), strict=True))


def looped(now: Items, remembered: Items, mining: str, average: str, text: bool) -> float:
    """The triplets of all items whose anchor is of the batch."""
    x, y, t = ([*column] for column in zip(*now, *remembered, strict=True))
    margins = references.text_margins(t, 0.4, "shrink") if text else [[0.4] * len(y)] * len(y)
    found = references.mined_triplets(x, y, margins, mining)
    return references.mean_of_hinges([gap for a, _, _, gap in found if a < len(now)], average)


@pytest.mark.parametrize("average", ["valid", "active"])
@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
@pytest.mark.parametrize("text", [False, True])
def test_every_step_equals_the_loops_over_what_is_remembered(text: bool, mining: Mining, average: Average) -> None:
    pairs = AdaptiveTripletLoss(0.4, mining, average=average) if text else TripletLoss(0.4, mining, average)
    loss, remembered, before = CrossBatchMemory(pairs, size=18), Items(), []
    for step in range(5):
        given = batch(step)
        now = items_of(given)
        if not text:
            del given["side_vectors"]
        assert loss(**given).item() == pytest.approx(looped(now, remembered, mining, average, text), abs=1e-12)
        before.append(pairs(**given).item() != pytest.approx(looped(now, remembered, mining, average, text), abs=1e-3))
        remembered = [*now, *remembered][:18]
    assert before == [False, True, True, True, True]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**20), st.integers(0, 9), st.integers(0, 9), st.booleans(), st.booleans())
def test_anchors_of_any_number_equal_the_loops_whatever_the_blocks(
    seed: int, first: int, others: int, semihard: bool, by_text: bool
) -> None:
    size = first + others
    x, _ = generic(size, 4, seed=seed)
    t = generic(size, 3, seed=seed + 1)[0]
    y = torch.randint(4, (size,), generator=torch.Generator().manual_seed(seed))
    relation: Relation = NearTexts(t, 1.5, first) if by_text else SameClass(y, first)
    whole: Relation = NearTexts(t, 1.5) if by_text else SameClass(y)
    for mask, of_all in zip(relation.pairs(), whole.pairs(), strict=True):
        assert torch.equal(mask, of_all[:first])
    margins = references.text_margins(t.tolist(), 0.3, "shrink")
    if not by_text:
        found = references.mined_triplets(x.tolist(), y.tolist(), margins, "semihard" if semihard else "all")
        gaps = [gap for a, _, _, gap in found if a < first]
    sums = []
    for block in (2**17, 40, 1):
        sums.append(sum_over_triplets(x, relation, Margins(0.3, 1 / 3.7, t), semihard, block))
        if not by_text:
            assert sums[-1].total.item() == pytest.approx(sum(max(0.0, gap) for gap in gaps), abs=1e-10)
            assert sums[-1].valid == len(gaps)
        for ours, at_once in zip(sums[-1], sums[0], strict=True):
            torch.testing.assert_close(ours, at_once, check_dtype=False)


@pytest.mark.parametrize("block", [2**17, 40, 1])
@pytest.mark.parametrize("relation", ["class", "text"])
def test_gradient_of_anchors_and_others(relation: str, block: int) -> None:
    x, y = generic(11, 4)
    t = generic(11, 3, seed=3)[0]
    who = SameClass(y, 4) if relation == "class" else NearTexts(t, 1.5, 4)

    def total(embeddings: Tensor) -> Tensor:
        return sum_over_triplets(embeddings, who, Margins(0.9, 0.2, t), block=block).total

    assert total(x) > 1
    assert gradcheck(total, x.requires_grad_())


@pytest.mark.parametrize("mining", ["all", "hard"])
def test_gradient_flows_to_the_batch_as_anchor_and_as_other(mining: Mining) -> None:
    loss = CrossBatchMemory(TripletLoss(0.9, mining), size=20)
    for step in range(2):
        loss(batch(step)["embeddings"], batch(step)["labels"])
    now = batch(2)
    assert gradcheck(lambda x: loss.eval()(x, now["labels"]), now["embeddings"].requires_grad_())


def test_drawn_negatives_are_drawn_for_the_anchors_alone() -> None:
    x, y = generic(20, 4, num_classes=4)
    found = sum_of_drawn(x, SameClass(y, 5), Margins(0.4))
    assert found.valid == SameClass(y).pairs()[0][:5].sum() > 10
    loss = CrossBatchMemory(TripletLoss(0.4, "distance"), 20)
    assert all(loss(x, y) > 0 for _ in range(3))


def test_an_encoder_that_stands_still_gives_the_loss_of_one_big_batch() -> None:
    x, y = generic(30, 5, num_classes=4)
    memory, loss = CrossBatchMemory(TripletLoss(0.4, "all"), size=100), TripletLoss(0.4, "all")
    for start in (0, 10, 20):
        found = memory(x[start : start + 10], y[start : start + 10])
    newest_first = torch.arange(30).roll(10)
    assert found == pytest.approx(loss.terms(x[newest_first], y[newest_first], anchors=10)["triplet"].item())
    thirds = [loss.terms(x.roll(turn, 0), y.roll(turn), anchors=10)["triplet"].item() for turn in (0, 10, 20)]
    assert sum(thirds) / 3 == pytest.approx(loss(x, y).item(), rel=0.05)  # but for how many triplets each has


def test_pytorch_metric_learning_has_the_same_memory() -> None:
    distance = pytorch_metric_learning.distances.LpDistance(power=2)
    peer = pytorch_metric_learning.losses.CrossBatchMemory(
        pytorch_metric_learning.losses.TripletMarginLoss(margin=0.4, distance=distance), 5, memory_size=40
    )
    loss = CrossBatchMemory(TripletLoss(0.4, "all", "active"), size=30)  # theirs holds the batch too
    for step in range(6):
        x, y = generic(10, 5, num_classes=4, seed=step)
        assert loss(x.float(), y).item() == pytest.approx(peer(x.float(), y).item(), rel=1e-5)
    assert loss.embeddings is not None and len(loss.embeddings) == 30


@pytest.mark.parametrize("used", [False, True])
def test_a_state_dict_brings_the_memory_back(used: bool) -> None:
    loss, other = (CrossBatchMemory(AdaptiveTripletLoss(0.4), size=18, after_steps=1) for _ in range(2))
    for step in range(3):
        loss(**batch(step))
        if used:  # it has a memory of another size
            other(**batch(7))
    state = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    assert set(state) == {"embeddings", "labels", "side_vectors", "_extra_state"}
    other.load_state_dict(state)
    for step in range(3, 6):
        assert torch.equal(loss(**batch(step)), other(**batch(step)))
    forgotten = CrossBatchMemory(AdaptiveTripletLoss(0.4), size=18, after_steps=1)
    other.load_state_dict(forgotten.state_dict())
    assert other.embeddings is None and other.steps == 0


def test_it_waits_as_long_as_it_is_told_and_remembers_while_training_only() -> None:
    loss = CrossBatchMemory(TripletLoss(0.4), size=8, after_steps=2)
    sizes = []
    for step in range(5):
        x, y = generic(3, 5, seed=step)
        loss(x, y)
        loss.eval()(x, y)
        loss.train()
        sizes.append(0 if loss.embeddings is None else len(loss.embeddings))
    assert sizes == [0, 0, 3, 6, 8]
    assert loss.embeddings is not None and torch.equal(loss.embeddings[:3], x) and not loss.embeddings.requires_grad


def test_a_batch_that_is_not_finite_does_not_spoil_those_after_it() -> None:
    loss = CrossBatchMemory(TripletLoss(0.4, "all"), size=30)
    x, y = generic(8, 5)
    assert loss(x * float("nan"), y).isnan()
    assert loss(x, y) > 0.01


def test_in_a_sum_the_other_parts_see_the_batch_alone() -> None:
    softmax = NormalizedSoftmaxLoss(4, 5).double()
    both = WeightedSum({"pairs": (2.0, CrossBatchMemory(TripletLoss(0.4), 20)), "softmax": (1.0, softmax)})
    assert both.inputs == {"labels": True}
    for step in range(3):
        x, y = generic(9, 5, seed=step)
        assert both.terms(x, y)["softmax.softmax"] == softmax(x, y)


@pytest.mark.parametrize(
    ("loss", "arguments", "said"),
    [
        (TripletLoss(), {"size": 0}, "a memory needs size >= 1 and after_steps >= 0, not 0 and 0"),
        (TripletLoss(), {"size": 8, "after_steps": -1}, "not 8 and -1"),
        (ProxyAnchorLoss(3, 4), {"size": 8}, "ProxyAnchorLoss does not compare the items of a batch"),
    ],
)
def test_what_cannot_be_is_refused(loss: Loss, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(LossInputError, match=said):
        CrossBatchMemory(loss, **arguments)
