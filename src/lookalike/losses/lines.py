"""Lines: each class a line of V vertices around its proxy; and what holds their lengths and keeps both ends in use."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lookalike.errors import LossInputError
from lookalike.losses.density import Groups
from lookalike.losses.line_softmax import nearest, shapes_of

#: The length of the lines before they are given data.
START_LENGTH = 0.1


class Lines(nn.Module):
    """The V - 1 steps [V - 1, C, D] from vertex to vertex of the lines of C classes; their middles lie elsewhere.

    The vertices are a middle, such as the unit proxy of the class, plus offsets whose mean is 0. The start is short
    lines in any direction.

    Args:
        num_classes: C.
        dim: D.
        vertices: V, at least 2.

    >>> lines, middles = Lines(num_classes=3, dim=4, vertices=2), torch.zeros(3, 4)
    >>> ends = lines(middles).cumsum(dim=0)
    >>> ends.shape, bool((ends.mean(dim=0) - middles).abs().max() < 1e-6)
    (torch.Size([2, 3, 4]), True)
    """

    def __init__(self, num_classes: int, dim: int, vertices: int = 2) -> None:
        super().__init__()
        if vertices < 2:
            raise LossInputError(f"a line needs at least 2 vertices, not {vertices}")
        drawn = F.normalize(torch.randn(num_classes, dim), dim=1) * START_LENGTH / (vertices - 1)
        self.steps = nn.Parameter(drawn.repeat(vertices - 1, 1, 1))

    def forward(self, middles: Tensor) -> Tensor:
        """The first vertex of each line and the steps from there: [V, C, D], given the mean vertices [C, D]."""
        offsets = self.steps.cumsum(dim=0).sum(dim=0) / (len(self.steps) + 1)
        return torch.cat([(middles - offsets)[None], self.steps])

    @torch.no_grad()
    def start_at(self, embeddings: Tensor, labels: Tensor) -> None:
        """Begin along the first principal direction of each class, one standard deviation to both sides.

        A class without two different items keeps the line it has.

        Args:
            embeddings: [N, D], any length.
            labels: int64 [N].
        """
        unit, groups = F.normalize(embeddings.to(self.steps), dim=1), Groups.of(labels)
        centered = unit - groups.means(unit)[groups.of_item]
        in_order, ends = centered[groups.of_item.argsort()], groups.sizes.cumsum(0)
        for size in groups.sizes[groups.several].unique().tolist():  # classes of one size at once
            which = groups.sizes == size
            rows = ends[which, None] - torch.arange(1, size + 1, device=ends.device)
            _, lengths, directions = torch.linalg.svd(in_order[rows], full_matrices=False)
            steps = 2 * lengths[:, :1] * directions[:, 0] / (size**0.5 * len(self.steps))
            spread = lengths[:, 0] > START_LENGTH / 100
            self.steps[:, groups.classes[which][spread]] = steps[spread]


def unused_ends(unit: Tensor, own: Tensor, groups: Groups, min_variance: float) -> Tensor:
    """The mean over the classes of [v_min - variance of the places on the line of its items]_+: scalar.

    `own` is the table of the K classes of the batch: [V, K, D].
    """
    dots = torch.linalg.vecdot(own[:, groups.of_item], unit)
    _, place = nearest(dots.unbind(0), shapes_of(own)[:, :, groups.of_item])
    variances = groups.means((place - groups.means(place)[groups.of_item]).square())
    return groups.mean_of_several((min_variance - variances).relu())


def wrong_lengths(unit: Tensor, own: Tensor, groups: Groups, length: float) -> Tensor:
    """The mean over the classes of (length of the line - eta * rms distance of two items)^2: scalar."""
    lengths = torch.linalg.vector_norm(own[1:], dim=-1).sum(dim=0)
    return groups.mean_of_several((lengths - length * rms_distances(unit, groups)).square())


@torch.no_grad()
def rms_distances(unit: Tensor, groups: Groups) -> Tensor:
    """The root mean square distance of two different items of each class: [K], 0 where there is one item."""
    squares = groups.sums((unit - groups.means(unit)[groups.of_item]).square().sum(dim=1))
    return (2 * squares / (groups.sizes - 1).clamp_min(1)).sqrt()
