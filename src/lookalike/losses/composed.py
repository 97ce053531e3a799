"""ComposedProxyLoss: text margins, density, lines and soft orthogonality on one table of proxies, in one pass."""

import math
from collections.abc import Mapping
from typing import ClassVar, get_args

import torch.nn.functional as F
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.adaptive_additive_softmax import Direction, check_side, text_factors
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.density import check_ranges
from lookalike.losses.density_aware_line import DensityAwareLines
from lookalike.losses.line_softmax import Text
from lookalike.losses.orthogonality import orthogonality_of
from lookalike.losses.proxies import Proxies, own_or_shared


class ComposedProxyLoss(Loss):
    r"""One margin softmax in which the four ideas meet: each has a switch, and off it leaves the loss of the others.

    Use it to find out whether they help each other on your data; switch off what does not pay.

    .. math::
        L = -\frac1B \sum_i \log \frac{e^{s (S_{i,y} - m_y)}}
            {e^{s (S_{i,y} - m_y)} + \sum_{c \ne y} e^{s (S_{i,c} + a \|t_y - t_c\|^2)}}
          + L_{den} + L_{sub} + L_{len} + \frac{\lambda}{C (C - 1)} \|P P^T - I\|_F^2

    in formula | in code            | what it is, shape, unit, range
    x          | embeddings         | (batch, dim), any length: rows are made unit length here
    P          | proxies            | (classes, dim), learned: the points, or the middles of the lines
    S, m_y     |                    | as of DensityAwareLineLoss; with vertices=1 S is the cosine to the proxy
    t          | class_side_vectors | (classes, side_dim), rows made unit length; fixed, no gradient
    s          | scale              | > 0
    m_0        | base_margin        | in [0, 4), of which m_y = m_0 + kappa (1 - rho_y)
    a          | slope              | >= 0; None: 1 / (4 - m_0)
    lambda     | orthogonality      | >= 0

    Switches: text_margins=False, or no vectors: no text. density_margin=0 and density_weight=0: no density. vertices=1:
    points for lines. orthogonality=0. `direction` is that of AdaptiveAdditiveSoftmaxLoss, all else that of
    DensityAwareLineLoss.

    Needs: labels.
    Terms: "softmax", "density", "sub_modes", "length", "orthogonality" (each times its weight, left out if it is 0).
    Raises: LossInputError: a setting out of range, side vectors of a wrong shape, labels not in 0..C-1.
    Limits (tested): all off => NormalizedSoftmaxLoss; only text => AdaptiveAdditiveSoftmaxLoss; only orthogonality =>
    NormalizedSoftmaxLoss and ProxyOrthogonality; only lines and density => DensityAwareLineLoss.
    Cost: one pass over the classes, not four: time O(B C (V D + T) + C D min(C, D)), memory as DensityAwareLineLoss.
    Source: the parts as in those losses' docstrings; putting them together, and how, is [ours].

    >>> import torch
    >>> loss = ComposedProxyLoss(num_classes=3, dim=4, text_margins=False, vertices=1)
    >>> list(loss.terms(torch.eye(4), torch.tensor([0, 0, 2, 2])))
    ['softmax', 'density', 'orthogonality']
    """

    class_side_vectors: Tensor | None
    class_axes: ClassVar[Mapping[str, int] | None] = {"class_side_vectors": 0}

    def __init__(
        self,
        num_classes: int | None = None,
        dim: int | None = None,
        class_side_vectors: Tensor | None = None,
        text_margins: bool = True,
        direction: Direction = "dissimilar",
        scale: float = 24.0,
        base_margin: float = 0.1,
        slope: float | None = 0.125,
        density_margin: float = 0.2,
        bandwidth: float = 0.5,
        max_density: float = 0.6,
        min_variance: float = 0.15,
        length: float = 1.0,
        density_weight: float = 10.0,
        sub_mode_weight: float = 0.5,
        length_weight: float = 0.1,
        orthogonality: float = 1.0,
        vertices: int = 2,
        chunk_rows: int = 0,
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__()
        check_ranges(base_margin=(base_margin, 0, 3.99), orthogonality=(orthogonality, 0, math.inf))
        slope = 1 / (4 - base_margin) if slope is None else slope
        check_ranges(slope=(slope, 0, math.inf))
        if direction not in get_args(Direction):
            raise LossInputError(f"direction must be one of {', '.join(get_args(Direction))}, not {direction!r}")
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
        vectors = class_side_vectors if text_margins else None
        if vectors is not None:
            check_side(vectors, None, self.proxies.num_classes)
            vectors = F.normalize(vectors.detach().float(), dim=1)
        self.register_buffer("class_side_vectors", vectors)
        self.slope, self.direction, self.orthogonality = slope, direction, orthogonality

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of the density-aware lines, with text margins, and the weighted orthogonality."""
        labels = check_batch(embeddings, labels, self.proxies.num_classes)
        terms: dict[str, Tensor] = self.body(self.proxies, embeddings, labels, *self._text(labels))
        if self.orthogonality:
            terms["orthogonality"] = self.orthogonality * orthogonality_of(self.proxies, "mean", unit=True)
        return terms

    def _text(self, labels: Tensor) -> tuple[Text | None, float]:
        """left and right, whose products are the margins a |t_y - t_c|^2 but for a constant, and that one."""
        vectors = self.class_side_vectors
        if vectors is None:
            return None, 0.0
        return text_factors(self.proxies.rows_of(vectors, labels), vectors, self.slope, self.direction)
