"""The average of the weights: its formula, its state, and the encoder left as it was."""

import copy

import numpy as np
import pytest
import torch

from lookalike.catalog.batches import ClassBatches
from lookalike.encoders import Encoder
from lookalike.losses import NormalizedSoftmaxLoss
from lookalike.training import TrainingSettings
from lookalike.training.average import WeightAverage
from lookalike.training.best import Row
from lookalike.training.fit import fit
from lookalike.training.inputs import FeatureInputs
from lookalike.training.items import TrainingItems


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder.create("test_resnet", 4, pretrained=False, image_size=32)


def moved(encoder: Encoder) -> None:
    """Another step of a run: all weights, and the running means of BatchNorm."""
    for tensor in encoder.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor))


def averaged_plainly(weights: list[torch.Tensor], decay: float) -> torch.Tensor:
    average = torch.zeros_like(weights[0], dtype=torch.float64)
    for t, weight in enumerate(weights):
        d = min(decay, t / (t + 9))
        average = d * average + (1 - d) * weight.double()
    return average


def test_it_is_the_moving_average_of_the_weights_and_the_last_of_the_buffers(encoder: Encoder) -> None:
    average, seen = WeightAverage(encoder, 0.7), []
    for _ in range(30):
        moved(encoder)
        average.update_parameters(encoder)
        seen.append(copy.deepcopy(dict(encoder.named_parameters())))
    for name, weight in average.module.named_parameters():
        expected = averaged_plainly([step[name].detach() for step in seen], 0.7)
        torch.testing.assert_close(weight.double(), expected, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(weight, seen[-1][name])
        assert not weight.requires_grad
    for ours, theirs in zip(average.module.buffers(), encoder.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_encoder_has_the_average_inside_and_its_own_weights_after(encoder: Encoder) -> None:
    average = WeightAverage(encoder, 0.9)
    before = average.module.fingerprint
    moved(encoder)
    own = encoder.fingerprint
    with pytest.raises(KeyboardInterrupt), average.swapped_into(encoder):
        assert encoder.fingerprint == before != own
        raise KeyboardInterrupt
    assert encoder.fingerprint == own


def test_the_state_dict_is_enough_to_go_on(encoder: Encoder) -> None:
    average = WeightAverage(encoder, 0.9)
    for _ in range(3):
        moved(encoder)
        average.update_parameters(encoder)
    other = WeightAverage(Encoder.create("test_resnet", 4, pretrained=False, image_size=32), 0.9)
    other.load_state_dict(average.state_dict())
    moved(encoder)
    for one in (average, other):
        one.update_parameters(encoder)
    assert average.module.fingerprint == other.module.fingerprint != encoder.fingerprint


@pytest.mark.parametrize("best", ["weights", "average"])
def test_a_fit_judges_it_beside_the_weights_and_keeps_the_better(encoder: Encoder, best: str) -> None:
    labels = np.arange(24) % 3
    features = np.random.default_rng(0).normal(size=(24, encoder.feature_dim)).astype(np.float32)
    items = TrainingItems(FeatureInputs(features), ClassBatches(labels, 3, 4, seed=0), labels)
    settings = TrainingSettings(epochs=2, classes_per_batch=3, images_per_class=4, average_decay=0.9)
    wanted, seen = {"weights": 3, "average": 4}[best], []  # at the end of the second epoch

    def judge() -> Row:
        seen.append(encoder.head.linear.weight.detach().clone())
        return {"validation": 0.9 if len(seen) - 1 == wanted else 0.5}

    result = fit(encoder, NormalizedSoftmaxLoss(3, 4), items, settings, judge, lambda row, is_best: None)
    kinds = ["average" if "average" in row else row["epoch"] for row in result.history[:5]]
    assert kinds == [0, 1, "average", 2, "average"]
    assert result.best is result.history[wanted] and ("average" in result.best) == (best == "average")
    assert torch.equal(encoder.head.linear.weight, seen[wanted])
    assert not any(torch.equal(seen[wanted], other) for other in seen[:wanted])
