"""Proxies: unit rows, where they begin, and who may share them."""

import pytest
import torch

from lookalike.errors import LossInputError
from lookalike.losses import AdaptiveAdditiveSoftmaxLoss, NormalizedSoftmaxLoss, Proxies
from tests.losses import references
from tests.losses.batches import generic


def test_they_begin_and_are_given_as_unit_rows() -> None:
    proxies = Proxies(5, 3)
    assert (proxies.num_classes, proxies.dim) == (5, 3)
    torch.testing.assert_close(proxies.weight.norm(dim=1), torch.ones(5))
    with torch.no_grad():
        proxies.weight.mul_(7)
    torch.testing.assert_close(proxies().norm(dim=1), torch.ones(5))


def test_cosines_are_cosines() -> None:
    proxies, (x, _) = Proxies(4, 6).double(), generic()
    expected = [[references.cosine(row, proxy) for proxy in proxies.weight.tolist()] for row in x.tolist()]
    torch.testing.assert_close(proxies.cosines(x), torch.tensor(expected, dtype=x.dtype), atol=1e-12, rtol=0)


def test_they_start_at_the_vectors_given_as_unit_rows() -> None:
    proxies, (means, _) = Proxies(4, 6), generic(4, seed=5)
    weight = proxies.weight
    proxies.start_at(means)
    assert proxies.weight is weight, "an optimizer made before would train another table"
    assert proxies.weight.requires_grad and proxies.weight.grad_fn is None and proxies.weight.dtype == torch.float32
    torch.testing.assert_close(proxies.weight.detach().double(), means / means.norm(dim=1, keepdim=True))


def test_to_start_at_the_classes_lowers_the_loss() -> None:
    x, y = generic(12, num_classes=4)
    x = x + 3 * torch.eye(6, dtype=x.dtype)[y]
    loss = NormalizedSoftmaxLoss(3, 6)
    before = loss(x, y).item()
    loss.proxies.start_at(torch.stack([x[y == c].mean(dim=0) for c in range(3)]))
    assert loss(x, y).item() < before / 2


def test_to_start_at_another_shape_is_refused() -> None:
    with pytest.raises(LossInputError, match=r"proxies have shape \(4, 6\), not \(3, 6\)"):
        Proxies(4, 6).start_at(torch.ones(3, 6))


@pytest.mark.parametrize(("num_classes", "dim"), [(1, 4), (0, 4), (2, 0)])
def test_too_few_are_refused(num_classes: int, dim: int) -> None:
    sentence = f"proxies need at least 2 classes and 1 dimension, not {num_classes} and {dim}"
    with pytest.raises(LossInputError, match=sentence):
        Proxies(num_classes, dim)


def test_embeddings_of_another_dimension_are_refused() -> None:
    x, y = generic(dim=5)
    with pytest.raises(LossInputError, match="the proxies have 6 dimensions, the embeddings 5"):
        NormalizedSoftmaxLoss(4, 6)(x, y)


@pytest.mark.parametrize("sizes", [{"num_classes": 5}, {"dim": 5}, {"num_classes": 4, "dim": 5}])
def test_sizes_that_contradict_the_proxies_given_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(LossInputError, match=r"the proxies given are 4 of 6 dimensions, not .*; leave num_classes"):
        NormalizedSoftmaxLoss(**sizes, proxies=Proxies(4, 6))


def test_sizes_that_agree_with_the_proxies_given_are_taken() -> None:
    proxies = Proxies(4, 6)
    loss = AdaptiveAdditiveSoftmaxLoss(4, 6, class_side_vectors=torch.eye(4), proxies=proxies)
    assert loss.proxies is proxies


@pytest.mark.parametrize("classes", [2, 6])
def test_they_can_begin_at_right_angles(classes: int) -> None:
    torch.manual_seed(0)
    proxies = Proxies(classes, 6, orthogonal=True)
    gram = proxies.weight.detach() @ proxies.weight.detach().T
    torch.testing.assert_close(gram, torch.eye(classes), atol=1e-6, rtol=0)
    assert proxies.weight.requires_grad and (proxies.weight - torch.eye(classes, 6)).abs().max() > 0.1
    assert proxies.mean_squared_cosine() < 1e-12 and proxies.max_abs_cosine() < 1e-6


def test_more_than_there_are_dimensions_cannot_begin_at_right_angles() -> None:
    with pytest.raises(LossInputError, match="7 proxies cannot be orthogonal in 6 dimensions; leave orthogonal out"):
        Proxies(7, 6, orthogonal=True)


@pytest.mark.parametrize("block", [1, 20, 2**22])
@pytest.mark.parametrize(("classes", "dim"), [(2, 5), (4, 6), (30, 4)])
def test_how_crowded_they_are(classes: int, dim: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.losses.proxies.BLOCK_NUMBERS", block)
    proxies, rows = Proxies(classes, dim).double(), generic(classes, dim)[0]
    rows[-1] = -3 * rows[0] + 0.1 * rows[1]
    proxies.weight.data = rows
    pairs = [references.cosine(rows[i].tolist(), rows[j].tolist()) for i in range(classes) for j in range(i)]
    assert proxies.max_abs_cosine() == pytest.approx(max(map(abs, pairs)), abs=1e-12)
    assert max(pairs) < max(map(abs, pairs))
    assert proxies.mean_squared_cosine() == pytest.approx(sum(c * c for c in pairs) / len(pairs), abs=1e-12)


def test_a_proxy_without_length_has_no_cosine() -> None:
    proxies = Proxies(3, 2).double()
    proxies.weight.data = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    assert proxies.mean_squared_cosine() == pytest.approx(1 / 6)  # of three pairs one has a cosine: its square is 1/2
