"""Draws docs/images/losses/*.png: each loss, trained for real in the plane. Needs matplotlib.

    python docs/losses/pictures.py [NAME ...]

Embeddings are unit vectors, so in the plane they lie on a circle; points are set off from it a little at random, so
that those at one place can be told apart. Titles say what was measured.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from plane import (
    COLORS,
    TEXTS,
    angle_of,
    between,
    crowd,
    draw_gaps,
    draw_lines,
    draw_points,
    draw_proxies,
    draw_row,
    encoded,
    middle,
    name_classes,
    on_circle,
    panels,
    spread,
    trained,
)
from torch import Tensor

from lookalike.losses import (
    AdaptiveAdditiveSoftmaxLoss,
    AdaptiveTripletLoss,
    ComposedProxyLoss,
    DensityAwareLineLoss,
    DensityPenalty,
    NormalizedSoftmaxLoss,
    ProxyAnchorLoss,
    SimilarityPreservation,
    SoftOrthogonalProxyAnchorLoss,
    TripletLoss,
    WeightedSum,
    from_pml,
)

FOLDER = Path(__file__).parent.parent / "images" / "losses"


def triplet() -> Figure:
    """Crowded classes are driven apart until every gap holds the margin."""
    start, labels = crowd([60, 80, 100, 120], 10, 9.0)
    end = trained(TripletLoss(margin=0.5, mining="all", average="active"), start, labels, rate=0.01)
    figure, axes = panels(2)
    for ax, points, when in zip(axes, (start, end), ("before", "after"), strict=True):
        near, far = nearest_and_farthest(points, labels)
        draw_points(ax, points, labels, f"{when}: farthest positive {far:.2f},\nnearest negative {near:.2f} (squared)")
    draw_row(axes[1], end, labels)
    return figure


def nearest_and_farthest(points: Tensor, labels: Tensor) -> tuple[float, float]:
    """The least squared distance of two classes, and the largest within one."""
    distances, same = 2 - 2 * points @ points.T, labels[:, None] == labels
    return float(distances[~same].min()), float(distances[same].max())


def adaptive_triplet() -> Figure:
    """Classes with far texts end farther apart than classes with near texts."""
    start, labels = crowd([60, 80, 100, 120], 8, 6.0)
    texts = torch.tensor(list(TEXTS.values()))[labels]
    figure, axes = panels(3)
    losses = {
        "one margin for all": TripletLoss(margin=0.35, mining="all", average="active"),
        "margins from texts": AdaptiveTripletLoss(average="active"),
    }
    draw_points(axes[0], start, labels, "before")
    name_classes(axes[0], start, labels, list(TEXTS))
    for ax, (name, loss) in zip(axes[1:], losses.items(), strict=True):
        end = trained(loss, start, labels, rate=0.01, side_vectors=texts)
        draw_points(ax, end, labels, name)
        name_classes(ax, end, labels, list(TEXTS))
        draw_row(ax, end, labels)
    return figure


def normalized_softmax() -> Figure:
    """A margin draws each class nearer to its proxy."""
    torch.manual_seed(6)
    items, labels = torch.randn(5, 6).repeat_interleave(20, dim=0), torch.arange(5).repeat_interleave(20)
    items = items + 0.6 * torch.randn(100, 6)
    figure, axes = panels(2)
    for ax, margin in zip(axes, (0.0, 0.3), strict=True):
        torch.manual_seed(0)
        loss = NormalizedSoftmaxLoss(5, 2, margin=margin, scale=10.0)
        end = encoded(loss, items, labels)
        draw_points(ax, end, labels, f"margin = {margin:g}: {spread(end, labels):.1f}° around the middle")
        draw_proxies(ax, loss.proxies())
    return figure


def adaptive_additive_softmax() -> Figure:
    """Proxies of far texts end farther apart, or nearer with the other direction."""
    start, labels = crowd([60, 80, 100, 120], 8, 6.0)
    vectors = torch.tensor(list(TEXTS.values()))
    large = {"scale": 10.0, "base_margin": 0.1, "curve": "linear"}  # than the default, to be seen
    losses = {
        "no margins": NormalizedSoftmaxLoss(4, 2, scale=10.0),
        "margins from texts": AdaptiveAdditiveSoftmaxLoss(4, 2, vectors, **large),
        'direction = "similar": near ones apart': AdaptiveAdditiveSoftmaxLoss(
            4, 2, vectors, direction="similar", **large
        ),
    }
    figure, axes = panels(3)
    for ax, (name, loss) in zip(axes, losses.items(), strict=True):
        loss.proxies.start_at(on_circle(torch.tensor([60.0, 80, 100, 120])))
        end = trained(loss, start, labels, steps=1500)
        draw_points(ax, end, labels, name)
        name_classes(ax, end, labels, list(TEXTS))
        draw_proxies(ax, loss.proxies())
        draw_gaps(ax, loss.proxies().detach())
    return figure


def proxy_anchor() -> Figure:
    """What one proxy does: it pulls its own and pushes the others, the hardest most."""
    start, labels = crowd([30, 115, 215], 9, 26.0, seed=4)
    places = on_circle(torch.tensor([50.0, 120, 215]))
    points, own = start.clone().requires_grad_(), labels == 0
    cosines = F.normalize(points, dim=1) @ places[0]
    pull, push = (-4 * (cosines[own] - 0.1)).exp().sum(), (4 * (cosines[~own] + 0.1)).exp().sum()
    (gradient,) = torch.autograd.grad(pull.log1p() + push.log1p(), points)
    figure, axes = panels(2)
    draw_points(axes[0], start, labels, "pull and push of one proxy (alpha = 4)")
    draw_proxies(axes[0], places[:1])
    axes[0].quiver(*start.T, *(-gradient.T), angles="xy", scale_units="xy", scale=2, width=0.007, zorder=3)
    loss = ProxyAnchorLoss(3, 2)
    loss.proxies.start_at(places)
    end = trained(loss, start, labels, steps=60)
    draw_points(axes[1], end, labels, "all, after 60 steps")
    draw_proxies(axes[1], loss.proxies())
    return figure


def soft_orthogonal_proxy_anchor() -> Figure:
    """In space: Proxy Anchor drives three classes to opposite sides, orthogonality to right angles."""
    labels = torch.arange(3).repeat_interleave(12)
    places = F.normalize(torch.ones(3) + 0.7 * torch.eye(3), dim=1)
    start = F.normalize(places[labels] + 0.15 * torch.randn(36, 3), dim=1)
    figure = Figure(figsize=(8.1, 2.85), layout="constrained")
    settings = {"before": None, "Proxy Anchor": 0.0, "with orthogonality": 10.0}
    for number, (name, weight) in enumerate(settings.items()):
        loss = SoftOrthogonalProxyAnchorLoss(3, 3, orthogonality=weight or 0.0)
        loss.proxies.start_at(places)
        end = start if weight is None else trained(loss, start, labels)
        proxies = loss.proxies().detach()
        angles = ", ".join(f"{between(proxies[a], proxies[b]):.0f}°" for a, b in ((0, 1), (0, 2), (1, 2)))
        ax = figure.add_subplot(1, 3, number + 1, projection="3d")
        for label, proxy in enumerate(proxies):
            ax.plot(*torch.stack([torch.zeros(3), proxy]).T, color=COLORS[2 * label], linewidth=1.5)
            ax.scatter(*proxy[:, None], marker="*", s=150, c=COLORS[2 * label], edgecolors="black", depthshade=False)
            ax.scatter(*end[labels == label].T, s=8, c=COLORS[2 * label], depthshade=False)
        limits = {f"{axis}lim": (-1, 1) for axis in "xyz"} | {f"{axis}ticklabels": [] for axis in "xyz"}
        ax.set(**limits, aspect="equal")
        ax.view_init(elev=20, azim=20)
        ax.set_title(f"{name}:\n{angles}", fontsize=9)
    return figure


def density_aware_line() -> Figure:
    """A point merges the two looks of a class, a line keeps both."""
    items, labels, look = two_looks()
    figure, axes = panels(2)
    # The scale is low in all these pictures: in two dimensions few classes are soon told apart, and learning stops.
    losses = {
        "a point a class": NormalizedSoftmaxLoss(3, 2, scale=10),
        "a line a class": DensityAwareLineLoss(3, 2, scale=10),
    }
    for ax, (name, loss) in zip(axes, losses.items(), strict=True):
        loss.proxies.start_at(on_circle(torch.tensor([0.0, 120, 240])))
        end = encoded(loss, items, labels)
        apart = looks_apart(end, labels, look)
        draw_points(ax, end, labels, f"{name}:\nits two looks {apart:.0f}° apart", hollow=look == 1)
        draw_proxies(ax, loss.proxies()) if isinstance(loss, NormalizedSoftmaxLoss) else draw_lines(ax, loss)
    return figure


def two_looks() -> tuple[Tensor, Tensor, Tensor]:
    """Items [120, 8] of 3 classes of two looks each, their classes and looks."""
    torch.manual_seed(5)
    labels, look = torch.arange(3).repeat_interleave(40), torch.arange(2).repeat_interleave(20).repeat(3)
    middles, looks = 1.5 * torch.randn(3, 4), torch.randn(3, 4)
    clean = torch.cat([middles[labels], (2 * look - 1)[:, None] * looks[labels]], dim=1)
    return clean + 0.2 * torch.randn(120, 8), labels, look


def looks_apart(points: Tensor, labels: Tensor, look: Tensor) -> float:
    """The mean angle of the two looks of a class."""
    angles = []
    for label in labels.unique():
        angles.append(between(*(middle(points[(labels == label) & (look == which)]) for which in (0, 1))))
    return sum(angles) / len(angles)


def density_penalty() -> Figure:
    """A class is not drawn to a point."""
    start, labels = crowd([60, 180, 300], 15, 30.0, seed=2)
    figure, axes = panels(2)
    for ax, weight in zip(axes, (0.0, 10.0), strict=True):
        torch.manual_seed(0)
        softmax = NormalizedSoftmaxLoss(3, 2, scale=10)
        softmax.proxies.start_at(on_circle(torch.tensor([60.0, 180, 300])))
        end = trained(
            WeightedSum({"softmax": (1.0, softmax), "density": (weight, DensityPenalty())}), start, labels, 800
        )
        name = "softmax alone" if not weight else "with the density penalty"
        draw_points(ax, end, labels, f"{name}:\n{spread(end, labels):.1f}° around the middle")
        draw_proxies(ax, softmax.proxies())
    return figure


def composed() -> Figure:
    """Switches one after the other: text margins, then lines and density."""
    start, labels = crowd([45, 135, 225, 315], 12, 3.0)
    look = torch.arange(len(labels)) % 2
    start = on_circle(angle_of(start) + 36 * look - 18)
    texts = torch.tensor(list(TEXTS.values()))
    off = {"density_margin": 0.0, "density_weight": 0.0, "vertices": 1, "orthogonality": 0.0}
    settings = {"points": off | {"text_margins": False}, "+ text margins": off, "+ lines, density, orthogonality": {}}
    figure, axes = panels(3)
    for ax, (name, switches) in zip(axes, settings.items(), strict=True):
        loss = ComposedProxyLoss(4, 2, texts, scale=10, slope=None, **switches)  # larger margins than the default
        loss.proxies.start_at(on_circle(torch.tensor([45.0, 135, 225, 315])))
        end = trained(loss, start, labels, 600)
        draw_points(ax, end, labels, f"{name}:\nlooks {looks_apart(end, labels, look):.0f}° apart", hollow=look == 1)
        name_classes(ax, end, labels, list(TEXTS))
        draw_lines(ax, loss) if loss.body.lines else draw_proxies(ax, loss.proxies())
        draw_gaps(ax, loss.proxies().detach())
    return figure


def similarity_preservation() -> Figure:
    """What tells the items of a class apart is kept: the order they began in."""
    start, labels = crowd([60, 180, 300], 15, 22.0, seed=2)
    figure, axes = panels(2)
    for ax, weight in zip(axes, (0.0, 10.0), strict=True):
        softmax = NormalizedSoftmaxLoss(3, 2, scale=10)
        softmax.proxies.start_at(on_circle(torch.tensor([60.0, 180, 300])))
        loss = WeightedSum({"softmax": (1.0, softmax), "kept": (weight, SimilarityPreservation())})
        end = trained(loss, start, labels, 800, start_embeddings=start)
        within = [(x @ x.T)[labels[:, None] == labels] for x in (start, end)]
        kept = torch.corrcoef(torch.stack(within))[0, 1]
        name = "softmax alone" if not weight else "with SimilarityPreservation"
        draw_points(ax, end, labels, f"{name}:\ncorrelation with the start {kept:.2f}")
        draw_proxies(ax, softmax.proxies())
    return figure


def from_the_library() -> Figure:
    """Losses of pytorch-metric-learning from one start."""
    start, labels = crowd([50, 90, 130], 10, 14.0, seed=1)
    figure, axes = panels(3)
    for ax, name in zip(axes, ("ContrastiveLoss", "MultiSimilarityLoss", "CircleLoss"), strict=True):
        end = trained(from_pml(name), start, labels)
        draw_points(ax, end, labels, f'from_pml("{name}")')
        draw_row(ax, end, labels)
    return figure


def main(names: list[str]) -> None:
    """Draw these, or all."""
    for name, make in PICTURES.items():
        if not names or name in names:
            torch.manual_seed(0)
            make().savefig(drawn := BytesIO(), dpi=100)
            Image.open(drawn).convert("RGB").quantize(64).save(FOLDER / f"{name}.png", optimize=True)


PICTURES: dict[str, Callable[[], Figure]] = {
    "triplet": triplet,
    "adaptive_triplet": adaptive_triplet,
    "normalized_softmax": normalized_softmax,
    "adaptive_additive_softmax": adaptive_additive_softmax,
    "proxy_anchor": proxy_anchor,
    "soft_orthogonal_proxy_anchor": soft_orthogonal_proxy_anchor,
    "density_aware_line": density_aware_line,
    "density_penalty": density_penalty,
    "composed": composed,
    "similarity_preservation": similarity_preservation,
    "from_pml": from_the_library,
}


if __name__ == "__main__":
    main(sys.argv[1:])
