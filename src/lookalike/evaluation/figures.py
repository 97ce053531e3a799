"""Pictures of results: queries beside their nearest neighbors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps

from lookalike.catalog import Catalog
from lookalike.evaluation.neighbors import nearest
from lookalike.evaluation.protocol import Protocol

RIGHT, WRONG, QUERY = "#2f9e44", "#e03131", "#868e96"


@dataclass(frozen=True)
class Row:
    """One query and what came back: row numbers of the catalog, best first, with cosines and whether each is right."""

    query: int
    neighbors: list[int]
    cosines: list[float]
    right: list[bool]


def neighbor_rows(
    protocol: Protocol, embeddings: np.ndarray, labels: np.ndarray, queries: Sequence[int], k: int = 6
) -> list[Row]:
    """The nearest neighbors of some of a protocol's queries.

    Args:
        protocol: who is searched.
        embeddings: float32 [N, D] of the whole catalog.
        labels: int64 [N].
        queries: positions in `protocol.queries`.
        k: neighbors of each; fewer if the gallery is smaller.
    """
    positions = torch.from_numpy(np.array(queries, dtype=np.int64))
    gallery = protocol.queries if protocol.gallery is None else protocol.gallery
    asked = protocol.queries[positions.numpy()]
    itself = positions if protocol.gallery is None else None
    depth = min(k, len(gallery) - (itself is not None))
    numbers, cosines = nearest(
        torch.from_numpy(embeddings[asked]), torch.from_numpy(embeddings[gallery]), depth, exclude=itself
    )
    found = gallery[numbers.numpy()]
    return [
        Row(int(query), row.tolist(), near.tolist(), (labels[row] == labels[query]).tolist())
        for query, row, near in zip(asked, found, cosines, strict=True)
    ]


def neighbor_sheet(catalog: Catalog, rows: Sequence[Row], size_px: int = 96, gap_px: int = 6) -> Image.Image:
    """One picture of all rows: query at the left, then its neighbors, framed green where right and red where wrong."""
    columns = 1 + max(len(row.neighbors) for row in rows)
    step = size_px + 2 * gap_px
    sheet = Image.new("RGB", (columns * step + 2 * gap_px, len(rows) * step), "white")
    for line, row in enumerate(rows):
        colors = [QUERY, *(RIGHT if right else WRONG for right in row.right)]
        for place, (item, color) in enumerate(zip([row.query, *row.neighbors], colors, strict=True)):
            fitted = ImageOps.pad(catalog.image(item, size_px), (size_px, size_px), color="white")
            tile = ImageOps.expand(fitted, 3, color)
            # The query stands apart from what was found.
            left = place * step + (2 * gap_px if place else 0)
            sheet.paste(tile, (left + gap_px - 3, line * step + gap_px - 3))
    return sheet
