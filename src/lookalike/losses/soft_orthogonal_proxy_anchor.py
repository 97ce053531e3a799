"""SoftOrthogonalProxyAnchorLoss: Proxy Anchor whose proxies are kept near right angles."""

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss
from lookalike.losses.orthogonality import Reduction, check_reduction, orthogonality_of
from lookalike.losses.proxies import Proxies, own_or_shared
from lookalike.losses.proxy_anchor import check_settings, proxy_anchor_terms


class SoftOrthogonalProxyAnchorLoss(Loss):
    r"""Proxy Anchor, with the proxies pushed towards right angles to each other.

    Use it where Proxy Anchor lets classes crowd together. The weight has to be searched for on held-out classes: the
    mean of squared cosines is small by itself, near 1/dim for proxies drawn at random.

    .. math:: L = L_{PA} + \lambda \frac{\|P P^T - I\|_F^2}{C (C - 1)}

    in formula | in code       | what it is, shape, unit, range
    x          | embeddings    | (batch, dim), any length: rows are made unit length here
    P          | proxies       | (classes, dim), learned; rows are made unit length unless `unit=False`
    lambda     | orthogonality | >= 0
    alpha      | alpha         | > 0, the sharpness
    delta      | delta         | a cosine, >= 0, the margin

    Needs: labels.
    Terms: "positive", "negative", "orthogonality" (times lambda).
    Args: reduction: "mean" over pairs as above, or the plain "sum"; chunk_classes: as of ProxyAnchorLoss.
    Raises: LossInputError: a setting out of range, labels not in 0..C-1.
    Limits (tested): lambda = 0 => ProxyAnchorLoss; for C > D the mean cannot fall below (C - D) / (D (C - 1)).
    Cost: as ProxyAnchorLoss, and time O(C D min(C, D)): no C x C matrix is formed where C > D.
    Relations: ProxyAnchorLoss plus ProxyOrthogonality on the same proxies, in one.
    Source: Saberi-Movahed et al., arXiv 2306.13055: Proxy Anchor and soft orthogonality of the proxies [paper]; the
    mean over pairs, unit rows, and lambda = 1 as a place to begin [ours].

    >>> import torch
    >>> loss = SoftOrthogonalProxyAnchorLoss(proxies=Proxies(3, 4, orthogonal=True))
    >>> with torch.no_grad():
    ...     terms = loss.terms(loss.proxies(), torch.arange(3))
    >>> {name: round(term.item(), 2) for name, term in terms.items()}
    {'positive': 0.0, 'negative': 3.91, 'orthogonality': 0.0}
    """

    class_axes: ClassVar[Mapping[str, int] | None] = {}

    def __init__(
        self,
        num_classes: int | None = None,
        dim: int | None = None,
        alpha: float = 32.0,
        delta: float = 0.1,
        orthogonality: float = 1.0,
        reduction: Reduction = "mean",
        unit: bool = True,
        chunk_classes: int = 0,
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__()
        check_settings(alpha, delta, chunk_classes)
        if not 0 <= orthogonality < math.inf:
            raise LossInputError(f"orthogonality, the weight of its term, must be at least 0, not {orthogonality}")
        self.proxies = own_or_shared(proxies, num_classes, dim)
        self.alpha, self.delta, self.chunk_classes = alpha, delta, chunk_classes
        self.orthogonality, self.reduction, self.unit = orthogonality, check_reduction(reduction), unit

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of Proxy Anchor and the weighted orthogonality."""
        terms = proxy_anchor_terms(self.proxies, embeddings, labels, self.alpha, self.delta, self.chunk_classes)
        angles = orthogonality_of(self.proxies, self.reduction, self.unit)
        return terms | {"orthogonality": self.orthogonality * angles}
