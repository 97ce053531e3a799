"""from_pml: every loss and every part of pytorch-metric-learning equals a direct call, or is refused with a reason."""

import re
import subprocess
import sys
import warnings
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lookalike.errors import LossInputError
from lookalike.losses import NormalizedSoftmaxLoss, ProxyAnchorLoss, TripletLoss, from_pml
from lookalike.losses.from_pml import MODULES, NOT_OFFERED, TAKE_NO_MINER
from tests.losses.batches import FIRST_CLASS_NUMBERS, generic

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its imports
    import pytorch_metric_learning.distances
    import pytorch_metric_learning.losses
    import pytorch_metric_learning.miners
    import pytorch_metric_learning.reducers
    import pytorch_metric_learning.regularizers  # noqa: F401

pml = sys.modules["pytorch_metric_learning"]
NUM_CLASSES, DIM = 4, 6

#: Of two losses, in numpy and in torch: they change nothing today.
pytestmark = pytest.mark.filterwarnings("ignore:.*__array_wrap__|.*non-tuple sequence:")


def public(module: ModuleType) -> list[str]:
    """The names a module of the library offers, found here in another way than in the code: from its own imports."""
    return sorted(name for name in vars(module) if name[0].isupper() and not re.match("Base|.*Mixin$", name))


LOSSES, MINERS = public(pml.losses), public(pml.miners)
OFFERED = [name for name in LOSSES if name not in NOT_OFFERED]
#: What they cannot be made without.
NEEDED: dict[str, dict[str, Any]] = {
    "RankedListLoss": {"margin": 0.4, "Tn": 2.0},
    "ThresholdReducer": {"low": 0.05},
    "SparseCentersRegularizer": {"centers_per_class": 2},
}
TABLES = {
    "ArcFaceLoss",
    "CosFaceLoss",
    "LargeMarginSoftmaxLoss",
    "NormalizedSoftmaxLoss",
    "P2SGradLoss",
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
}


def direct(name: str, **given: Any) -> nn.Module:
    """The loss as the library's users make it, with the same class table."""
    sizes = {"num_classes": NUM_CLASSES, "embedding_size": DIM} if name in TABLES else {}
    if name == "P2SGradLoss":
        sizes = {"num_classes": NUM_CLASSES, "descriptors_dim": DIM}
    torch.manual_seed(0)
    made: nn.Module = getattr(pml.losses, name)(**sizes, **NEEDED.get(name, {}), **given)
    return made


def ours(name: str, **given: Any) -> Any:
    torch.manual_seed(0)
    return from_pml(name, NUM_CLASSES, DIM, **NEEDED.get(name, {}), **given)


def value_and_gradients(loss: nn.Module, x: Tensor, *inputs: object) -> tuple[Tensor, ...]:
    x = x.clone().requires_grad_()
    torch.manual_seed(1)  # some miners draw
    total = loss(x, *inputs).sum()
    return (total, *torch.autograd.grad(total, [x, *loss.parameters()], allow_unused=True, materialize_grads=True))


