"""Index, the public one: an encoder and the vectors it made."""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.catalog import Catalog
from lookalike.catalog.images import ImageSource, decode, describe_source
from lookalike.errors import ImageError, StoredIndexError
from lookalike.index import Hit, LanceIndex, Manifest, VectorIndex
from lookalike.index.faults import told
from lookalike.index.manifest import NAME as MANIFEST
from lookalike.index.rows import THUMBNAIL, VECTOR, vectors_of
from lookalike.search.intake import AddReport, PictureEncoder, batches
from lookalike.search.match import Match

ENCODER = "encoder"


class Index:
    """Pictures that can be searched by likeness, and by words if its encoder knows any.

    On disk it is a folder with `manifest.json`, `encoder/` (a copy, so that the folder is all one needs) and a LanceDB
    table.

    >>> index = Index.create("shop.index", encoder)                                         # doctest: +SKIP
    >>> index.add(Catalog.read("shop.csv")).broken                                          # doctest: +SKIP
    []
    >>> index.search(image="photo.jpg", k=2, where="price < 50")                            # doctest: +SKIP
    [Match(1, 'dress-7', 0.931, price=39.9), Match(2, 'dress-2', 0.902, price=25.0)]
    """

    def __init__(self, encoder: PictureEncoder, stored: VectorIndex):
        self._encoder = encoder
        self._stored = stored

    @classmethod
    def create(cls, path: str | Path, encoder: PictureEncoder) -> "Index":
        """Make an empty index at `path`, whole or not at all.

        Raises:
            StoredIndexError: something is there already, or it cannot be written.
        """
        path = Path(path)
        if (path / MANIFEST).exists():
            raise StoredIndexError(f"there is an index at {path} already; open it, or give another path")
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise StoredIndexError(f"{path} exists and is no index; give another path")
        aside = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
        with told(path, "created"):
            try:
                encoder.save(aside / ENCODER)
                LanceIndex.create(aside, encoder.dim)
                Manifest.of(encoder.fingerprint, encoder.describe(), encoder.dim).write(aside)
                aside.rename(path)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        return cls(encoder, LanceIndex.open(path))

    @classmethod
    def open(cls, path: str | Path, encoder: PictureEncoder | None = None) -> "Index":
        """Open the index at `path`, with the encoder stored in it unless you have it at hand.

        Raises:
            StoredIndexError: there is no index, it is damaged, or it was made by another encoder.
            EncoderError: the stored encoder cannot be loaded.
        """
        path = Path(path)
        manifest = Manifest.read(path)
        if encoder is None:
            from lookalike.encoders import Encoder  # only here, since it brings torch

            encoder = Encoder.load(path / ENCODER)
        manifest.check_encoder(encoder.fingerprint, encoder.describe())
        return cls(encoder, LanceIndex.open(path))

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def columns(self) -> list[str]:
        """The columns that `where` may name."""
        return [name for name in self._stored.schema.names if name not in (VECTOR, THUMBNAIL)]

    def add(self, catalog: Catalog, batch_size: int = 256) -> AddReport:
        """Store every item of the catalog; an item that is there already is replaced, whole.

        Each batch is stored before the next one is read. After a kill, run it again: the result is the same. An item
        whose picture cannot be read is reported, and what the index had of it stays.

        Raises:
            CatalogError: a column has a name or a type that an index cannot hold.
            StoredIndexError: a column has another type than in the index, or the disk is full.
        """
        if batch_size < 1:
            raise StoredIndexError(f"batch_size = {batch_size}: it must be at least 1")
        added, broken = 0, list[tuple[str, str]]()
        for rows in batches(catalog, self._encoder, batch_size, broken):
            self._stored.add(rows)
            added += rows.num_rows
        return AddReport(added, broken)

    def remove(self, item_ids: str | Sequence[str]) -> int:
        """Forget these items; ids that are not there are passed over. Returns how many there were."""
        return self._stored.remove(item_ids)

    def search(
        self,
        *,
        image: ImageSource | None = None,
        item_id: str | None = None,
        words: str | None = None,
        k: int = 10,
        where: str | None = None,
    ) -> list[Match]:
        """The `k` items most like a picture, an item of the index (which is not among them) or a description.

        Best first. What a description finds has lower scores than what a picture finds: compare them within a search.

        Args:
            image: a path, the encoded bytes, or a Pillow image.
            item_id: an item of the index, instead of `image`.
            words: a description, instead; the encoder must have been trained on a catalog with descriptions.
            k: how many; fewer if there are not so many.
            where: only items that fulfil this, e.g. "price < 50 and color in ('red', 'blue')"; see `index.filters`.

        Raises:
            ImageError: the picture cannot be read.
            EncoderError: the encoder knows no words, or none of these.
            StoredIndexError: not one of image, item_id and words is given, or more; there is no such item, or k < 1.
            FilterError: `where` cannot be understood.
        """
        if [image, item_id, words].count(None) != 2:
            raise StoredIndexError("search by image=..., by item_id=... or by words=..., one of the three")
        if words is not None:
            return _matches(self._stored.search(self._encoder.embed_words([words]), k, where)[0])
        if item_id is None:
            assert image is not None
            return _matches(self._stored.search(self._vector_of(image), k, where)[0])
        if k < 1:
            raise StoredIndexError(f"k = {k}: ask for at least 1 match")
        hits = self._stored.search(self._stored_vector(item_id), k + 1, where)[0]
        return _matches([hit for hit in hits if hit.item_id != item_id][:k])

    def _vector_of(self, image: ImageSource) -> np.ndarray:
        try:
            # At the same reduced size as when it was indexed, so that the same file has the same vector.
            picture = decode(image, self._encoder.preprocessing.image_size)
        except ImageError as error:
            raise ImageError(f"the query {describe_source(image)}: {error}") from None
        return self._encoder.embed([picture])

    def _stored_vector(self, item_id: str) -> np.ndarray:
        rows = self._stored.get([item_id])
        if not rows.num_rows:
            raise StoredIndexError(f"there is no item {item_id!r} in the index; search by image=..., or add it first")
        return vectors_of(rows)


def _matches(hits: list[Hit]) -> list[Match]:
    return [
        Match(rank, hit.item_id, hit.score, hit.attributes, hit.thumbnail) for rank, hit in enumerate(hits, start=1)
    ]
