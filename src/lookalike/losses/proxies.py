"""Proxies: one learned vector per class, shared by the losses that use them."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lookalike.errors import LossInputError
from lookalike.losses.chunked import gram_deviation
from lookalike.losses.sharded import Shard

#: Cosines at a time, where the largest of all pairs is looked for.
BLOCK_NUMBERS = 2**22


class Proxies(nn.Module):
    """A table of C proxies of dimension D, kept in float32 whatever the embeddings are.

    Args:
        num_classes: C, at least 2.
        dim: D.
        orthogonal: begin at right angles to each other; C must not be above D.

    Attributes:
        weight: [C, D]; where the classes are shared out over processes, the rows of those of `shard`.
        shard: which those are; None: all. Losses whose `class_axes` is not None can work with it.
    """

    class_axes: ClassVar[Mapping[str, int]] = {"weight": 0}

    def __init__(self, num_classes: int, dim: int, orthogonal: bool = False) -> None:
        super().__init__()
        if num_classes < 2 or dim < 1:
            raise LossInputError(f"proxies need at least 2 classes and 1 dimension, not {num_classes} and {dim}")
        if orthogonal and num_classes > dim:
            raise LossInputError(
                f"{num_classes} proxies cannot be orthogonal in {dim} dimensions; leave orthogonal out, or raise dim"
            )
        start = torch.empty(num_classes, dim)
        start = nn.init.orthogonal_(start) if orthogonal else F.normalize(start.normal_(), dim=1)
        self.weight = nn.Parameter(start)
        self.shard: Shard | None = None

    @property
    def num_classes(self) -> int:
        """C."""
        return self.shard.total if self.shard else self.weight.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.weight.shape[1]

    def forward(self) -> Tensor:
        """The proxies as unit rows [C, D]."""
        return F.normalize(self.weight, dim=1)

    def rows_of(self, table: Tensor, labels: Tensor) -> Tensor:
        """The rows [B, T] of these classes of a table that lies as the proxies do: [C, T], or those of the shard."""
        return table[labels] if self.shard is None else self.shard.rows(table, labels)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosine of each embedding [B, D] to each proxy: [B, C], in the proxies' precision.

        Raises:
            LossInputError: the embeddings have another dimension.
        """
        cosines: Tensor = self.unit_rows(embeddings) @ self().T
        return cosines

    def unit_rows(self, embeddings: Tensor) -> Tensor:
        """The embeddings [B, D] as unit rows in the proxies' precision.

        Raises:
            LossInputError: the embeddings have another dimension.
        """
        if embeddings.shape[1] != self.dim:
            raise LossInputError(f"the proxies have {self.dim} dimensions, the embeddings {embeddings.shape[1]}")
        return F.normalize(embeddings.to(self.weight.dtype), dim=1)

    @torch.no_grad()
    def mean_squared_cosine(self) -> float:
        """Of two different proxies; for C > D it cannot be below (C - D) / (D (C - 1))."""
        lengths = torch.linalg.vector_norm(self.weight, dim=1).clamp_max(1e-12) / 1e-12
        of_themselves = (1 - lengths.square()).square().sum()  # 0 but for proxies without length
        pairs = self.num_classes * (self.num_classes - 1)
        return float((gram_deviation(self.weight, unit=True) - of_themselves) / pairs)

    @torch.no_grad()
    def max_abs_cosine(self) -> float:
        """The largest |cosine| of two different proxies: 1 if two are the same."""
        unit, rows = self(), max(1, BLOCK_NUMBERS // self.num_classes)
        largest = []
        for start in range(0, self.num_classes - 1, rows):
            cosines = unit[start : start + rows] @ unit[start:].T  # each pair once
            largest.append(cosines.abs_().triu_(1).max())
        return float(torch.stack(largest).max())

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