def check_equal(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    assert torch.isfinite(expected[0]) and expected[1].count_nonzero() > 3
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_what_is_not_offered_is_there() -> None:
    everything = {name for module in set(MODULES.values()) for name in public(getattr(pml, module))}
    assert set(NOT_OFFERED) < everything
    assert len(LOSSES) > 35 and len(MINERS) == 10


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_equals_a_direct_call_or_is_refused(name: str) -> None:
    x, y = (tensor if tensor.dtype == torch.int64 else tensor.float() for tensor in generic(12, DIM, NUM_CLASSES))
    if name in NOT_OFFERED:
        with pytest.raises(LossInputError, match=re.escape(f"is not offered: {NOT_OFFERED[name]}")):
            ours(name)
        return
    found = value_and_gradients(ours(name), x, y)
    assert found[0].shape == () and ours(name).inputs == {"labels": True}
    check_equal(found, value_and_gradients(direct(name), x, y))


@pytest.mark.parametrize("name", MINERS)
@pytest.mark.parametrize("loss", ["TripletMarginLoss", "ContrastiveLoss"])
def test_every_miner_equals_a_direct_call_or_is_refused(loss: str, name: str) -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    if name in NOT_OFFERED:
        with pytest.raises(LossInputError, match=re.escape(f"is not offered: {NOT_OFFERED[name]}")):
            ours(loss, miner=name)
        return
    miner = getattr(pml.miners, name)()

    class Mined(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            total: Tensor = direct_loss(x, y, miner(x, y))
            return total

    direct_loss = direct(loss)
    found = value_and_gradients(ours(loss, miner=name), x, y)
    check_equal(found, value_and_gradients(Mined(), x, y))


@pytest.mark.parametrize("name", OFFERED)
def test_every_loss_takes_a_miner_or_says_that_it_takes_none(name: str) -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    miner = {"name": "TripletMarginMiner", "margin": 0.3, "type_of_triplets": "semihard"}
    if name in TAKE_NO_MINER:
        with pytest.raises(LossInputError, match=f"{name} takes no miner: leave it out"):
            ours(name, miner=miner)
        with pytest.raises(ValueError, match="indices_tuple is not supported"):
            direct(name).double()(x, y, (y, y, y))
        return
    mined = pml.miners.TripletMarginMiner(margin=0.3, type_of_triplets="semihard")(x, y)
    assert 0 < len(mined[0]) < 100
    expected = value_and_gradients(direct(name).double(), x, y, mined)
    found = value_and_gradients(ours(name, miner=miner).double(), x, y)
    check_equal(found, expected)


@pytest.mark.parametrize(
    ("loss", "part", "name"),
    [("TripletMarginLoss", "distance", name) for name in public(pml.distances)]
    + [("TripletMarginLoss", "reducer", name) for name in public(pml.reducers)]
    + [("SoftTripleLoss", "weight_regularizer", name) for name in public(pml.regularizers)]
    + [("ContrastiveLoss", "embedding_regularizer", "LpRegularizer")],
)
def test_every_part_equals_a_direct_call_or_is_refused(loss: str, part: str, name: str) -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    given: dict[str, Any] = {"name": name, **NEEDED.get(name, {})}
    settings: dict[str, Any] = {"centers_per_class": 2} if loss == "SoftTripleLoss" else {}
    if name in NOT_OFFERED:
        with pytest.raises(LossInputError, match=re.escape(f"is not offered: {NOT_OFFERED[name]}")):
            ours(loss, **{part: given})
        return
    sizes = {"num_classes": NUM_CLASSES} if name == "SparseCentersRegularizer" else {}
    made = getattr(getattr(pml, MODULES[part]), name)(**sizes, **NEEDED.get(name, {}))
    if name in ("DivisorReducer", "PerAnchorReducer"):  # not for this loss: the library says so, or not
        with pytest.raises(LossInputError, match="TripletMarginLoss of pytorch-metric-learning refuses the batch"):
            ours(loss, **{part: given})(x, y)
        return
    expected = value_and_gradients(direct(loss, **settings, **{part: made}).double(), x, y)
    check_equal(value_and_gradients(ours(loss, **settings, **{part: given}).double(), x, y), expected)
    assert not torch.equal(expected[0], value_and_gradients(ours(loss, **settings).double(), x, y)[0]) or name in (
        "LpDistance",
        "AvgNonZeroReducer",
    )


def test_parts_of_parts() -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    table = {"name": "BatchHardMiner", "distance": {"name": "LpDistance", "p": 1, "power": 2}}
    peer, mined = (
        direct("TripletMarginLoss", margin=0.3),
        pml.miners.BatchHardMiner(distance=pml.distances.LpDistance(p=1, power=2)),
    )
    found = value_and_gradients(ours("TripletMarginLoss", margin=0.3, miner=table), x, y)
    check_equal(found, value_and_gradients(peer, x, y, mined(x, y)))


def test_soft_triple_by_one_line() -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    loss = ours("SoftTripleLoss", centers_per_class=2, gamma=0.2).double()
    peer = direct("SoftTripleLoss", centers_per_class=2, gamma=0.2).double()
    assert [tuple(p.shape) for p in loss.parameters()] == [(DIM, 2 * NUM_CLASSES)]
    check_equal(value_and_gradients(loss, x, y), value_and_gradients(peer, x, y))


@pytest.mark.parametrize(
    "name", [*pml.losses.CrossBatchMemory.supported_losses(), "SmoothAPLoss", "NPairsLoss", "ProxyAnchorLoss"]
)
def test_a_memory_equals_a_direct_call_over_several_batches_or_is_refused(name: str) -> None:
    if name == "SmoothAPLoss":
        with pytest.raises(LossInputError, match="is not offered"):
            ours(name, memory_size=20)
        return
    if name in ("NPairsLoss", "ProxyAnchorLoss"):
        with pytest.raises(LossInputError, match=f"memory_size = 20: CrossBatchMemory not supported for {name}"):
            ours(name, memory_size=20)
        return
    loss, peer = ours(name, memory_size=20), pml.losses.CrossBatchMemory(direct(name), DIM, 20)
    alone = ours(name)
    for seed in range(4):  # the third batch wraps around
        x, y = generic(8, DIM, NUM_CLASSES, seed=seed)
        found, expected = value_and_gradients(loss, x, y), value_and_gradients(peer, x, y)
        check_equal(found, expected)
    assert value_and_gradients(alone, x, y)[0] != found[0]
    assert loss.state_dict()["loss.embedding_memory"].count_nonzero() == 20 * DIM


def test_a_miner_looks_into_the_memory() -> None:
    mining = {"name": "PairMarginMiner", "pos_margin": 0.3}
    loss = ours("ContrastiveLoss", miner=mining, memory_size=20)
    peer = pml.losses.CrossBatchMemory(direct("ContrastiveLoss"), DIM, 20, pml.miners.PairMarginMiner(pos_margin=0.3))
    for seed in range(3):
        x, y = generic(8, DIM, NUM_CLASSES, seed=seed)
        check_equal(value_and_gradients(loss, x, y), value_and_gradients(peer, x, y))


def test_a_state_dict_brings_the_memory_back() -> None:
    loss = ours("ContrastiveLoss", memory_size=20)
    for seed in range(5):  # at first it is not full
        x, y = generic(8, DIM, NUM_CLASSES, seed=seed)
        other = ours("ContrastiveLoss", memory_size=20)
        other.load_state_dict(loss.state_dict())
        assert torch.equal(loss(x.float(), y), other(x.float(), y))


def test_an_empty_batch_leaves_the_memory_alone() -> None:
    loss, (x, y) = ours("ContrastiveLoss", memory_size=20, miner="PairMarginMiner"), generic(8, DIM, NUM_CLASSES)
    assert loss(x[:0].requires_grad_(), y[:0]).item() == 0
    assert not loss.state_dict()["loss.embedding_memory"].any()


def test_a_memory_smaller_than_the_batch_is_refused() -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    with pytest.raises(LossInputError, match="memory_size = 8 is less than the batch of 12: raise it"):
        ours("ContrastiveLoss", memory_size=8)(x, y)
    with pytest.raises(LossInputError, match="memory_size needs dim"):
        from_pml("ContrastiveLoss", memory_size=8)
    with pytest.raises(LossInputError, match=r"memory_size must be a whole number, 0 for no memory, not 2\.5"):
        from_pml("ContrastiveLoss", dim=4, memory_size=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(TABLES))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_class_table_keeps_its_precision(name: str, dtype: torch.dtype) -> None:
    loss, (x, y) = ours(name), generic(12, DIM, NUM_CLASSES)
    parameters, embeddings = list(loss.parameters()), x.to(dtype).requires_grad_()
    assert sum(p.numel() for p in parameters) >= NUM_CLASSES * DIM
    total = loss(embeddings, y)
    total.backward()
    assert total.dtype == torch.float32 and embeddings.grad is not None and embeddings.grad.dtype == dtype
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in parameters)
    if dtype == torch.bfloat16:  # what a direct call does; else this shows nothing
        peer = direct(name)
        with suppress(NotImplementedError):  # of what is not there in bfloat16
            peer(x.to(dtype), y)
        assert next(peer.parameters()).dtype == dtype


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(OFFERED), st.lists(st.integers(0, NUM_CLASSES - 1), max_size=8))
def test_any_labels_give_a_number_on_the_graph(name: str, labels: list[int]) -> None:
    """Points without ties: where some coincide or are no point, several of these losses are not finite."""
    x = generic(12, DIM)[0][: len(labels)].requires_grad_()
    total = ours(name).double()(x, torch.tensor(labels, dtype=torch.int64))
    total.backward()
    assert total.shape == () and torch.isfinite(total) and x.grad is not None and bool(torch.isfinite(x.grad).all())
    assert total == 0 or labels


