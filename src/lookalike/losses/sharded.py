"""Shard: the classes of one process of several, each of which holds some of the proxies; the loss is that of all."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


def piece(total: int, rank: int, world: int) -> slice:
    """Which of `total` rows are those of process `rank` of `world`: pieces in order, no two more than one apart.

    >>> [piece(5, rank, 3) for rank in range(3)]
    [slice(0, 1, None), slice(1, 3, None), slice(3, 5, None)]
    """
    return slice(total * rank // world, total * (rank + 1) // world)


@dataclass(frozen=True)
class Shard:
    """Some of `total` classes: those of this process, `rank` of `world` processes of torch.distributed.

    Every process sees the whole batch, the same one. What it makes of its own classes is added up over all; what it
    has for the batch, gradients too, is then the same everywhere, and complete. Alone it has all classes, and nothing
    is added up.
    """

    total: int
    rank: int = 0
    world: int = 1

    @property
    def classes(self) -> slice:
        """Those of this process."""
        return piece(self.total, self.rank, self.world)

    @property
    def most(self) -> int:
        """How many the process with the most has."""
        return -(-self.total // self.world)

    def local(self, labels: Tensor) -> Tensor:
        """The numbers of these classes in the table of this process, -1 where another has them."""
        if self.world == 1:
            return labels
        inside = (labels >= self.classes.start) & (labels < self.classes.stop)
        return torch.where(inside, labels - self.classes.start, -1)

    def columns(self, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """The column of each class in the table of this process, and whether it has it; None: it has all.

        Where it has not, some other column stands in.
        """
        local = self.local(labels)
        return (local, None) if self.world == 1 else (local.clamp_min(0), local >= 0)

    def rows(self, table: Tensor, labels: Tensor) -> Tensor:
        """The rows of these classes [B, T], from tables of which each process has its part; no gradient."""
        if self.world == 1:
            return table.detach()[labels]
        own = self.local(labels)
        return self.sum(torch.where((own >= 0)[:, None], table.detach()[own.clamp_min(0)], 0))

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def max(self, values: Tensor) -> Tensor:
        """The largest of all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values
