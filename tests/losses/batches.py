"""Batches for hypothesis: small whole numbers as coordinates, so that ties and equal points come by themselves."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

#: Class numbers as they are; far above 2^24, where neighbors are one float32; and negative.
FIRST_CLASS_NUMBERS = (0, 2**24 + 1, 2**53 + 1, -3)


@dataclass(frozen=True)
class Batch:
    embeddings: Tensor  # float64 [B, D], no row is zero
    labels: Tensor  # int64 [B]
    num_classes: int


@st.composite
def batches(draw: st.DrawFn, max_classes: int = 5) -> Batch:
    size, dim = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    num_classes = draw(st.integers(2, max_classes))
    row = st.lists(st.integers(-3, 3), min_size=dim, max_size=dim).filter(any)
    rows = draw(st.lists(row, min_size=size, max_size=size))
    labels = draw(st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size))
    return Batch(torch.tensor(rows, dtype=torch.float64), torch.tensor(labels), num_classes)


@st.composite
def tables(draw: st.DrawFn, rows: int, dim: int) -> Tensor:
    """Proxies or side vectors: float64 [rows, dim], no row is zero."""
    row = st.lists(st.integers(-3, 3), min_size=dim, max_size=dim).filter(any)
    return torch.tensor(draw(st.lists(row, min_size=rows, max_size=rows)), dtype=torch.float64)


def generic(size: int = 12, dim: int = 6, num_classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Embeddings float64 [size, dim] without ties and labels, every class but the last at least twice."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(size, dim, generator=generator, dtype=torch.float64)
    return embeddings, torch.arange(size) % max(1, num_classes - 1)