@pytest.mark.parametrize("name", OFFERED)
@pytest.mark.parametrize("labels", [[], [0], [0] * 6, [0, 1, 2, 3]])
def test_nothing_to_compare_gives_a_number_on_the_graph(name: str, labels: list[int]) -> None:
    x = generic(12, DIM)[0][: len(labels)].requires_grad_()
    total = ours(name).double()(x, torch.tensor(labels, dtype=torch.int64))
    total.backward()
    assert torch.isfinite(total) and x.grad is not None and bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("first", FIRST_CLASS_NUMBERS)
@pytest.mark.parametrize("name", [name for name in OFFERED if name not in {*TABLES, "MarginLoss"}])
def test_labels_of_losses_without_a_table_are_any_numbers(name: str, first: int) -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    assert torch.equal(ours(name)(x, y + first), ours(name)(x, y))
    if first == 0:
        assert torch.equal(ours(name)(x, y.to(torch.uint8)), ours(name)(x, y))


def test_a_table_refuses_other_classes_and_dimensions() -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    with pytest.raises(LossInputError, match=r"labels must lie in 0\.\.3, but span 0\.\.9"):
        ours("ArcFaceLoss")(x, torch.where(y == 1, 9, y))
    with pytest.raises(LossInputError, match="the loss has 6 dimensions, the embeddings 5"):
        ours("ArcFaceLoss")(x[:, :5], y)
    with pytest.raises(LossInputError, match=r"labels must be integers, not torch\.float32"):
        ours("TripletMarginLoss")(x, y.float())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "MultiSimilarityLos"}, "no loss 'MultiSimilarityLos'. Did you mean 'MultiSimilarityLoss'"),
        ({"name": "BaseMetricLossFunction"}, "no loss 'BaseMetricLossFunction'."),
        ({"name": "ArcFaceLoss"}, "ArcFaceLoss needs num_classes and dim"),
        ({"name": "RankedListLoss"}, "RankedListLoss needs margin and Tn"),
        ({"name": "CircleLoss", "gama": 1}, "'gama' is not a setting of CircleLoss. Did you mean 'gamma'?"),
        ({"name": "NCALoss", "xyz": 1}, "'xyz' is not a setting of NCALoss. Known: distance, embedding_reg_weight, "),
        ({"name": "ArcFaceLoss", "embedding_size": 3}, "'embedding_size' is not a setting of ArcFaceLoss."),
        ({"name": "CircleLoss", "gamma": "80"}, "CircleLoss: gamma = '80', where a number is needed"),
        ({"name": "CircleLoss", "gamma": True}, "CircleLoss: gamma = True, where a number is needed"),
        ({"name": "TripletMarginLoss", "swap": 1}, "TripletMarginLoss: swap = 1, where true or false is needed"),
        ({"name": "PNPLoss", "variant": 2.5}, "PNPLoss: variant = 2.5, where a word is needed"),
        ({"name": "HistogramLoss", "n_bins": "9"}, "HistogramLoss: n_bins = '9', where a number is, or two numbers"),
        ({"name": "CircleLoss", "distance": "LpDistance"}, "requires the distance metric to be CosineSimilarity"),
        ({"name": "CircleLoss", "miner": "TripletMiner"}, "no miner 'TripletMiner'. Did you mean"),
        ({"name": "CircleLoss", "miner": {"margin": 1}}, "miner = {'margin': 1}: a name is needed, or a table"),
        ({"name": "CircleLoss", "distance": 3}, "distance = 3: a name is needed, or a table"),
        (
            {"name": "CircleLoss", "miner": {"name": "TripletMarginMiner", "margn": 1}},
            "'margn' is not a setting of TripletMarginMiner. Did you mean 'margin'?",
        ),
        (
            {"name": "CircleLoss", "miner": {"name": "TripletMarginMiner", "type_of_triplets": "hart"}},
            "TripletMarginMiner: type_of_triplets = 'hart': choose one of all, hard, semihard, easy",
        ),
        (
            {"name": "CircleLoss", "reducer": "ThresholdReducer"},
            "ThresholdReducer: At least one of low or high must be specified",
        ),
    ],
)
def test_a_mistake_is_told_with_the_remedy(given: dict[str, Any], said: str) -> None:
    with pytest.raises(LossInputError, match=re.escape(said)):
        from_pml(**given)


