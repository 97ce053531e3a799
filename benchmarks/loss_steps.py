"""What benchmarks/losses.py times: a training step of each loss, and of what it is compared with."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lookalike.losses import (
    AdaptiveAdditiveSoftmaxLoss,
    AdaptiveTripletLoss,
    ComposedProxyLoss,
    DensityAwareLineLoss,
    DensityPenalty,
    NormalizedSoftmaxLoss,
    Proxies,
    ProxyAnchorLoss,
    ProxyOrthogonality,
    TripletLoss,
    WeightedSum,
)

PML, DIRECT = "pytorch-metric-learning", "the C x C matrix"
TRIPLETS, TEXT_TRIPLETS = "all triplets", "all triplets, text margins"
ANCHOR, SOFTMAX, COSFACE = "Proxy Anchor", "normalized softmax", "CosFace"
TEXT, BENT = "adaptive additive softmax", "adaptive additive softmax, bent"
ORTHOGONALITY = "proxy orthogonality"
LINES, DENSITY, COMPOSED, APART = "density-aware line", "density penalty", "composed", "its parts, one by one"
#: Columns of text vectors.
TRIPLET_TEXT, CLASS_TEXT = 128, 512
#: Of TEXT; BENT has the default.
LINEAR: dict[str, Any] = {"base_margin": 0.1, "curve": "linear"}

Step = Callable[[], float]


class Cell(NamedTuple):
    """A row of a table. C = 0: no class table; B = 0: the proxies alone; against nobody: ours alone."""

    work: str
    against: str
    classes: int
    batch: int
    dim: int = 128


def ours(cell: Cell, work: str) -> nn.Module:
    size = {"num_classes": cell.classes, "dim": cell.dim}
    if work in (TEXT, BENT):
        return AdaptiveAdditiveSoftmaxLoss(
            **size, class_side_vectors=class_text(cell), **(LINEAR if work == TEXT else {})
        )
    if work == COMPOSED:
        return ComposedProxyLoss(**size, class_side_vectors=class_text(cell))
    if work == ORTHOGONALITY:
        return ProxyOrthogonality(Proxies(**size))
    plain: dict[str, Callable[[], nn.Module]] = {
        TRIPLETS: lambda: TripletLoss(0.1, mining="all", average="active"),
        TEXT_TRIPLETS: lambda: AdaptiveTripletLoss(average="active"),
        ANCHOR: lambda: ProxyAnchorLoss(**size),
        SOFTMAX: lambda: NormalizedSoftmaxLoss(**size),
        COSFACE: lambda: NormalizedSoftmaxLoss(**size, margin=0.1),
        LINES: lambda: DensityAwareLineLoss(**size),
        DENSITY: DensityPenalty,
        APART: lambda: parts_of_composed(cell),
    }
    return plain[work]()


def parts_of_composed(cell: Cell) -> nn.Module:
    proxies = Proxies(cell.classes, cell.dim)
    text = AdaptiveAdditiveSoftmaxLoss(class_side_vectors=class_text(cell), proxies=proxies, **LINEAR)
    parts = {"text": text, "lines": DensityAwareLineLoss(proxies=proxies), "angles": ProxyOrthogonality(proxies)}
    return WeightedSum({name: (1.0, loss) for name, loss in parts.items()})


def class_text(cell: Cell) -> Tensor:
    few = torch.randn(10_000, CLASS_TEXT, generator=torch.Generator().manual_seed(1))
    return few[torch.arange(cell.classes) % len(few)]


def theirs(cell: Cell) -> nn.Module:
    """pytorch-metric-learning's, with the same settings and proxies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from pytorch_metric_learning import distances, losses
    if cell.work == TRIPLETS:
        return losses.TripletMarginLoss(margin=0.1, distance=distances.LpDistance(power=2))
    proxies = Proxies(cell.classes, cell.dim).weight.detach()
    if cell.work == ANCHOR:
        loss = losses.ProxyAnchorLoss(cell.classes, cell.dim, margin=0.1, alpha=32)
        loss.proxies.data = proxies
        return loss
    if cell.work == SOFTMAX:
        loss = losses.NormalizedSoftmaxLoss(cell.classes, cell.dim, temperature=1 / 20)
    else:
        loss = losses.CosFaceLoss(cell.classes, cell.dim, margin=0.1, scale=20)
    loss.W.data = proxies.T.contiguous()
    return loss


class Direct(nn.Module):
    """By autograd with a matrix of all pairs of classes, as one would write it first."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.proxies = Proxies(cell.classes, cell.dim)
        if cell.work == TEXT:
            unit = F.normalize(class_text(cell), dim=1)
            margins = 0.1 + (2 - 2 * unit @ unit.T).clamp(0, 4) / (4 - 0.1)
            self.register_buffer("margins", margins.fill_diagonal_(0.0))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        proxies = self.proxies()
        if len(embeddings):
            cosines = F.normalize(embeddings, dim=1) @ proxies.T
            return F.cross_entropy(20 * (cosines + self.margins[labels]), labels)
        size = len(proxies)
        return F.mse_loss(proxies @ proxies.T, torch.eye(size), reduction="sum") / (size * (size - 1))


def step_of(cell: Cell, who: str) -> Step:
    """One training step of "ours", or of whom the cell is against."""
    torch.manual_seed(0)
    work = cell.work if who == "ours" else who
    loss = theirs(cell) if work == PML else Direct(cell) if work == DIRECT else ours(cell, work)
    torch.manual_seed(2)
    embeddings = torch.randn(cell.batch, cell.dim, requires_grad=True)
    labels = torch.arange(cell.batch) // 4
    if cell.classes and cell.batch:
        labels = torch.randint(cell.classes, (cell.batch // 4,)).repeat_interleave(4)
    inputs = (embeddings,) if work == ORTHOGONALITY else (embeddings, labels)
    side = {"side_vectors": torch.randn(cell.batch, TRIPLET_TEXT)} if work == TEXT_TRIPLETS else {}
    trained = [embeddings, *loss.parameters()]

    def step() -> float:
        for tensor in trained:
            tensor.grad = None
        value = loss(*inputs, **side)
        value.backward()
        return float(value.item())

    return step


def products_of(cell: Cell) -> list[tuple[int, int, int]]:
    """The matrix products no step of ours can do without: of [m, k] and [k, n]; none: not worth the asking."""
    batch, classes, dim = cell.batch, cell.classes, cell.dim
    if cell.work in (TRIPLETS, TEXT_TRIPLETS):
        text = [(batch, TRIPLET_TEXT + 2, batch)] if cell.work == TEXT_TRIPLETS else []
        return [(batch, dim, batch), (batch, batch, dim), (batch, batch, dim), *text]
    if cell.work == DENSITY or classes == 1_000_000:
        return []
    least = min(classes, dim)
    # What is symmetric is made by half where it is large.
    angles = [(least, max(classes, dim), least // 2 if classes > dim else least), (classes, least, dim)]
    if cell.work == ORTHOGONALITY:
        return angles
    rows = 2 * classes if cell.work in (LINES, COMPOSED) else classes
    products = [(batch, dim, rows), (batch, rows, dim), (rows, batch, dim)]
    if cell.work in (TEXT, BENT, COMPOSED):
        products.append((batch, CLASS_TEXT, classes))
    return products + (angles if cell.work == COMPOSED else [])


def products_step(cell: Cell) -> Step:
    factors = [(torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)) for m, k, n in products_of(cell)]

    def step() -> float:
        for left, right, out in factors:
            torch.mm(left, right, out=out)
        return 0.0

    return step
