"""One training step, each way: what `training.py` compares. Every way begins at the same weights."""

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lookalike.encoders import Encoder
from lookalike.losses import ProxyAnchorLoss
from lookalike.training import TrainingSettings
from lookalike.training.batch import Batch
from lookalike.training.forward import embed_of, precision_of
from lookalike.training.loop import train_steps
from lookalike.training.optimizer import build_optimizer, build_schedule

DIM, ALPHA, DELTA, RATE = 128, 32.0, 0.1, 1e-4
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
SETTINGS = TrainingSettings(tune_backbone=True, backbone_learning_rate=RATE, head_learning_rate=RATE)
FLOOR, BARE, PML, OURS, HEADS = "forward and backward", "bare loop", "pytorch-metric-learning", "ours", "ours, heads"

#: A step: the loss, if it has one.
Step = Callable[[], Tensor | None]


class Cell(NamedTuple):
    backbone: str
    size: int
    batch: int
    classes: int


def encoder_of(cell: Cell) -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder.create(cell.backbone, DIM, pretrained=False, image_size=cell.size).to(DEVICE)
    for module in encoder.train().modules():  # as in a run
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return encoder


def batch_of(cell: Cell) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (cell.batch, cell.size, cell.size, 3), dtype=torch.uint8, generator=generator)
    return Batch(images.permute(0, 3, 1, 2).to(DEVICE), (torch.arange(cell.batch) // 4 % cell.classes).to(DEVICE))


def proxies_of(cell: Cell) -> Tensor:
    return torch.randn(cell.classes, DIM, generator=torch.Generator().manual_seed(1)).to(DEVICE)


def floor_step(cell: Cell) -> Step:
    """The encoder alone: forward, and backward from a gradient that costs nothing."""
    encoder, images, autocast = encoder_of(cell), batch_of(cell).inputs, precision_of(DEVICE, SETTINGS)[0]
    gradient = torch.ones(cell.batch, DIM, device=DEVICE)

    def step() -> None:
        encoder.zero_grad(set_to_none=True)
        with autocast():
            embeddings = encoder(images)
        embeddings.backward(gradient)

    return step


def bare_step(cell: Cell) -> Step:
    """What one would write by hand, the formula of the loss as it stands in the paper."""
    proxies = nn.Parameter(proxies_of(cell))

    def loss_of(embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = F.normalize(embeddings, dim=1) @ F.normalize(proxies, dim=1).T
        own = F.one_hot(labels, cell.classes).bool()
        pulls = torch.where(own, torch.exp(-ALPHA * (cosines - DELTA)), 0).sum(dim=0)
        pushes = torch.where(own, 0, torch.exp(ALPHA * (cosines + DELTA))).sum(dim=0)
        return pulls.log1p().sum() / own.any(dim=0).sum() + pushes.log1p().sum() / cell.classes

    return _plain_step(cell, loss_of, [proxies])


def pml_step(cell: Cell) -> Step:
    """The loop of its README."""
    from pytorch_metric_learning import losses

    loss = losses.ProxyAnchorLoss(cell.classes, DIM, margin=DELTA, alpha=ALPHA).to(DEVICE)
    loss.proxies.data.copy_(proxies_of(cell))
    return _plain_step(cell, loss, list(loss.parameters()))


def _plain_step(cell: Cell, loss_of: Callable[[Tensor, Tensor], Tensor], proxies: list[nn.Parameter]) -> Step:
    encoder, batch, autocast = encoder_of(cell), batch_of(cell), precision_of(DEVICE, SETTINGS)[0]
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=RATE)
    of_proxies = torch.optim.AdamW(proxies, lr=RATE)

    def step() -> Tensor:
        optimizer.zero_grad()
        of_proxies.zero_grad()
        with autocast():
            embeddings = encoder(batch.inputs)
        total = loss_of(embeddings, batch.labels)
        total.backward()
        optimizer.step()
        of_proxies.step()
        return total.detach()

    return step


def our_step(cell: Cell, settings: TrainingSettings = SETTINGS) -> Step:
    """The loop of a run; without `tune_backbone` on features instead of pictures."""
    encoder, batch = encoder_of(cell), batch_of(cell)
    loss = ProxyAnchorLoss(cell.classes, DIM, ALPHA, DELTA).to(DEVICE)
    loss.proxies.weight.data.copy_(proxies_of(cell))
    if not settings.tune_backbone:
        batch = Batch(torch.randn(cell.batch, encoder.feature_dim, device=DEVICE), batch.labels)
    optimizer = build_optimizer(encoder, loss, settings)
    autocast, scaler = precision_of(DEVICE, settings)
    going = train_steps(
        embed_of(encoder, settings),
        loss,
        repeat(batch),
        optimizer,
        build_schedule(optimizer, 10_000, 1),
        scaler,
        available=["labels"],
        autocast=autocast,
        max_norm=1.0,
    )
    return lambda: next(going).total


STEPS: dict[str, Callable[[Cell], Step]] = {
    FLOOR: floor_step,
    BARE: bare_step,
    PML: pml_step,
    OURS: our_step,
    HEADS: partial(our_step, settings=SETTINGS.model_copy(update={"tune_backbone": False})),
}
