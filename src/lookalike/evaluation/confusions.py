"""The pairs of classes most often taken for each other: what was asked for, and what came first instead."""

from collections import Counter
from typing import Any

import numpy as np
import torch

from lookalike.catalog import Catalog
from lookalike.evaluation.neighbors import nearest
from lookalike.evaluation.protocol import Protocol
from lookalike.evaluation.result import Retrieval
from lookalike.evaluation.thumbnails import Shown, shortened

PAIRS_SHOWN, EXAMPLES_SHOWN, TEXTS_SHOWN = 12, 3, 2
#: Wrong first answers looked at; of more, so many are drawn.
LOOKED_AT = 5000


def confusions(
    catalog: Catalog,
    protocol: Protocol,
    embeddings: np.ndarray,
    labels: np.ndarray,
    result: Retrieval,
    shown: Shown,
    seed: int = 0,
) -> dict[str, Any]:
    """Which class comes first instead of which.

    Args:
        catalog: with labels, of N items.
        protocol: who queries whom.
        embeddings: float32 [N, D].
        labels: int64 [N], -1 where there is none.
        result: the figures of this protocol and these embeddings.
        shown: collects the pictures.
        seed: of the drawing.

    Returns:
        How many first answers were wrong, of how many, and how many of them were looked at; and the pairs, the most
        frequent first, with counts, texts and examples.
    """
    wrong = result.query_numbers[result.first_hit > 1]
    looked_at = wrong
    if len(wrong) > LOOKED_AT:
        looked_at = np.sort(np.random.default_rng(seed).choice(wrong, LOOKED_AT, replace=False))
    counts = {"wrong": len(wrong), "looked_at": len(looked_at), "queries": result.num_queries}
    if not len(wrong):
        return counts | {"pairs": []}
    asked, found, cosines = _first_answers(protocol, embeddings, looked_at)
    names = catalog.column("label")
    pairs = Counter(zip(labels[asked].tolist(), labels[found].tolist(), strict=True))
    of_class = Counter(labels[protocol.queries[result.query_numbers]].tolist())
    parts = []
    for (wanted, answered), count in pairs.most_common(PAIRS_SHOWN):
        examples = np.flatnonzero((labels[asked] == wanted) & (labels[found] == answered))
        examples = examples[np.argsort(-cosines[examples], kind="stable")][:EXAMPLES_SHOWN]
        parts.append(
            {
                "wanted": _class(catalog, names, labels, wanted),
                "answered": _class(catalog, names, labels, answered),
                "count": count,
                "queries": of_class[wanted],
                "examples": [
                    [shown.add(asked[place]), shown.add(found[place]), round(float(cosines[place]), 4)]
                    for place in examples
                ],
            }
        )
    return counts | {"pairs": parts}


def _first_answers(
    protocol: Protocol, embeddings: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Catalog rows of queries (positions in `protocol.queries`) and of what each finds first, and their cosines."""
    asked = protocol.queries[queries]
    gallery = protocol.queries if protocol.gallery is None else protocol.gallery
    itself = torch.from_numpy(queries) if protocol.gallery is None else None
    numbers, cosines = nearest(
        torch.from_numpy(embeddings[asked]), torch.from_numpy(embeddings[gallery]), 1, exclude=itself
    )
    return asked, gallery[numbers[:, 0].numpy()], cosines[:, 0].numpy()


def _class(catalog: Catalog, names: list[Any], labels: np.ndarray, number: int) -> dict[str, Any]:
    """The name of a class, and its most frequent texts."""
    rows = np.flatnonzero(labels == number)
    if number < 0:
        return {"name": "no label", "texts": []}
    texts = catalog.table.column("text").take(rows).to_pylist() if "text" in catalog else []
    common = Counter(shortened(str(text), 120) for text in texts if text).most_common(TEXTS_SHOWN)
    return {"name": shortened(str(names[rows[0]]), 120), "texts": [text for text, _ in common]}
