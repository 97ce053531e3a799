"""Index, the public one: an encoder and the vectors it made."""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.catalog import Catalog
from lookalike.catalog.images import ImageSource
from lookalike.errors import StoredIndexError
from lookalike.index import LanceIndex, Manifest, Plan, VectorIndex
from lookalike.index.faults import told
from lookalike.index.manifest import NAME as MANIFEST
from lookalike.index.rows import ITEM_ID, THUMBNAIL, VECTOR, vectors_of
from lookalike.search.duplicates import Duplicate, duplicates
from lookalike.search.intake import AddReport, PictureEncoder, batches
from lookalike.search.match import Match
from lookalike.search.query import Region, check, mean_direction, mixed, picture_of

ENCODER = "encoder"
#: Items whose embeddings tell how far scores spread.
SAMPLE = 1024


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
        if added and self._stored.is_optimizing_due:
            self.optimize()
        return AddReport(added, broken)

    def remove(self, item_ids: str | Sequence[str]) -> int:
        """Forget these items; ids that are not there are passed over. Returns how many there were."""
        return self._stored.remove(item_ids)

    def optimize(self, recall_target: float = 0.99, approximate: bool | None = None) -> Plan | None:
        """Merge files, and from 50,000 items on index the vectors and the columns; `add` does it when it pays.

        Args:
            recall_target: the share of the ten best that a search must find; measured, and the index is asked
                accordingly. If it is not reached, every item is read.
            approximate: with a vector index or without; by the number of items unless said.

        Returns:
            How the vectors are asked and the recall that was measured; None if every item is read.

        Raises:
            StoredIndexError: the target is not above 0 and at most 1, or the disk is full.
        """
        return self._stored.optimize(recall_target, approximate)

    def search(
        self,
        *,
        image: ImageSource | Sequence[ImageSource] | None = None,
        item_id: str | Sequence[str] | None = None,
        words: str | None = None,
        region: Region | None = None,
        words_weight: float = 0.5,
        k: int = 10,
        offset: int = 0,
        where: str | None = None,
        group_by: str | None = None,
    ) -> list[Match]:
        """The `k` items most like pictures, items of the index (which are not among them), a description, or all these.

        Best first. What a description finds has lower scores than what a picture finds: compare them within a search.

        Args:
            image: a path, the encoded bytes, or a Pillow image; several: what is like all of them.
            item_id: an item of the index, or several, instead of `image` or beside it.
            words: a description, instead or beside ("like this, but red"); the encoder must have been trained on a
                catalog with descriptions.
            region: the part of the picture to search with: left, top, right, bottom as shares of it, 0..1.
            words_weight: beside pictures, how much the words count, 0..1.
            k: how many; fewer if there are not so many.
            offset: how many of the best to pass over, for the next pages. An unchanged index has a stable order.
            where: only items that fulfil this, e.g. "price < 50 and color in ('red', 'blue')"; see `index.filters`.
            group_by: a column, e.g. "product": only the best item of each of its values; `k` and `offset` count
                these. Items without a value stand for themselves.

        Raises:
            ImageError: a picture cannot be read.
            EncoderError: the encoder knows no words, or none of these.
            StoredIndexError: nothing is asked, there is no such item or column, or a number is out of its range.
            FilterError: `where` cannot be understood.
        """
        images, item_ids = _listed(image), _listed(item_id)
        check(len(images), len(item_ids), words, region, words_weight)
        if k < 1 or offset < 0:
            raise StoredIndexError(f"k = {k}, offset = {offset}: ask for at least 1 match, and pass over none or more")
        vector = self._query(images, item_ids, words, region, words_weight)
        hits = self._stored.search(vector[None], k + offset, where, group_by=group_by, without=item_ids)[0]
        return [
            Match(rank, hit.item_id, hit.score, hit.attributes, hit.thumbnail)
            for rank, hit in enumerate(hits[offset:], start=offset + 1)
        ]

    def duplicates(
        self, threshold: float = 0.97, across: str | None = None, where: str | None = None
    ) -> list[list[Duplicate]]:
        """Groups of items that look the same: each is at least `threshold` like another one of its group.

        Every pair is compared, so that 100,000 items take minutes. The most alike come first.

        Args:
            threshold: the least cosine similarity of a pair.
            across: a column, e.g. "seller": only pairs that differ in it, so both must have a value.
            where: only among items that fulfil this.

        Raises:
            StoredIndexError: the threshold is no similarity, or there is no such column.
            FilterError: `where` cannot be understood.
        """
        return duplicates(self._stored, threshold, across, where)

    def _query(
        self, images: list[ImageSource], item_ids: list[str], words: str | None, region: Region | None, weight: float
    ) -> np.ndarray:
        side_px = self._encoder.preprocessing.image_size
        pictures = [picture_of(source, side_px, region) for source in images]
        parts = [self._encoder.embed(pictures)] if pictures else []
        if item_ids:
            parts.append(self._stored_vectors(item_ids))
        if words is None:
            return mean_direction(np.concatenate(parts))
        described: np.ndarray = self._encoder.embed_words([words])[0]
        if not parts:
            return described
        return mixed(mean_direction(np.concatenate(parts)), described, weight, self._stored.sample(SAMPLE))

    def _stored_vectors(self, item_ids: list[str]) -> np.ndarray:
        rows = self._stored.get(item_ids)
        missing = set(item_ids) - set(rows.column(ITEM_ID).to_pylist())
        if missing:
            first = next(item for item in item_ids if item in missing)
            raise StoredIndexError(f"there is no item {first!r} in the index; search by image=..., or add it first")
        return vectors_of(rows)


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str | bytes) else [given]
