"""Scaling of side vectors, so that distances between them tell classes apart: those of one shop all lie close."""

from typing import Literal, get_args

import numpy as np

from lookalike.errors import SideError, did_you_mean
from lookalike.side.word_sums import unit_rows

Scaling = Literal["raw", "centered", "whitened"]
SCALINGS: tuple[str, ...] = get_args(Scaling)
#: Share of the mean variance added to each direction's before whitening: with fewer classes than dimensions, whitening
#: in full would put all classes at the same distance.
SHRINKAGE = 1.0


def scaled(vectors: np.ndarray, scaling: Scaling = "centered") -> np.ndarray:
    """The vectors scaled, rows made unit length.

    With x_i the rows that are not zero, m their mean, S = mean (x_i - m)(x_i - m)ᵀ and s = tr S / T:

        raw       x_i
        centered  x_i - m
        whitened  (S + s I)^(-1/2) (x_i - m)      directions in which all differ count less [ours]

    Args:
        vectors: float [N, T]; rows of zeros (no side information) are left out and stay zeros.
        scaling: which.

    Returns:
        float32 [N, T], unit rows or zeros.

    Raises:
        SideError: there is no such scaling.
    """
    if scaling not in SCALINGS:
        raise SideError(f"there is no scaling {scaling!r}.{did_you_mean(scaling, SCALINGS)}")
    result = np.zeros(vectors.shape, np.float32)
    known = np.any(vectors != 0, axis=1)
    rows = vectors[known].astype(np.float64)
    if scaling != "raw" and len(rows):
        rows -= rows.mean(axis=0)
    if scaling == "whitened" and len(rows):
        variances, directions = np.linalg.eigh(rows.T @ rows / len(rows))
        spread = np.maximum(variances, 0) + SHRINKAGE * max(variances.mean(), 1e-12)
        rows = rows @ (directions / np.sqrt(spread)) @ directions.T
    result[known] = unit_rows(rows)
    return result


def hubness(distances: np.ndarray, k: int = 5) -> float:
    """Skewness of how often each row is among the k nearest of the others (Radovanović et al., JMLR 2010 [paper]).

    0: all equally often. Above 1: a few are near to nearly all, so that being near to them says little.
    """
    count = len(distances)
    k = min(k, count - 1)
    others = distances.astype(np.float64, copy=True)
    np.fill_diagonal(others, np.inf)
    occurrences = np.bincount(np.argsort(others, axis=1, kind="stable")[:, :k].ravel(), minlength=count)
    deviations = occurrences - occurrences.mean()
    spread = float(np.sqrt((deviations**2).mean()))
    return float((deviations**3).mean() / spread**3) if spread > 0 else 0.0
