"""DensityAwareLineLoss: each class a line of proxies, and a margin that follows how dense the class is."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from lookalike.losses.base import Loss, check_batch
from lookalike.losses.density import Groups, RunningDensities, check_ranges, crowding, densities
from lookalike.losses.line_softmax import Text, line_softmax
from lookalike.losses.lines import Lines, unused_ends, wrong_lengths
from lookalike.losses.margin_softmax import margin_softmax
from lookalike.losses.proxies import Proxies, own_or_shared


class DensityAwareLineLoss(Loss):
    r"""Classifies embeddings by the nearest point of a line per class, and keeps classes from collapsing to points.

    Use it where a class has sub-groups that should stay apart: colors, views, models. Each class is a segment between
    two vertices, or a polyline of more. Needs batches with several items of a class, best at least four.

    A reconstruction: the equations of the paper could not be obtained. All equations here are ours.

    .. math::
        u_c = v^1_c - v^0_c, \quad
        \tau_{ic} = \mathrm{clip}\Big(\frac{(x_i - v^0_c) \cdot u_c}{\|u_c\|^2 + \epsilon}, 0, 1\Big), \quad
        q_{ic} = v^0_c + \tau_{ic} u_c, \quad S_{ic} = \frac{x_i \cdot q_{ic}}{\|q_{ic}\|}

        \rho_c = \mathrm{mean}_{i \ne j \in c} e^{-\|x_i - x_j\|^2 / (2 h^2)}, \quad m_c = m_0 + \kappa (1 - \rho_c)

        L = -\frac1B \sum_i \log
            \frac{e^{s (S_{i,y} - m_y)}}{e^{s (S_{i,y} - m_y)} + \sum_{c \ne y} e^{s S_{i,c}}}
          + w_d [\rho_c - \rho_{max}]_+^2 + w_s [v_{min} - \mathrm{Var}_i \tau_{ic}]_+
          + w_l (\|u_c\| - \eta \, d_c)^2

    in formula | in code         | what it is, shape, unit, range
    x          | embeddings      | (batch, dim), any length: rows are made unit length here
    v          | proxies, lines  | unit proxies (classes, dim), the middles of the vertices; steps from vertex to vertex
    s          | scale           | > 0
    m_0, kappa | base_margin, density_margin | cosines, >= 0; no gradient flows through the rho of a margin
    h, rho_max | bandwidth, max_density      | as of DensityPenalty
    v_min      | min_variance    | in [0, 0.25]: 0.25 is half of the items at each end
    eta        | length          | >= 0; d_c is the root mean square distance of two items of c, without gradient
    w          | density_weight, sub_mode_weight, length_weight | >= 0

    The last three terms are means over the classes with at least two items in the batch. Of a polyline the segment of
    the largest S counts, tau is the place on it, each segment taking an equal share of [0, 1], and the length is that
    of all segments. epsilon is 1e-6.

    Needs: labels.
    Terms: "softmax", "density", "sub_modes", "length" (each times its weight).
    Args: vertices: of each line, at least 2; chunk_rows: items worked on at a time; 0: chosen by size.
    State: the running mean of each class's density, for the margins of classes with one item in the batch.
    Raises: LossInputError: a setting out of range, labels not in 0..C-1.
    Limits (tested): lines without length => margin softmax of the proxies; any chunk_rows gives the same; only all at
    once can it be differentiated twice.
    Cost: time O(V B C D), memory O(V C D) for the gradient of the lines, and beyond it O(B D + V C chunk_rows).
    Relations: NormalizedSoftmaxLoss is the same with points and one margin; DensityPenalty is its density term alone.
    Source: Gebrerufael et al. 2024, arXiv 2410.05438: a margin loss that keeps the density of the embeddings and lets
    sub-clusters form by an adaptive line strategy [paper]; a segment with two vertices [reported]; every equation, the
    polyline and the start values [ours].

    >>> import torch
    >>> loss = DensityAwareLineLoss(num_classes=3, dim=4)
    >>> list(loss.terms(torch.eye(4), torch.tensor([0, 0, 2, 2])))
    ['softmax', 'density', 'sub_modes', 'length']
    """

    def __init__(
        self,
        num_classes: int | None = None,
        dim: int | None = None,
        scale: float = 24.0,
        base_margin: float = 0.1,
        density_margin: float = 0.2,
        bandwidth: float = 0.5,
        max_density: float = 0.6,
        min_variance: float = 0.15,
        length: float = 1.0,
        density_weight: float = 10.0,
        sub_mode_weight: float = 0.5,
        length_weight: float = 0.1,
        vertices: int = 2,
        chunk_rows: int = 0,
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__()
        check_ranges(vertices=(vertices, 2, math.inf))
        self.proxies = own_or_shared(proxies, num_classes, dim)
        self.body = DensityAwareLines(
            self.proxies,
            scale=scale,
            base_margin=base_margin,
            density_margin=density_margin,
            bandwidth=bandwidth,
            max_density=max_density,
            min_variance=min_variance,
            length=length,
            density_weight=density_weight,
            sub_mode_weight=sub_mode_weight,
            length_weight=length_weight,
            vertices=vertices,
            chunk_rows=chunk_rows,
        )

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The softmax over the lines, and what keeps the density, both ends of the lines, and their length."""
        labels = check_batch(embeddings, labels, self.proxies.num_classes)
        terms: dict[str, Tensor] = self.body(self.proxies, embeddings, labels)
        return terms


