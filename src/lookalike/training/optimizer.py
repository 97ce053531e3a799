"""Parameter groups with rates of their own, and one cosine schedule over them."""

import math
from typing import Any

from timm.optim import param_groups_layer_decay
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lookalike.encoders import Encoder
from lookalike.losses import Loss
from lookalike.training.settings import TrainingSettings

Group = dict[str, Any]


def build_optimizer(encoder: Encoder, loss: Loss, settings: TrainingSettings) -> AdamW:
    """AdamW over backbone (if it is tuned), head, and the loss's own parameters (its proxies)."""
    groups = [_group("head", encoder.head, settings.head_learning_rate, settings.weight_decay)]
    if settings.tune_backbone and encoder.pooling is not None:
        groups.append(_group("pooling", encoder.pooling, settings.head_learning_rate, 0.0))
    if settings.tune_backbone:
        groups += _backbone_groups(encoder.backbone, settings)
    if any(True for _ in loss.parameters()):
        # Proxies are used by direction only: decay would just make them easier to turn.
        groups.append(_group("proxies", loss, settings.proxies_learning_rate, 0.0))
    return AdamW(groups, fused=True)


def build_schedule(optimizer: Optimizer, total_steps: int, warmup_steps: int) -> LambdaLR:
    """All rates rise linearly over `warmup_steps`, then fall along a cosine to 0."""

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        # An epoch may have a batch more than was counted on: the rate then stays at its end.
        done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """The present rate of each part; of the layers of a backbone the highest."""
    rates: dict[str, float] = {}
    for group in optimizer.param_groups:
        rates[group["name"]] = max(group["lr"], rates.get(group["name"], 0.0))
    return rates


def _group(name: str, module: nn.Module, rate: float, decay: float) -> Group:
    return {"name": name, "params": list(module.parameters()), "lr": rate, "weight_decay": decay}


def _backbone_groups(backbone: nn.Module, settings: TrainingSettings) -> list[Group]:
    """One group, or with `layer_decay` one a layer, each with that share of the rate of the next."""
    rate, decay, share = settings.backbone_learning_rate, settings.weight_decay, settings.layer_decay
    if share == 1:
        return [_group("backbone", backbone, rate, decay)]
    backbone.requires_grad_(True)  # what stands still would be left out
    layers = param_groups_layer_decay(backbone, decay, weight_decay_exclude_1d=False, layer_decay=share)
    return [
        {"name": "backbone", "params": layer["params"], "lr": rate * layer["lr_scale"], "weight_decay": decay}
        for layer in layers
    ]