def test_the_library_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    with pytest.raises(LossInputError, match=re.escape("pip install 'lookalike[pml]'")):
        from_pml("CircleLoss")


def test_the_library_is_loaded_in_silence_and_only_when_it_is_asked_for() -> None:
    code = (
        "import sys, warnings; from lookalike.losses import from_pml; warnings.simplefilter('error')\n"
        "print('pytorch_metric_learning' in sys.modules); from_pml('CircleLoss')\n"
        "print('pytorch_metric_learning' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("name", ["proxy_anchor", "normalized_softmax", "cosface"])
def test_ours_equal_theirs_by_one_line(name: str) -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    mine, theirs = {
        "proxy_anchor": (ProxyAnchorLoss(4, 6, alpha=16, delta=0.2), ours("ProxyAnchorLoss", alpha=16, margin=0.2)),
        "normalized_softmax": (NormalizedSoftmaxLoss(4, 6, scale=20), ours("NormalizedSoftmaxLoss", temperature=0.05)),
        "cosface": (NormalizedSoftmaxLoss(4, 6, 20, margin=0.3), ours("CosFaceLoss", scale=20, margin=0.3)),
    }[name]
    mine, theirs = mine.double(), theirs.double()
    (table,) = theirs.parameters()
    with torch.no_grad():
        mine.proxies.weight.copy_(table if len(table) == NUM_CLASSES else table.T)
    found, expected = value_and_gradients(mine, x, y), value_and_gradients(theirs, x, y)
    assert expected[0] > 0.1
    torch.testing.assert_close(found[:2], expected[:2], atol=1e-10, rtol=0)


def test_our_triplets_equal_theirs_by_one_line() -> None:
    x, y = generic(12, DIM, NUM_CLASSES)
    squared = {"name": "LpDistance", "power": 2}
    theirs = from_pml("TripletMarginLoss", margin=0.2, distance=squared)
    hard = from_pml(
        "TripletMarginLoss",
        margin=0.2,
        distance=squared,
        reducer="MeanReducer",
        miner={"name": "BatchHardMiner", "distance": squared},
    )
    for mine, peer in ((TripletLoss(0.2, "all", "active"), theirs), (TripletLoss(0.2), hard)):
        found, expected = value_and_gradients(mine, x, y), value_and_gradients(peer, x, y)
        assert expected[0] > 0.1
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
