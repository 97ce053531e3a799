"""How likely a match is right, by its cosine similarity."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import EncoderError


@dataclass(frozen=True)
class Calibration:
    r"""A growing, piecewise linear map from cosine similarity to the probability that a match is of the query's class.

    Isotonic regression (pool adjacent violators; Zadrozny and Elkan, KDD 2002 [related]) over the pairs of queries and
    their nearest items, right or wrong. So the probability is that of a near item of a gallery, and not of two items
    drawn at random: how many of the nearest are right at all is part of it, and it holds for galleries where as many
    are. Values are kept from 0 and 1 by :math:`1 / (n + 2)` for n pairs, since no number of pairs makes certain.

    Attributes:
        scores: cosines at which the map bends, ascending.
        probabilities: there, 0..1, never falling.
        pairs: how many it was fitted to.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    pairs: int

    @classmethod
    def fit(cls, scores: np.ndarray, right: np.ndarray) -> "Calibration":
        """Fit it.

        Args:
            scores: cosines [P] of queries to their nearest items.
            right: bool [P], whether both are of one class.

        Raises:
            EncoderError: no pair is right, or none is wrong.
        """
        from sklearn.isotonic import IsotonicRegression  # only here, since it takes a second

        if np.all(right) or not np.any(right):
            raise EncoderError("a calibration needs matches that are right and matches that are wrong")
        least = 1 / (len(scores) + 2)
        fitted = IsotonicRegression(y_min=least, y_max=1 - least).fit(
            np.asarray(scores, np.float64), np.asarray(right, np.float64)
        )
        return cls(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()), len(scores))

    def probability(self, score: float) -> float:
        """That a match of this similarity is right, 0..1; a higher score never gives a lower one."""
        return float(np.interp(score, self.scores, self.probabilities))

    @classmethod
    def from_dict(cls, content: Any, file: Path) -> "Calibration":
        """What `dataclasses.asdict` made, as JSON in this file.

        Raises:
            EncoderError: it is damaged.
        """
        try:
            found = cls(tuple(content["scores"]), tuple(content["probabilities"]), int(content["pairs"]))
            knots = np.array([found.scores, found.probabilities], np.float64)
        except (KeyError, TypeError, ValueError):
            knots = np.empty((2, 0))
        # Written so that NaN counts as wrong.
        if not (knots.size and (np.diff(knots) >= 0).all() and knots[1][0] >= 0 and knots[1][-1] <= 1):
            raise EncoderError(f"{file} is damaged (its calibration does not grow from 0 to 1); restore or train again")
        return found


def expected_calibration_error(probabilities: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Mean distance of what was said from what came true, over bins of equal width weighed by their pairs.

    Source: Guo et al., ICML 2017, eq. 3 [paper].
    """
    p, hits = np.asarray(probabilities, np.float64), np.asarray(right, np.float64)
    places = np.minimum((p * bins).astype(np.int64), bins - 1)
    sums = np.bincount(places, p - hits, minlength=bins)
    return float(np.abs(sums).sum() / len(p))
