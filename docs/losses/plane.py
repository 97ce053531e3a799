"""Points and proxies in the plane: made, trained with a loss, measured and drawn. For pictures.py."""

from itertools import pairwise

import matplotlib
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.patches import Arc
from torch import Tensor, nn

from lookalike.losses import ComposedProxyLoss, DensityAwareLineLoss, Loss

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLORS = ["#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7"]
#: Descriptions of four products as vectors: two of clothes, two of shoes.
TEXTS = {"shirt": (1.0, 0.2, 0.0), "blouse": (1.0, -0.2, 0.0), "boot": (0.0, 0.2, 1.0), "sandal": (0.0, -0.2, 1.0)}


def on_circle(degrees: Tensor) -> Tensor:
    """Unit vectors [..., 2] at these angles."""
    return torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], dim=-1)


def angle_of(points: Tensor) -> Tensor:
    """In degrees, of vectors [..., 2]."""
    return torch.atan2(points[..., 1], points[..., 0]).rad2deg()


def between(a: Tensor, b: Tensor) -> float:
    """The angle of two vectors [2] in degrees."""
    return float(torch.acos(F.cosine_similarity(a, b, dim=0).clamp(-1, 1)).rad2deg())


def middle(points: Tensor) -> Tensor:
    """The mean direction [2] of vectors [N, 2]."""
    return F.normalize(F.normalize(points, dim=1).mean(dim=0), dim=0)


def crowd(degrees: list[float], each: int, spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit vectors [C each, 2] around these angles, and their class."""
    noise = spread * torch.randn(len(degrees) * each, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(len(degrees)).repeat_interleave(each)
    return on_circle(torch.tensor(degrees)[labels] + noise), labels


def trained(
    loss: Loss, start: Tensor, labels: Tensor, steps: int = 300, rate: float = 0.02, **inputs: Tensor
) -> Tensor:
    """Where free embeddings [N, 2] that begin at `start` end."""
    points = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([points, *loss.parameters()], lr=rate)
    asked = {"labels": labels, **inputs}
    for _ in range(steps):
        optimizer.zero_grad()
        loss(points, **{name: asked[name] for name in loss.inputs if name in asked}).backward()
        optimizer.step()
    return F.normalize(points.detach(), dim=1)


def encoded(loss: Loss, items: Tensor, labels: Tensor, steps: int = 400, dim: int = 2) -> Tensor:
    """Where a small network trained with the loss puts items [N, any]: [N, dim]."""
    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Linear(items.shape[1], 32), nn.Tanh(), nn.Linear(32, dim))
    optimizer = torch.optim.Adam([{"params": encoder.parameters()}, {"params": loss.parameters(), "lr": 0.05}], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(encoder(items), labels).backward()
        optimizer.step()
    with torch.no_grad():
        return F.normalize(encoder(items), dim=1)


def draw_points(axes: Axes, points: Tensor, labels: Tensor, title: str, hollow: Tensor | None = None) -> None:
    """The circle, and the points [N, 2] near it in the colors of their classes; `hollow` ones as rings."""
    torch.manual_seed(3)
    off = F.normalize(points, dim=1) * (1 + 0.05 * torch.randn(len(points), 1)).clamp(0.88, 1.12)
    colors = [COLORS[label] for label in labels.tolist()]
    axes.add_patch(plt.Circle((0, 0), 1, fill=False, color="#cccccc", zorder=0))
    faces = colors if hollow is None else [c if not h else "white" for c, h in zip(colors, hollow, strict=True)]
    axes.scatter(*off.T, s=18, c=faces, edgecolors=colors, linewidths=1.0, zorder=2)
    axes.set(xlim=(-1.42, 1.42), ylim=(-1.42, 1.42), aspect="equal", xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)
    for side in axes.spines.values():
        side.set_visible(False)


def draw_proxies(axes: Axes, proxies: Tensor) -> None:
    """Stars, one a class."""
    for color, place in zip(COLORS, F.normalize(proxies.detach(), dim=1).tolist(), strict=False):
        axes.plot([0, place[0]], [0, place[1]], color=color, linewidth=0.8, zorder=1)
        axes.scatter(*place, marker="*", s=190, c=color, edgecolors="black", linewidths=0.8, zorder=4)


def draw_lines(axes: Axes, loss: DensityAwareLineLoss | ComposedProxyLoss) -> None:
    """The line of each class, as a segment."""
    assert loss.body.lines is not None
    ends = loss.body.lines(loss.proxies()).detach().cumsum(dim=0)
    for color, line in zip(COLORS, ends.unbind(1), strict=False):
        axes.plot(*line.T, color=color, linewidth=3, solid_capstyle="round", zorder=1)


def draw_gaps(axes: Axes, directions: Tensor) -> None:
    """The angles between neighbors among these [C, 2]."""
    around = directions[angle_of(directions).argsort()]
    for a, b in zip(around, around.roll(-1, 0), strict=True):
        draw_arc(axes, a, b, 0.45)


def draw_row(axes: Axes, points: Tensor, labels: Tensor) -> None:
    """The angles between the middles of one class and the next."""
    for a, b in pairwise(middle(points[labels == label]) for label in labels.unique()):
        draw_arc(axes, a, b, 0.8)


def draw_arc(axes: Axes, a: Tensor, b: Tensor, radius: float) -> None:
    """The smaller arc from the direction a to b, and its angle."""
    first, second = sorted((float(angle_of(a)), float(angle_of(b))))
    first, second = (first, second) if second - first <= 180 else (second, first + 360)
    axes.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta1=first, theta2=second, color="black", linewidth=1.2))
    x, y = (radius - 0.15) * on_circle(torch.tensor((first + second) / 2))
    axes.text(x, y, f"{second - first:.0f}°", fontsize=8, ha="center", va="center")


def name_classes(axes: Axes, points: Tensor, labels: Tensor, names: list[str]) -> None:
    """The names outside the circle, at the middles of the classes."""
    for number, name in enumerate(names):
        x, y = 1.27 * middle(points[labels == number])
        axes.text(x, y, name, fontsize=8, ha="center", va="center", color=COLORS[number])


def panels(number: int) -> tuple[plt.Figure, list[Axes]]:
    """A row of square pictures."""
    figure, axes = plt.subplots(1, number, figsize=(2.7 * number, 2.85), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08)
    return figure, list(axes)


def spread(points: Tensor, labels: Tensor) -> float:
    """Root mean square angle of the points to the middle of their class, in degrees."""
    middles = torch.stack([middle(points[labels == label]) for label in labels])
    cosines = (F.normalize(points, dim=1) * middles).sum(dim=1).clamp(-1, 1)
    return float(cosines.acos().rad2deg().square().mean().sqrt())
