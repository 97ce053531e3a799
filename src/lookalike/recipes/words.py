"""Search by words: fitted after the training of the pictures, judged on unseen products."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookalike.encoders import Encoder, embed_catalog
from lookalike.encoders.words import Words
from lookalike.errors import EncoderError, SideError
from lookalike.evaluation import retrieval_metrics
from lookalike.progress import note
from lookalike.recipes.data import RunData
from lookalike.recipes.recipe import Recipe
from lookalike.side import make_text_encoder, texts_of

#: Strengths of the ridge tried on the validation items, and the one taken where there are none.
RIDGES, USUAL_RIDGE = (0.001, 0.01, 0.1, 1.0), 0.01
K = (1, 5, 10)
#: Texts that ask; more would change the figures by less than their intervals.
MOST_QUERIES = 1000


def fit_words(recipe: Recipe, data: RunData, encoder: Encoder) -> dict[str, Any] | None:
    """Give the encoder its words, where the catalog has descriptions, and judge them on the test items.

    The map is fitted to the training items, its strength chosen by how the validation items are found, and fitted again
    to both. A picture's embedding does not change.

    Returns:
        Figures of text -> picture among the test items, with the level of chance: the queries are the distinct texts of
        each class, what is to be found are the pictures of that class. None without descriptions, or without any that
        can be judged.
    """
    if recipe.text.column not in data.catalog:
        return None
    texts = np.array(texts_of(data.catalog, recipe.text.column), dtype=object)
    embeddings = _embeddings(recipe, data, encoder)

    def fitted(to: np.ndarray, ridges: Sequence[float]) -> list[Words]:
        return Words.fit_each(text_encoder, texts[to], embeddings[to], ridges)

    def judged(words: Words, among: np.ndarray) -> dict[str, Any] | None:
        return _judge(words, texts[among], data.labels[among], embeddings[among], recipe.training.seed)

    try:
        text_encoder = make_text_encoder(recipe.text.encoder, texts[~data.test].tolist(), **recipe.text.arguments)
        scores = [judged(words, data.validation) for words in fitted(data.training, RIDGES)]
        found = [score["recall_at_10"] for score in scores if score]
        ridge = RIDGES[int(np.argmax(found))] if found else USUAL_RIDGE
        encoder.words = fitted(~data.test, [ridge])[0]
    except (SideError, EncoderError) as error:
        note(f"no search by words: {error}")
        return None
    figures = judged(encoder.words, data.test)
    return figures and {"ridge": ridge} | figures


def _judge(
    words: Words, texts: np.ndarray, labels: np.ndarray, embeddings: np.ndarray, seed: int
) -> dict[str, Any] | None:
    """Recall@K of the distinct texts of each class among these pictures; None if there is no text to ask with."""
    pairs = sorted({(text, label) for text, label in zip(texts.tolist(), labels.tolist(), strict=True) if text})
    drawn = np.random.default_rng(seed).permutation(len(pairs))[:MOST_QUERIES]
    asked, wanted = [pairs[row][0] for row in drawn], np.array([pairs[row][1] for row in drawn], dtype=np.int64)
    known = words.known(asked)
    if not known.any():
        return None
    queries = words.embed([text for text, is_known in zip(asked, known, strict=True) if is_known])
    result = retrieval_metrics(queries, wanted[known], embeddings, labels, k=K)
    counts = np.bincount(labels)[wanted[known]]
    return {**result.to_dict(), "chance": {f"recall_at_{k}": _chance(counts, len(labels), k) for k in K}}


def _chance(counts: np.ndarray, gallery: int, k: int) -> float:
    """Recall@K of a random order: one minus the chance that K draws without putting back all miss, mean over queries.

    >>> _chance(np.array([1, 2]), 4, 1)
    0.375
    """
    draws = np.arange(min(k, gallery))
    misses = np.clip(gallery - counts[:, None] - draws, 0, None) / (gallery - draws)
    return float((1 - misses.prod(axis=1)).mean())


def _embeddings(recipe: Recipe, data: RunData, encoder: Encoder) -> np.ndarray:
    """Embeddings [N, D] of all items."""
    if recipe.training.tune_backbone:
        return embed_catalog(encoder, data.catalog).embeddings
    return encoder.embed_feature_array(data.features)
