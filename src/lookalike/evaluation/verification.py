"""Same product or not, decided by a threshold on the cosine: error rates over all pairs, and where to put it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation.cosines import unit_rows
from lookalike.evaluation.neighbors import BLOCK
from lookalike.evaluation.relevance import UNLABELED

Array = np.ndarray | Tensor
#: Cosines are counted in so many steps over -1..1: a threshold is exact to 2^-17.
STEPS = 2**18


@dataclass(frozen=True)
class ErrorRate:
    """At `threshold` (a pair is one product where its cosine is at least that): false matches and false non-matches.

    Attributes:
        fmr: share of the pairs of different classes that match; at most the one asked for.
        fnmr: share of the pairs of one class that do not.
        threshold: the lowest such, to 2^-17; above 1 where even equal vectors are of different classes.
    """

    fmr: float
    fnmr: float
    threshold: float


def fnmr_at_fmr(embeddings: Array, labels: Array, fmr: Sequence[float] = (1e-2, 1e-3, 1e-4)) -> dict[float, ErrorRate]:
    """Open-set verification over all pairs of items: the false non-match rate where false matches are this rare.

    Counted in one pass by a histogram of cosines, so that memory does not grow with the pairs.

    Args:
        embeddings: [N, D].
        labels: integers [N]; items of label -1 are of a class of their own.
        fmr: the false match rates wanted.

    Raises:
        EvaluationError: no pair of one class, or none of two.
    """
    x, classes = unit_rows(torch.as_tensor(embeddings), "query"), torch.as_tensor(labels)
    classes = classes.to(x.device)
    counts = torch.zeros(2 * (STEPS + 1), dtype=torch.int64, device=x.device)
    numbers, step = torch.arange(len(x), device=x.device), max(1, BLOCK // (4 * len(x)))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        # Each pair once: the columns from the block's first row on, above the diagonal.
        cosines = x[rows] @ x[start:].T
        places = ((cosines.clamp(-1, 1) + 1) * (STEPS / 2)).round_().int()
        places += ((classes[rows, None] == classes[start:]) & (classes[rows, None] != UNLABELED)) * (STEPS + 1)
        counts += torch.bincount(places[numbers[rows, None] < numbers[start:]], minlength=len(counts))
    different, same = counts.view(2, -1).cpu().numpy()
    if not (different.sum() and same.sum()):
        raise EvaluationError("verification needs pairs of one class and pairs of two; there are none of one kind")
    # Share of the pairs at or above each step; at the last, beyond all steps, none.
    matched = [np.append(part[::-1].cumsum()[::-1], 0) / part.sum() for part in (different, same)]
    found = {}
    for wanted in fmr:
        place = int(np.argmax(matched[0] <= wanted))
        threshold = (place - 0.5) * 2 / STEPS - 1  # the lower edge: cosines were rounded to the nearest step
        found[wanted] = ErrorRate(float(matched[0][place]), float(1 - matched[1][place]), threshold)
    return found


@dataclass(frozen=True)
class Threshold:
    """Answers of a score of at least `score`: the share that is right, and the share of all queries answered."""

    score: float
    precision: float
    answered: float


def threshold_for_precision(scores: Array, right: Array, precision: float) -> Threshold | None:
    """The lowest score from which on answers are right as often as wanted.

    Calibrate on queries that are like those to come, such without a match in the gallery included (never right); the
    precision is that on these queries, so it is a little too good for new ones.

    Args:
        scores: [Q], the cosine of each query's best match.
        right: bool [Q], whether that match is of the query's class.
        precision: wanted, in (0, 1].

    Returns:
        None where no threshold is precise enough.

    Raises:
        EvaluationError: nothing to calibrate on, or a precision outside (0, 1].
    """
    s, hits = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    if s.shape != hits.shape or s.ndim != 1 or not len(s):
        raise EvaluationError(f"a threshold needs one score and one truth a query, not {s.shape} and {hits.shape}")
    if not 0 < precision <= 1:
        raise EvaluationError(f"a precision lies above 0 and up to 1, not {precision}")
    order = np.argsort(-s, kind="stable")
    s, hits = s[order], hits[order]
    precisions = hits.cumsum() / np.arange(1, len(s) + 1)
    # Equal scores are answered together.
    last = np.append(s[:-1] != s[1:], True)
    good = np.flatnonzero(last & (precisions >= precision))
    if not len(good):
        return None
    place = good[-1]
    return Threshold(float(s[place]), float(precisions[place]), float((place + 1) / len(s)))
