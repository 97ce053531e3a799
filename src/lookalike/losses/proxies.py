"""Proxies: one learned vector per class, shared by the losses that use them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lookalike.errors import LossInputError


class Proxies(nn.Module):
    """A table of C proxies of dimension D, kept in float32 whatever the embeddings are.

    Args:
        num_classes: C, at least 2.
        dim: D.
    """

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        if num_classes < 2 or dim < 1:
            raise LossInputError(f"proxies need at least 2 classes and 1 dimension, not {num_classes} and {dim}")
        self.weight = nn.Parameter(F.normalize(torch.randn(num_classes, dim), dim=1))

    @property
    def num_classes(self) -> int:
        """C."""
        return self.weight.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.weight.shape[1]

    def forward(self) -> Tensor:
        """The proxies as unit rows [C, D]."""
        return F.normalize(self.weight, dim=1)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosine of each embedding [B, D] to each proxy: [B, C], in the proxies' precision.

        Raises:
            LossInputError: the embeddings have another dimension.
        """
        if embeddings.shape[1] != self.dim:
            raise LossInputError(f"the proxies have {self.dim} dimensions, the embeddings {embeddings.shape[1]}")
        cosines: Tensor = F.normalize(embeddings.to(self.weight.dtype), dim=1) @ self().T
        return cosines

    @torch.no_grad()
    def start_at(self, vectors: Tensor) -> None:
        """Begin at these vectors [C, D], for example the mean embedding of each class."""
        if vectors.shape != self.weight.shape:
            raise LossInputError(f"proxies have shape {tuple(self.weight.shape)}, not {tuple(vectors.shape)}")
        self.weight.copy_(F.normalize(vectors.to(self.weight), dim=1))


def own_or_shared(proxies: Proxies | None, num_classes: int | None, dim: int | None) -> Proxies:
    """The proxies given, or new ones of this size."""
    if proxies is not None:
        if num_classes not in (None, proxies.num_classes) or dim not in (None, proxies.dim):
            raise LossInputError(
                f"the proxies given are {proxies.num_classes} of {proxies.dim} dimensions, not {num_classes} of {dim}; "
                "leave num_classes and dim out"
            )
        return proxies
    if num_classes is None or dim is None:
        raise LossInputError("a proxy loss needs num_classes and dim, or proxies=")
    return Proxies(num_classes, dim)
