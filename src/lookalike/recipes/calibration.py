"""What a similarity is worth: fitted to the validation classes, judged on the test classes."""

from typing import Any

import numpy as np
import torch

from lookalike.encoders import Encoder
from lookalike.encoders.calibration import Calibration, expected_calibration_error
from lookalike.errors import EncoderError
from lookalike.evaluation.neighbors import nearest
from lookalike.recipes.data import RunData
from lookalike.recipes.judge import embed_rows
from lookalike.recipes.recipe import Recipe

#: Matches of a query that count: as many as a search shows.
NEAREST = 10
#: Queries; more would change the map by less than the draw of the classes does.
MOST_QUERIES = 5_000


def fit_calibration(recipe: Recipe, data: RunData, encoder: Encoder) -> dict[str, Any] | None:
    """Give the encoder its calibration, fitted to the validation classes, and judge it on the test classes.

    Queries are items of held-out classes; their ten nearest items, of all that the run may see, are right or wrong. So
    a probability is the share of matches of that similarity that are right, in a gallery where a class has as many
    pictures among as many others as in this catalog. For the test, all items are the gallery.

    Returns:
        Figures on the test classes: the expected calibration error, the same of always saying the share that was right
        on validation, that share on the test, and the number of pairs. None where there is nothing to fit to, or to
        judge by; without a fit the encoder gets no calibration.
    """
    embeddings = embed_rows(recipe, data, encoder, np.ones(len(data.labels), bool))
    try:
        scores, right = _pairs(embeddings, data.labels, data.validation, ~data.test, recipe.training.seed)
        encoder.calibration = Calibration.fit(scores, right)
    except EncoderError:
        encoder.calibration = None
        return None
    usual = right.mean()
    scores, right = _pairs(embeddings, data.labels, data.test, np.ones_like(data.test), recipe.training.seed)
    if not len(right):
        return None
    said = np.array([encoder.calibration.probability(score) for score in scores])
    return {
        "expected_calibration_error": expected_calibration_error(said, right),
        "of_always_the_same": float(abs(usual - right.mean())),
        "share_right": float(right.mean()),
        "num_pairs": len(right),
    }


def _pairs(
    embeddings: np.ndarray, labels: np.ndarray, held_out: np.ndarray, visible: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines [P] of held-out items that another of their class is there for, to their nearest; and which are right."""
    gallery = np.flatnonzero(visible)
    counts = np.bincount(labels[gallery])
    queries = np.flatnonzero(held_out)
    queries = queries[counts[labels[queries]] > 1] if len(queries) else queries
    queries = np.random.default_rng(seed).permutation(queries)[:MOST_QUERIES]
    if not len(queries):
        return np.empty(0), np.empty(0, bool)
    x = torch.from_numpy(embeddings)
    itself = torch.from_numpy(np.searchsorted(gallery, queries))
    found, cosines = nearest(x[queries], x[gallery], min(NEAREST, len(gallery) - 1), exclude=itself)
    right = labels[gallery[found.numpy()]] == labels[queries, None]
    return cosines.numpy().ravel().astype(np.float64), right.ravel()