class DensityAwareLines(nn.Module):
    """The terms of `DensityAwareLineLoss` on the proxies it is given; with one vertex each class is its proxy.

    What has the weight 0 is left out and costs nothing.
    """

    def __init__(
        self,
        proxies: Proxies,
        *,
        scale: float,
        base_margin: float,
        density_margin: float,
        bandwidth: float,
        max_density: float,
        min_variance: float,
        length: float,
        density_weight: float,
        sub_mode_weight: float,
        length_weight: float,
        vertices: int,
        chunk_rows: int,
    ) -> None:
        super().__init__()
        check_ranges(
            scale=(scale, 1e-6, math.inf),
            base_margin=(base_margin, 0, math.inf),
            density_margin=(density_margin, 0, math.inf),
            bandwidth=(bandwidth, 1e-3, math.inf),
            max_density=(max_density, 0, 1),
            min_variance=(min_variance, 0, 0.25),
            length=(length, 0, math.inf),
            density_weight=(density_weight, 0, math.inf),
            sub_mode_weight=(sub_mode_weight, 0, math.inf),
            length_weight=(length_weight, 0, math.inf),
            vertices=(vertices, 1, math.inf),
            chunk_rows=(chunk_rows, 0, math.inf),
        )
        self.lines = Lines(proxies.num_classes, proxies.dim, vertices) if vertices > 1 else None
        self.running = RunningDensities(proxies.num_classes) if density_margin else None
        self.scale, self.base_margin, self.density_margin = scale, base_margin, density_margin
        self.bandwidth, self.max_density = bandwidth, max_density
        self.min_variance, self.length, self.chunk_rows = min_variance, length, chunk_rows
        self.density_weight, self.sub_mode_weight, self.length_weight = density_weight, sub_mode_weight, length_weight

    def forward(
        self, proxies: Proxies, embeddings: Tensor, labels: Tensor, text: Text | None = None, more_margin: float = 0.0
    ) -> dict[str, Tensor]:
        """The terms.

        Args:
            proxies: of the C classes, the middles of the lines.
            embeddings: [B, D], any length.
            labels: int64 [B], in 0..C-1.
            text: left [B, T] and right [C, T], without gradient; left_i . right_c is added to the cosines of negatives,
                and none is above more_margin.
            more_margin: added to the margin of the own class.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            return self._terms(proxies, proxies.unit_rows(embeddings), labels, text, more_margin)

    def _terms(
        self, proxies: Proxies, unit: Tensor, labels: Tensor, text: Text | None, more_margin: float
    ) -> dict[str, Tensor]:
        groups, margin = Groups.of(labels), self.base_margin + more_margin
        margins: float | Tensor = margin
        terms: dict[str, Tensor] = {}
        if self.density_weight or self.running:
            rho = densities(unit, groups, self.bandwidth)
            if self.density_weight:
                terms["density"] = self.density_weight * crowding(groups, rho, self.max_density)
            if self.running:
                margins = margin + self.density_margin * (1 - self.running(groups, rho))[groups.of_item]
        if self.lines is None:
            most = margin + self.density_margin
            softmax = partial(margin_softmax, unit, proxies.weight, largest=most, shard=proxies.shard)
        else:
            table = self.lines(proxies())
            softmax = partial(line_softmax, unit, table)
            own = table[:, groups.classes]
            if self.sub_mode_weight:
                terms["sub_modes"] = self.sub_mode_weight * unused_ends(unit, own, groups, self.min_variance)
            if self.length_weight:
                terms["length"] = self.length_weight * wrong_lengths(unit, own, groups, self.length)
        cross_entropy = softmax(labels, scale=self.scale, own_margins=margins, text=text, chunk=self.chunk_rows)
        return {"softmax": cross_entropy} | terms
