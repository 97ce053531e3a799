"""Parameter groups and the schedule."""

import pytest
import torch

from lookalike.encoders import Encoder
from lookalike.losses import NormalizedSoftmaxLoss, TripletLoss
from lookalike.training import TrainingSettings
from lookalike.training.optimizer import build_optimizer, build_schedule, learning_rates


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.create("test_resnet", 4, pretrained=False, image_size=32)


def names(settings: TrainingSettings, encoder: Encoder, loss: torch.nn.Module) -> set[str]:
    return set(learning_rates(build_optimizer(encoder, loss, settings)))  # type: ignore[arg-type]


def test_groups_follow_what_is_trained(encoder: Encoder) -> None:
    softmax, triplet = NormalizedSoftmaxLoss(3, 4), TripletLoss()
    assert names(TrainingSettings(), encoder, softmax) == {"head", "proxies"}
    assert names(TrainingSettings(), encoder, triplet) == {"head"}
    assert names(TrainingSettings(tune_backbone=True), encoder, softmax) == {"head", "proxies", "backbone"}


def test_each_group_has_its_own_rate_and_proxies_no_decay(encoder: Encoder) -> None:
    settings = TrainingSettings(
        tune_backbone=True, backbone_learning_rate=1, head_learning_rate=2, proxies_learning_rate=3, weight_decay=0.5
    )
    optimizer = build_optimizer(encoder, NormalizedSoftmaxLoss(3, 4), settings)
    assert learning_rates(optimizer) == {"backbone": 1, "head": 2, "proxies": 3}
    assert {group["name"]: group["weight_decay"] for group in optimizer.param_groups}["proxies"] == 0
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len(list(encoder.parameters())) + 1  # every parameter once


def test_rates_rise_then_fall_to_zero_and_stay_there() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(optimizer, total_steps=10, warmup_steps=2)
    rates = []
    for _ in range(13):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[2:11] == sorted(rates[2:11], reverse=True)
    assert rates[10:] == pytest.approx([0, 0, 0])
