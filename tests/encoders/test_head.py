"""The head starts as a map that keeps what features tell apart."""

import pytest
import torch
from torch import Tensor

from lookalike.encoders import head as head_module
from lookalike.encoders.head import Head
from lookalike.errors import EncoderError


def features_of_rank(rank: int, count: int = 40, dim: int = 24, seed: int = 0) -> Tensor:
    """Rows whose normalized form varies in so many directions: LayerNorm leaves unit-variance, zero-mean rows alone."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(
        torch.cat([torch.ones(dim, 1), torch.randn(dim, rank + 1, generator=generator)], dim=1).double()
    ).Q[:, 1:]
    coefficients = torch.randn(count, rank, generator=generator).double()
    # The last direction is shared, so that the mean is far from zero; rows get the length LayerNorm gives them.
    rows = (
        torch.cat([0.5 * coefficients / coefficients.norm(dim=1, keepdim=True), torch.ones(count, 1)], dim=1) @ basis.T
    )
    return (rows / rows.norm(dim=1, keepdim=True) * dim**0.5).float()


def cosines(rows: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    return unit @ unit.T


@pytest.mark.parametrize(("rank", "dim"), [(3, 3), (6, 8), (8, 16), (20, 24)])
def test_without_whitening_cosines_of_centered_features_are_kept(
    rank: int, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_module, "WHITENING", 0.0)
    features = features_of_rank(rank)
    head = Head(24, dim)
    head.fit_geometry(features)
    normalized = head.norm(features)
    expected = cosines(normalized - normalized.mean(dim=0))
    assert (cosines(head(features)) - expected).abs().max() < 1e-4
    assert (cosines(normalized) - expected).abs().max() > 0.5  # taking out the mean was needed


def test_whitening_evens_out_the_variances(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    features = torch.randn(500, 12) * torch.logspace(0, -1, 12)

    def spread(whitening: float) -> float:
        monkeypatch.setattr(head_module, "WHITENING", whitening)
        head = Head(12, 6)
        head.fit_geometry(features)
        variances = head(features).detach().var(dim=0)
        return float(variances.max() / variances.min())

    assert spread(1.0) == pytest.approx(1, rel=1e-3)
    assert spread(0.5) == pytest.approx(spread(0.0) ** 0.5, rel=1e-3)
    assert spread(0.0) > 2


def test_the_embeddings_of_the_given_features_have_no_mean() -> None:
    features = features_of_rank(6)
    head = Head(24, 8)
    head.fit_geometry(features)
    embeddings = head(features)
    assert embeddings.mean(dim=0).abs().max() < 1e-4 * embeddings.abs().max()


@pytest.mark.parametrize(("count", "dim"), [(2, 32), (3, 24), (10, 24), (100, 48)])
def test_more_dimensions_than_directions(count: int, dim: int) -> None:
    head = Head(24, dim)
    features = torch.randn(count, 24)
    head.fit_geometry(features)
    embeddings = head(features)
    assert torch.isfinite(embeddings).all()
    assert torch.linalg.matrix_rank(head.linear.weight) == min(dim, 24)  # the rest can still learn


def test_equal_or_constant_features_stay_finite() -> None:
    for features in (torch.zeros(5, 24), torch.ones(5, 24), torch.randn(1, 24).repeat(5, 1)):
        head = Head(24, 8)
        head.fit_geometry(features)
        assert torch.isfinite(head.linear.weight).all()
        assert torch.isfinite(head(torch.randn(4, 24))).all()


def test_the_same_features_give_the_same_map() -> None:
    heads = []
    for _ in range(2):
        torch.manual_seed(3)
        heads.append(Head(24, 8))
        heads[-1].fit_geometry(features_of_rank(6))
    assert torch.equal(heads[0].linear.weight, heads[1].linear.weight)
    assert torch.equal(heads[0].linear.bias, heads[1].linear.bias)


def test_the_map_still_learns() -> None:
    head = Head(24, 8)
    head.fit_geometry(features_of_rank(6))
    head(features_of_rank(6)).square().sum().backward()
    assert head.linear.weight.grad is not None
    assert head.linear.weight.grad.any()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_features(count: int) -> None:
    with pytest.raises(EncoderError, match=f"fitted to at least 2 features, not {count}"):
        Head(24, 8).fit_geometry(torch.zeros(count, 24))


def test_blocks_of_features_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, whole, parted = torch.randn(50, 12), Head(12, 6), Head(12, 6)
    parted.load_state_dict(whole.state_dict())
    whole.fit_geometry(features)
    monkeypatch.setattr(head_module, "BLOCK_ROWS", 7)
    parted.fit_geometry(features)
    first, second = whole(features), parted(features)
    # A component may come with either sign; cosines do not see it.
    assert torch.allclose(first @ first.T, second @ second.T, atol=1e-4)
    assert first.abs().max() > 0.1
