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


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_efficientnet"])
def test_each_layer_has_its_share_of_the_rate_of_the_next(backbone: str) -> None:
    encoder = Encoder.create(backbone, 4, pretrained=False, image_size=160 if backbone == "test_vit" else 32)
    encoder.requires_grad_(False)  # as it is in the first epochs
    settings = TrainingSettings(tune_backbone=True, layer_decay=0.5, backbone_learning_rate=1.0, weight_decay=0.1)
    optimizer = build_optimizer(encoder, TripletLoss(), settings)
    assert learning_rates(optimizer) == {"head": settings.head_learning_rate, "backbone": 1.0}
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    rates = [rate_of[id(p)] for p in encoder.backbone.parameters()]  # every one has a rate
    assert len(rate_of) == len(list(encoder.parameters()))
    layers = sorted(set(rates))
    assert len(layers) > 3 and max(rates) == 1
    assert layers == pytest.approx([0.5**place for place in reversed(range(len(layers)))])
    assert (rates[0], rates[-1]) == (layers[0], 1)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.1}


def test_the_schedule_turns_all_rates_alike(encoder: Encoder) -> None:
    settings = TrainingSettings(tune_backbone=True, layer_decay=0.5, backbone_learning_rate=1.0)
    optimizer = build_optimizer(encoder, TripletLoss(), settings)
    before = [group["lr"] for group in optimizer.param_groups]
    schedule = build_schedule(optimizer, total_steps=10, warmup_steps=2)
    after = [group["lr"] for group in optimizer.param_groups]
    assert after == pytest.approx([rate / 2 for rate in before]) and len(set(after)) > 3
    assert schedule.get_last_lr() == after


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
