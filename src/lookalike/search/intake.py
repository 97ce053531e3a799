"""A catalog to rows of an index: each picture is decoded once, for its vector and its thumbnail."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.errors import CatalogError, ImageError, StoredIndexError
from lookalike.index.rows import ITEM_ID, THUMBNAIL, VECTOR, attributes
from lookalike.progress import track

THUMBNAIL_PX, THUMBNAIL_QUALITY = 160, 85
#: Pictures are embedded when so many pixels are open (3 bytes each), however large the batch.
OPEN_PIXELS = 100_000_000


class Sized(Protocol):
    """The part of a preprocessing that an index needs."""

    @property
    def image_size(self) -> int:
        """Side of the encoder's input in px; a JPEG may be decoded at a reduced size that is still at least this."""


class PictureEncoder(Protocol):
    """What an index needs of an encoder; `lookalike.Encoder` is one."""

    @property
    def preprocessing(self) -> Sized:
        """How pictures become its input."""

    @property
    def dim(self) -> int:
        """Length of an embedding."""

    @property
    def fingerprint(self) -> str:
        """SHA-256, hex: equal fingerprints, equal embeddings."""

    def describe(self) -> str:
        """One line: what it is."""

    def embed(self, images: Sequence[str | Path | bytes | Image.Image], batch_size: int = 64) -> np.ndarray:
        """Pictures to unit rows, float32 [N, dim]."""

    def embed_words(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to unit rows, float32 [N, dim], or an EncoderError."""

    def save(self, folder: str | Path) -> object:
        """Write it into `folder`."""


@dataclass(frozen=True)
class AddReport:
    """What became of a catalog: how many items were stored, and (item_id, reason) of those with a broken picture."""

    added: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)


def storable(catalog: Catalog) -> pa.Table:
    """All that is known of the items but the pictures, in the types of an index.

    Raises:
        CatalogError: a column has a name or a value that an index cannot hold.
    """
    for name in (VECTOR, THUMBNAIL):
        if name in catalog:
            raise CatalogError(f"{catalog.name} has a column {name!r}, which the index fills itself; rename it")
    try:
        return attributes(catalog.table.drop_columns(["image"]))
    except StoredIndexError as error:
        raise CatalogError(f"{catalog.name}: {error}") from None


def batches(
    catalog: Catalog, encoder: PictureEncoder, batch_size: int, broken: list[tuple[str, str]]
) -> Iterator[pa.Table]:
    """Rows of an index, at most `batch_size` at a time; what cannot be decoded is appended to `broken`."""
    known = storable(catalog)
    rows: list[int] = []
    thumbnails: list[bytes] = []
    vectors: list[np.ndarray] = []
    pictures: list[Image.Image] = []
    for row in track(range(len(catalog)), "indexing", total=len(catalog)):
        try:
            pictures.append(catalog.image(row, encoder.preprocessing.image_size))
        except ImageError as error:
            broken.append((known.column(ITEM_ID)[row].as_py(), str(error)))
            continue
        rows.append(row)
        thumbnails.append(thumbnail(pictures[-1]))
        is_whole = len(rows) == batch_size
        if is_whole or sum(picture.width * picture.height for picture in pictures) >= OPEN_PIXELS:
            vectors.append(encoder.embed(pictures))
            pictures = []
        if is_whole:
            yield _table(known, rows, vectors, thumbnails)
            rows, thumbnails, vectors = [], [], []
    if pictures:
        vectors.append(encoder.embed(pictures))
    if rows:
        yield _table(known, rows, vectors, thumbnails)


def thumbnail(picture: Image.Image) -> bytes:
    """A JPEG of the RGB picture, its longest side at most 160 px."""
    small = picture.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=THUMBNAIL_QUALITY)
    return encoded.getvalue()


def _table(known: pa.Table, rows: list[int], vectors: list[np.ndarray], thumbnails: list[bytes]) -> pa.Table:
    matrix = np.concatenate(vectors).astype(np.float32, copy=False)
    stored = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    table = known.take(pa.array(rows, pa.int64()))
    return table.append_column(VECTOR, stored).append_column(THUMBNAIL, pa.array(thumbnails, pa.binary()))
