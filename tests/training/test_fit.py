"""fit: the best weights are kept, whatever ends it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from lookalike.catalog.batches import ClassBatches
from lookalike.encoders import Encoder
from lookalike.errors import TrainingError
from lookalike.losses import Loss, NormalizedSoftmaxLoss
from lookalike.training import TrainingSettings
from lookalike.training.best import Fit, Row
from lookalike.training.fit import BLENDS, fit
from lookalike.training.inputs import FeatureInputs
from lookalike.training.items import TrainingItems

SETTINGS = TrainingSettings(epochs=3, classes_per_batch=3, images_per_class=4)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder.create("test_resnet", 4, pretrained=False, image_size=32)


@pytest.fixture
def items(encoder: Encoder) -> TrainingItems:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    features = (rng.normal(size=(3, encoder.feature_dim))[labels] + rng.normal(size=(24, encoder.feature_dim))).astype(
        np.float32
    )
    return TrainingItems(FeatureInputs(features), ClassBatches(labels, 3, 4, seed=0), labels)


def weights_of(encoder: Encoder) -> torch.Tensor:
    return encoder.head.linear.weight.detach().clone()


def run(
    encoder: Encoder, items: TrainingItems, scores: Iterator[float] | None, loss: Loss | None = None
) -> tuple[Fit, list[torch.Tensor]]:
    """Fit with scripted validation scores; also the head's weights as they were at each score."""
    seen: list[torch.Tensor] = []

    def judge() -> Row:
        seen.append(weights_of(encoder))
        return {"validation": next(scores) if scores else None}

    loss = loss or NormalizedSoftmaxLoss(3, 4)
    return fit(encoder, loss, items, SETTINGS, judge, lambda row, best: None), seen


@pytest.mark.parametrize("best", range(1 + 3 + len(BLENDS)))
def test_the_best_weights_are_kept_wherever_they_are(encoder: Encoder, items: TrainingItems, best: int) -> None:
    scores = [0.5] * (4 + len(BLENDS))
    scores[best] = 0.9
    result, seen = run(encoder, items, iter(scores))
    assert len(result.history) == len(scores)
    assert result.best is result.history[best]
    assert torch.equal(weights_of(encoder), seen[best])
    assert sum(torch.equal(seen[best], other) for other in seen) == 1  # all states differ, so the test can fail


def test_epoch_zero_is_the_state_before_the_first_step(encoder: Encoder, items: TrainingItems) -> None:
    before = weights_of(encoder)
    result, seen = run(encoder, items, iter([0.9] + [0.1] * 10))
    assert result.best["epoch"] == 0
    assert torch.equal(weights_of(encoder), before)
    assert not torch.equal(seen[1], before)


def test_a_blend_lies_between_start_and_end(encoder: Encoder, items: TrainingItems) -> None:
    _, seen = run(encoder, items, iter([0.1] * 10))
    start, last = seen[0], seen[3]
    for share, blended in zip(BLENDS, seen[4:], strict=True):
        assert torch.allclose(blended, start + share * (last - start), atol=1e-6)


def test_without_validation_the_last_epoch_is_kept(encoder: Encoder, items: TrainingItems) -> None:
    before = weights_of(encoder)
    result, _ = run(encoder, items, None)
    assert result.best["epoch"] == SETTINGS.epochs
    assert not torch.equal(weights_of(encoder), before)


def test_the_backbone_stands_still_unless_it_is_tuned(encoder: Encoder, items: TrainingItems) -> None:
    before = encoder.backbone_fingerprint
    run(encoder, items, None)
    assert encoder.backbone_fingerprint == before


class NanAfter(Loss):
    """A loss that turns NaN at its n-th call."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def terms(self, embeddings: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        self.calls -= 1
        return {"t": embeddings.sum() if self.calls >= 0 else embeddings.sum() * float("nan")}


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_nan_leaves_the_best_weights_so_far(encoder: Encoder, items: TrainingItems, calls: int) -> None:
    before = weights_of(encoder)
    with pytest.raises(TrainingError, match="not finite"):
        run(encoder, items, iter([0.9, 0.1, 0.1, 0.1]), NanAfter(calls))
    assert torch.equal(weights_of(encoder), before)


def test_ctrl_c_leaves_the_best_weights_so_far(encoder: Encoder, items: TrainingItems) -> None:
    kept: list[torch.Tensor] = []

    def stop_after_two(row: Row, is_best: bool) -> None:
        kept.append(weights_of(encoder))
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    scores = iter([0.1, 0.9, 0.5])
    with pytest.raises(KeyboardInterrupt):
        fit(encoder, NormalizedSoftmaxLoss(3, 4), items, SETTINGS, lambda: {"validation": next(scores)}, stop_after_two)
    assert torch.equal(weights_of(encoder), kept[1])
    assert not torch.equal(kept[2], kept[1])


def test_history_says_what_happened(encoder: Encoder, items: TrainingItems) -> None:
    result, _ = run(encoder, items, None)
    row = result.history[1]
    assert row["steps"] == 2
    assert set(row["terms"]) == {"softmax"}
    assert set(row["learning_rates"]) == {"head", "proxies"}
    assert result.history[3]["terms"]["softmax"] < row["terms"]["softmax"]


def test_the_same_seed_gives_the_same_weights(items: TrainingItems) -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        encoder = Encoder.create("test_resnet", 4, pretrained=False, image_size=32)
        run(encoder, items, None)
        results.append(weights_of(encoder))
    assert torch.equal(*results)
