"""What became of the vectors of a loss: how far its proxies are from each other, and how much of its lines is used."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lookalike.losses import Loss, Proxies
from lookalike.losses.density import Groups
from lookalike.losses.density_aware_line import DensityAwareLines
from lookalike.losses.line_softmax import nearest, shapes_of

#: Of the histogram of variances, from 0 to 1/4, the largest there is on a line of length 1.
BINS = 25


@torch.no_grad()
def geometry_of(loss: Loss, embed: Callable[[], np.ndarray], labels: np.ndarray) -> dict[str, Any] | None:
    """Figures of the proxies and lines of a loss, ready for JSON; None where it has none.

    Args:
        loss: on any device.
        embed: gives the training embeddings [T, D]; called only where there are lines.
        labels: int64 [T], numbered 0..C-1.
    """
    modules = list(loss.cpu().modules())
    proxies = [_of_proxies(module) for module in modules if isinstance(module, Proxies)]
    lines = []
    if tables := [table for module in modules if (table := _lines(module)) is not None]:
        unit, classes = F.normalize(torch.from_numpy(embed()), dim=1), torch.from_numpy(labels)
        lines = [_of_lines(table, unit, classes) for table in tables]
    return {"proxies": proxies, "lines": lines} if proxies else None


def _lines(loss: torch.nn.Module) -> torch.Tensor | None:
    """The lines of a loss, around its proxies: [V, C, D]."""
    body, proxies = getattr(loss, "body", None), getattr(loss, "proxies", None)
    if not isinstance(body, DensityAwareLines) or not isinstance(proxies, Proxies) or body.lines is None:
        return None
    table: torch.Tensor = body.lines(proxies())
    return table


def _of_proxies(proxies: Proxies) -> dict[str, Any]:
    classes, dim = proxies.num_classes, proxies.dim
    return {
        "classes": classes,
        "dim": dim,
        "mean_squared_cosine": proxies.mean_squared_cosine(),
        "max_abs_cosine": proxies.max_abs_cosine(),
        # Of vectors that many in so few dimensions [Welch 1974].
        "floor": max(0.0, (classes - dim) / (dim * (classes - 1))),
    }


def _of_lines(table: torch.Tensor, unit: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """Mean length, and the variance of the places on its line of the items of each class with several."""
    own = table[:, labels]
    _, places = nearest(torch.linalg.vecdot(own, unit).unbind(0), shapes_of(table)[:, :, labels])
    groups = Groups.of(labels)
    variances = groups.means((places - groups.means(places)[groups.of_item]).square())[groups.several].numpy()
    counts = np.histogram(variances.clip(0, 0.25), BINS, (0, 0.25))[0]
    return {
        "classes": table.shape[1],
        "mean_length": float(torch.linalg.vector_norm(table[1:], dim=-1).sum(dim=0).mean()),
        "mean_variance": float(variances.mean()) if len(variances) else 0.0,
        "variances": (counts / max(1, len(variances))).round(6).tolist(),
    }
