"""A catalog to rows of an index: each picture is decoded once, for its vector and its thumbnail."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.catalog.images import read_bytes
from lookalike.errors import CatalogError, ImageError, StoredIndexError
from lookalike.files import sha256
from lookalike.index import VectorIndex
from lookalike.index.checksums import checksums
from lookalike.index.rows import (
    CHECKSUM,
    HIDDEN,
    ITEM_ID,
    PICTURE,
    THUMBNAIL,
    VECTOR,
    attributes,
    checked,
    fitted,
    widened,
)
from lookalike.progress import track

THUMBNAIL_PX, THUMBNAIL_QUALITY = 160, 85
#: Pictures are embedded when so many pixels are open (3 bytes each), however large the batch.
OPEN_PIXELS = 100_000_000


class Sized(Protocol):
    """The part of a preprocessing that an index needs."""

    @property
    def image_size(self) -> int:
        """Side of the encoder's input in px; a JPEG may be decoded at a reduced size that is still at least this."""


class Calibrated(Protocol):
    """The part of a calibration that a search needs."""

    def probability(self, score: float) -> float:
        """That a match of this cosine similarity is of the query's class, 0..1."""


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

    @property
    def calibration(self) -> Calibrated | None:
        """What turns a cosine similarity into a probability, if its run found that out."""

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
    """What became of a catalog."""

    #: items whose picture was embedded
    added: int = 0
    #: (item_id, reason) of those with a broken picture
    broken: list[tuple[str, str]] = field(default_factory=list)
    #: items whose picture is the one that was there: only what is known of them was stored again, if it has changed
    unchanged: int = 0


class Batch(NamedTuple):
    """Rows to store, and how many of a batch's items were embedded for them, or needed not be."""

    rows: pa.Table
    added: int
    unchanged: int


def storable(catalog: Catalog) -> pa.Table:
    """All that is known of the items but the pictures, in the types of an index.

    Raises:
        CatalogError: a column has a name or a value that an index cannot hold.
    """
    for name in HIDDEN:
        if name in catalog:
            raise CatalogError(f"{catalog.name} has a column {name!r}, which the index fills itself; rename it")
    try:
        return attributes(catalog.table.drop_columns(["image"]))
    except StoredIndexError as error:
        raise CatalogError(f"{catalog.name}: {error}") from None


def batches(
    catalog: Catalog, encoder: PictureEncoder, stored: VectorIndex, batch_size: int, broken: list[tuple[str, str]]
) -> Iterator[Batch]:
    """Rows for an index, of at most `batch_size` items at a time; what cannot be decoded is appended to `broken`.

    A picture that is stored already, by its digest, is not embedded again; rows that would be the same are left out.
    """
    known, fingerprint = storable(catalog), encoder.fingerprint
    bar = track(range(len(catalog)), "indexing", total=len(catalog))
    has_rows = len(stored) > 0
    for start in range(0, len(catalog), batch_size):
        numbers = range(start, min(start + batch_size, len(catalog)))
        digests = {row: _digest(catalog, row, fingerprint) for row in numbers}
        same = _stored_rows(stored, known, digests) if has_rows else {}
        rows: list[int] = []
        thumbnails: list[bytes] = []
        vectors: list[np.ndarray] = []
        pictures: list[Image.Image] = []
        for row in numbers:
            next(bar, None)
            if row in same:
                continue
            try:
                pictures.append(catalog.image(row, encoder.preprocessing.image_size))
            except ImageError as error:
                broken.append((known.column(ITEM_ID)[row].as_py(), str(error)))
                continue
            rows.append(row)
            thumbnails.append(thumbnail(pictures[-1]))
            if sum(picture.width * picture.height for picture in pictures) >= OPEN_PIXELS:
                vectors.append(encoder.embed(pictures))
                pictures = []
        if pictures:
            vectors.append(encoder.embed(pictures))
        fresh = _table(known, rows, vectors, thumbnails, [digests[row] for row in rows], encoder.dim)
        yield Batch(pa.concat_tables([fresh, _renewed(stored, known, same, fresh.schema)]), len(rows), len(same))
    next(bar, None)  # its end


def _digest(catalog: Catalog, row: int, fingerprint: str) -> bytes | None:
    """Of an encoded picture and of what embeds it; None where it cannot be read."""
    try:
        encoded = read_bytes(catalog.table.column("image")[row].as_py())
    except ImageError:
        return None
    return bytes.fromhex(sha256(fingerprint.encode(), encoded))


def _stored_rows(stored: VectorIndex, known: pa.Table, digests: dict[int, bytes | None]) -> dict[int, pa.Table]:
    """The rows of the index, whole and undamaged, that were made from these very pictures."""
    if PICTURE not in stored.schema.names:
        return {}
    ids = {known.column(ITEM_ID)[row].as_py(): row for row in digests}
    found = stored.get(list(ids))
    intact = checksums(found) == found.column(CHECKSUM).fill_null(0).to_numpy()
    pictures = found.column(PICTURE).to_pylist()
    return {
        row: found.slice(place, 1)
        for place, row in enumerate(ids[item] for item in found.column(ITEM_ID).to_pylist())
        if intact[place] and digests[row] is not None and pictures[place] == digests[row]
    }


def _renewed(stored: VectorIndex, known: pa.Table, same: dict[int, pa.Table], schema: pa.Schema) -> pa.Table:
    """Rows with the vectors that are there and what the catalog knows now, where that has changed."""
    if not same:
        return schema.empty_table()
    old = pa.concat_tables(list(same.values()))
    rows = known.take(pa.array(list(same), pa.int64()))
    for name in (VECTOR, THUMBNAIL, PICTURE):
        rows = rows.append_column(name, old.column(name))
    all_columns = checked(rows, stored.dim)
    would_be = checksums(fitted(all_columns, widened(stored.schema, all_columns)))
    return rows.filter(pa.array(would_be != old.column(CHECKSUM).to_numpy()))


def thumbnail(picture: Image.Image, longest_px: int = THUMBNAIL_PX, quality: int = THUMBNAIL_QUALITY) -> bytes:
    """A JPEG of the RGB picture, its longest side at most so long."""
    small = picture.copy()
    small.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def _table(
    known: pa.Table,
    rows: list[int],
    vectors: list[np.ndarray],
    thumbnails: list[bytes],
    digests: list[bytes | None],
    dim: int,
) -> pa.Table:
    matrix = np.concatenate([np.empty((0, dim), np.float32), *vectors]).astype(np.float32, copy=False)
    table = known.take(pa.array(rows, pa.int64()))
    table = table.append_column(VECTOR, pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), dim))
    table = table.append_column(THUMBNAIL, pa.array(thumbnails, pa.binary()))
    return table.append_column(PICTURE, pa.array(digests, pa.binary()))
