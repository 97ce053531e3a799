"""ProxyOrthogonality: keeps the proxies of any loss near right angles."""

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss
from lookalike.losses.chunked import gram_deviation
from lookalike.losses.proxies import Proxies

Reduction = Literal["mean", "sum"]


class ProxyOrthogonality(Loss):
    r"""Pushes the proxies towards right angles to each other.

    A regularizer, to be added to a loss that trains the same proxies. It does not look at the embeddings.

    .. math:: L = \frac{1}{C (C - 1)} \|P P^T - I\|_F^2 \qquad
        \|P P^T - I_C\|_F^2 = \|P^T P - I_D\|_F^2 + C - D

    in formula | in code | what it is, shape, unit, range
    P          | proxies | (classes, dim), learned; rows are made unit length unless `unit=False`

    With unit rows it is the mean squared cosine of two proxies.

    Terms: "orthogonality".
    Args: reduction: "mean" over pairs as above, or the plain "sum".
    Raises: LossInputError: another reduction.
    Limits (tested): 0 for orthonormal proxies; for C > D not below (C - D) / (D (C - 1)).
    Cost: time O(C D min(C, D)), memory O(C D) for the gradient: no C x C matrix is formed where C > D. Only with
    C <= D or few numbers can it be differentiated twice.
    Source: Saberi-Movahed et al., arXiv 2306.13055 [paper]; the mean over pairs, raw rows as an option, and the D x D
    form, in which nothing cancels [ours].

    >>> import torch
    >>> round(ProxyOrthogonality(Proxies(3, 4, orthogonal=True))(torch.ones(1, 4)).item(), 6)
    0.0
    """

    class_axes: ClassVar[Mapping[str, int] | None] = {}

    def __init__(self, proxies: Proxies, reduction: Reduction = "mean", unit: bool = True) -> None:
        super().__init__()
        self.proxies, self.reduction, self.unit = proxies, check_reduction(reduction), unit

    def terms(self, embeddings: Tensor) -> dict[str, Tensor]:
        """The mean over pairs, or the sum, of what P P^T is off the identity; the embeddings are not looked at."""
        return {"orthogonality": orthogonality_of(self.proxies, self.reduction, self.unit)}


def orthogonality_of(proxies: Proxies, reduction: Reduction, unit: bool) -> Tensor:
    """||P P^T - I||^2, or its mean over the pairs of classes."""
    total = gram_deviation(proxies.weight, unit, proxies.shard)
    return total / (proxies.num_classes * (proxies.num_classes - 1)) if reduction == "mean" else total


def check_reduction(reduction: Reduction) -> Reduction:
    """Refuse another word."""
    if reduction not in get_args(Reduction):
        raise LossInputError(f"reduction must be one of {', '.join(get_args(Reduction))}, not {reduction!r}")
    return reduction
