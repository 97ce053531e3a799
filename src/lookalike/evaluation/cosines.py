"""Cosines of unit rows: a fast product with a bound on its error, and to the last digit where that does not do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from lookalike.errors import EvaluationError

#: Float64 numbers at one time when scores are computed again: small enough for a core's cache.
RESCORED = 2**17
#: Cosines nearer than this are equal: far above the rounding of a float64 sum, far below that of a float32 vector.
TIE = 2.0**-40

Precision = Literal["float32", "bfloat16"]


def unit_rows(embeddings: Tensor, what: str) -> Tensor:
    """Rows of length 1, float32.

    Raises:
        EvaluationError: a row is zero or not finite.
    """
    unit = torch.empty(embeddings.shape, dtype=torch.float32, device=embeddings.device)
    for start in range(0, len(embeddings), 4096):
        rows = embeddings[start : start + 4096].float()
        # By its largest number first: the squares of a very short or very long row are no float32 numbers.
        rows = rows / rows.abs().amax(dim=1, keepdim=True)
        unit[start : start + 4096] = rows / rows.norm(dim=1, keepdim=True)
    bad = ~torch.isfinite(unit).all(dim=1)  # 0 / 0 is NaN, and so is infinity / infinity
    if bool(bad.any()):
        raise EvaluationError(
            f"{int(bad.sum())} {what} embeddings are zero or not finite, the first in row {int(bad.nonzero()[0])}; "
            "the model has collapsed or diverged: train again with smaller learning rates"
        )
    return unit


def product(x: Tensor, y: Tensor, precision: Precision, out: Tensor) -> None:
    """All cosines of unit rows [b, D] and [G, D], each within `error_bound`, into float32 [b, G]."""
    with _float32_products("highest" if precision == "float32" else "medium"):
        torch.mm(x, y.T, out=out)


@contextmanager
def _float32_products(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def error_bound(dim: int, precision: Precision) -> float:
    """How far a cosine of float32 unit rows can be off: inputs rounded to bfloat16, sums of `dim` terms in float32.

    u = 2^-24 a term [Higham 2002, eq. 3.5], |x| |y| <= 1, and (1 + 2^-9)^2 - 1 for the rounding of both inputs.
    """
    return dim * 2.0**-24 + (2.0**-8 + 2.0**-18 if precision == "bfloat16" else 0.0)


def exact(x: Tensor, y: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
    """Cosines in float64, to the nearest multiple of `TIE`."""
    scores = torch.empty(len(rows), dtype=torch.float64, device=x.device)
    step = max(1, RESCORED // x.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        scores[part] = (x[rows[part]].double() * y[numbers[part]].double()).sum(dim=1)
    return (scores / TIE).round() * TIE
