"""A map of embeddings: near on it is near in space."""

import base64
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from lookalike.catalog import Catalog
from lookalike.evaluation.neighbors import nearest
from lookalike.evaluation.thumbnails import COLUMNS, SHEET_COLUMNS, SHEET_ROWS, TILE_PX, sheets, shortened
from lookalike.progress import track

#: Items laid out by t-SNE; the others are put among their nearest of these.
LAID_OUT = 4000
#: Items with a picture, spread over the map, and the most alike of them that are named for each.
PICTURED, ALIKE = 4000, 6
#: What t-SNE gets, and how many of the nearest say where another item lies.
DIM, PERPLEXITY, STEPS, NEIGHBORS = 50, 30, 500, 5
#: Fewer are no map.
FEWEST = 5
#: The side of the map in steps.
SIDE = 2**16 - 1
#: Of an item's words.
TEXT_LENGTH = 100


def map_part(
    catalog: Catalog, rows: np.ndarray, embeddings: np.ndarray, right: dict[int, bool], seed: int = 0
) -> dict[str, Any] | None:
    """The map of some items with pictures of a part of them; None where there are too few.

    Args:
        catalog: of N items.
        rows: int64 [M], those on the map.
        embeddings: float32 [N, D].
        right: row -> whether the first answer to it was right.
        seed: of the layout.

    Returns:
        Places (uint16 x and y, base64), and for each item: its id, label, domain, text and whether its first answer
        was right; the items that have a picture, their sheets, and of each the most alike among them.
    """
    if len(rows) < FEWEST:
        return None
    x = embeddings[rows]
    places = layout(x, seed)
    pictured = spread(places, PICTURED, seed)
    columns = {name: _told(catalog.table.column(name).take(rows).to_pylist()) for name in COLUMNS if name in catalog}
    names, numbers = np.unique(columns.pop("label"), return_inverse=True)
    domains, kinds = np.unique(columns.pop("domain", [""] * len(rows)), return_inverse=True)
    steps = np.round(places * SIDE).astype("<u2")
    return {
        "places": base64.b64encode(steps.tobytes()).decode(),
        "ids": columns["item_id"],
        "texts": columns.get("text"),
        "labels": {"names": names.tolist(), "numbers": numbers.tolist()},
        "domains": {"names": domains.tolist(), "numbers": kinds.tolist()} if len(domains) > 1 else None,
        "right": [{True: 1, False: 0, None: 2}[right.get(row)] for row in rows.tolist()],
        "pictured": pictured.tolist(),
        "sheets": sheets(catalog, rows[pictured]),
        "tile": {"px": TILE_PX, "columns": SHEET_COLUMNS, "lines": SHEET_ROWS},
        "alike": _alike(x[pictured]),
    }


def layout(embeddings: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places in the unit square, float64 [N, 2]: those of near embeddings are near.

    t-SNE (Barnes-Hut, of scikit-learn) on unit rows, reduced to 50 dimensions before. Of more than `LAID_OUT` a part
    is laid out, and each of the others goes among its nearest in that part: to the mean of their places, those with
    1 - cosine = d weighing 1 / d^2, and a random step aside of the usual distance of neighbors, so that none lie on
    each other [ours].

    Args:
        embeddings: float32 [N, D], no row of them zero.
        seed: of the part drawn and the layout.
    """
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    order = np.random.default_rng(seed).permutation(len(unit))
    chosen, others = np.sort(order[:LAID_OUT]), np.sort(order[LAID_OUT:])
    places = np.empty((len(unit), 2))
    for _ in track([None], f"laying out {len(chosen):,} items"):
        places[chosen] = _tsne(unit[chosen], seed)
    if len(others):
        places[others] = _among(unit[others], unit[chosen], places[chosen], seed)
    low, high = places.min(axis=0), places.max(axis=0)
    centered: np.ndarray = (places - (low + high) / 2) / (float((high - low).max()) or 1)
    return centered + 0.5


def spread(places: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Numbers of at most `count` items, spread over the map: each square of a fine grid gives one before any two.

    In that order, so that the first of them are spread too.

    Args:
        places: [N, 2] in the unit square.
        count: how many are wanted.
        seed: who is taken of a square.
    """
    order = np.random.default_rng(seed).permutation(len(places))
    side = max(1, int(np.sqrt(count)))
    squares = (places[order] * (side - 1e-9)).astype(np.int64) @ (side, 1)
    by_square = np.argsort(squares, kind="stable")
    starts = np.flatnonzero(np.diff(squares[by_square], prepend=-1))
    sizes = np.diff(np.append(starts, len(squares)))
    turn = np.empty(len(places), dtype=np.int64)  # the how-manieth of its square
    turn[by_square] = np.arange(len(squares)) - np.repeat(starts, sizes)
    return order[np.argsort(turn, kind="stable")[:count]]


def _tsne(unit: np.ndarray, seed: int) -> np.ndarray:
    # Equal embeddings have no directions; a little noise gives them some.
    x = unit + np.random.default_rng(seed).normal(scale=1e-6, size=unit.shape)
    reduced = PCA(min(DIM, *x.shape), random_state=seed).fit_transform(x)
    if reduced.shape[1] < 2:
        reduced = np.pad(reduced, ((0, 0), (0, 1)))
    perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
    found: np.ndarray = TSNE(init="pca", perplexity=perplexity, max_iter=STEPS, random_state=seed).fit_transform(
        reduced
    )
    return found


def _among(unit: np.ndarray, laid_out: np.ndarray, places: np.ndarray, seed: int) -> np.ndarray:
    numbers, cosines = nearest(torch.from_numpy(unit), torch.from_numpy(laid_out), NEIGHBORS)
    weights = 1 / (1.001 - cosines.double().numpy()) ** 2
    means = np.einsum("nk,nkd->nd", weights / weights.sum(axis=1, keepdims=True), places[numbers.numpy()])
    step = np.median(KDTree(places).query(places, 2)[0][:, 1])
    found: np.ndarray = means + np.random.default_rng(seed).normal(scale=step, size=means.shape)
    return found


def _alike(embeddings: np.ndarray) -> list[list[int]]:
    x = torch.from_numpy(embeddings)
    found, _ = nearest(x, x, min(ALIKE, len(x) - 1), exclude=torch.arange(len(x)))
    return [[int(number) for number in row] for row in found.tolist()]


def _told(values: list[Any]) -> list[str]:
    return ["" if value is None else shortened(str(value), TEXT_LENGTH) for value in values]
