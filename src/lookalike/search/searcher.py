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
from lookalike.index.checksums import Verified
from lookalike.index.faults import told
from lookalike.index.manifest import NAME as MANIFEST
from lookalike.index.models import ENCODER, Opened, beside, sweep, take_over
from lookalike.index.rows import HIDDEN, ITEM_ID, VECTOR, vectors_of
from lookalike.index.versions import Version
from lookalike.search.duplicates import Duplicate, duplicates
from lookalike.search.intake import AddReport, PictureEncoder, batches
from lookalike.search.match import Match
from lookalike.search.query import Region, check, mean_direction, mixed, picture_of

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

    def __init__(self, encoder: PictureEncoder, stored: VectorIndex, opened: Opened | None = None):
        self._encoder, self._stored, self._opened = encoder, stored, opened

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
        return cls.open(path, encoder)

    @classmethod
    def replace(cls, path: str | Path, encoder: PictureEncoder, catalog: Catalog, batch_size: int = 256) -> AddReport:
        """Index a catalog with another encoder beside what is there, then switch to it at once.

        Until then the index answers as before; who has it open goes on with the old model, also afterwards, and is
        told by `is_stale`. After a kill, run it again: what is embedded already is not embedded again. The old model
        is removed when nobody has it open any more. Of its items only those of the catalog are in the new one.

        Raises:
            CatalogError: a column has a name or a type that an index cannot hold.
            StoredIndexError: there is no index, another model is being built, no picture can be read, or the disk is
                full. The index is then what it was.
        """
        path = Path(path)
        folder = beside(path, encoder.fingerprint)
        new = cls.open(folder, encoder) if folder.exists() else cls.create(folder, encoder)
        report = new.add(catalog, batch_size)
        # An earlier attempt may have been made with another catalog.
        ids = set(new._stored.scan([ITEM_ID]).column(ITEM_ID).to_pylist())
        new._stored.remove(sorted(ids.difference(catalog.column(ITEM_ID))))
        if not len(new):
            raise StoredIndexError(f"no picture of {catalog.name} can be read; the index at {path} stays as it was")
        take_over(path, folder)
        return report

    @classmethod
    def open(cls, path: str | Path, encoder: PictureEncoder | None = None) -> "Index":
        """Open the index at `path`, with the encoder stored in it unless you have it at hand.

        Raises:
            StoredIndexError: there is no index, it is damaged, or it was made by another encoder.
            EncoderError: the stored encoder cannot be loaded.
        """
        opened = Opened(Path(path))
        sweep(opened.root)
        if encoder is None:
            from lookalike.encoders import Encoder  # only here, since it brings torch

            encoder = Encoder.load(opened.folder / ENCODER)
        opened.manifest.check_encoder(encoder.fingerprint, encoder.describe())
        return cls(encoder, LanceIndex.open(opened.folder, opened.check_current), opened)

    @property
    def is_stale(self) -> bool:
        """Whether the folder holds another model now: then open it again. This one answers as before, but refuses
        writes. Costs the reading of a small file.

        Raises:
            StoredIndexError: there is no index any more.
        """
        return self._opened is not None and self._opened.is_stale

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def columns(self) -> list[str]:
        """The columns that `where` may name."""
        return [name for name in self._stored.schema.names if name not in HIDDEN]

    def add(self, catalog: Catalog, batch_size: int = 256) -> AddReport:
        """Store every item of the catalog; an item that is there already is replaced, whole.

        An item whose picture has not changed is not embedded again. Each batch is stored before the next one is read:
        after a kill, run it again. An item whose picture cannot be read is reported, and what the index had of it
        stays. What was there before is kept as a version.

        Raises:
            CatalogError: a column has a name or a type that an index cannot hold.
            StoredIndexError: a column has another type than in the index, or the disk is full.
        """
        if batch_size < 1:
            raise StoredIndexError(f"batch_size = {batch_size}: it must be at least 1")
        if self._opened is not None:
            self._opened.check_current()
        added, unchanged, is_kept, broken = 0, 0, False, list[tuple[str, str]]()
        for batch in batches(catalog, self._encoder, self._stored, batch_size, broken):
            if batch.rows.num_rows and not is_kept:
                self._stored.keep()
                is_kept = True
            self._stored.add(batch.rows)
            added, unchanged = added + batch.added, unchanged + batch.unchanged
        if added and self._stored.is_optimizing_due:
            self.optimize()
        return AddReport(added, broken, unchanged)

    def remove(self, item_ids: str | Sequence[str]) -> int:
        """Forget these items; ids that are not there are passed over. Returns how many there were.

        What was there before is kept as a version.
        """
        if not self._stored.get(item_ids, [ITEM_ID]).num_rows:
            return 0
        self._stored.keep()
        return self._stored.remove(item_ids)

    @property
    def versions(self) -> list[Version]:
        """What `rollback` can go back to, oldest first: the index as it was before each of the last changes."""
        return self._stored.versions

    def rollback(self, version: int) -> None:
        """Make the items what they were; what was there is kept as a version, so that this can be undone too.

        One commit, which writes every row again: readers see the items before or after it.

        Raises:
            StoredIndexError: this version is not kept, or the disk is full.
        """
        self._stored.rollback(version)

    def verify(self) -> Verified:
        """Compare every row and every file with its checksum: has a disk changed or lost any? See `VectorIndex`.

        To mend it: add the catalog again, which embeds damaged items again; if only indexes are damaged
        (`are_rows_whole`), `optimize(approximate=True)`; if other files are, `rollback` or `replace`.
        """
        return self._stored.verify()

    def optimize(self, recall_target: float = 0.99, approximate: bool | None = None) -> Plan | None:
        """Merge files, and index vectors and columns that are too much for memory; `add` does it when it pays.

        Args:
            recall_target: the share of the ten best that a search must find; measured, and the index is asked
                accordingly. If it is not reached, every item is scored.
            approximate: with a vector index, which is then asked whatever the size, or without. Unless said, one that
                is there is made again, and else one is made of 50,000 items or more that have no room in memory.

        Returns:
            How the vectors are asked and the recall that was measured; None if every item is scored.

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
        # What is known of scores is known for one picture: several, or words, have others.
        calibration = self._encoder.calibration if words is None and len(images) + len(item_ids) == 1 else None
        hits = self._stored.search(vector[None], k + offset, where, group_by=group_by, without=item_ids)[0]
        likely = calibration.probability if calibration is not None else lambda score: None
        return [
            Match(rank, hit.item_id, hit.score, hit.attributes, hit.thumbnail, likely(hit.score))
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
        rows = self._stored.get(item_ids, [ITEM_ID, VECTOR])
        missing = set(item_ids) - set(rows.column(ITEM_ID).to_pylist())
        if missing:
            first = next(item for item in item_ids if item in missing)
            raise StoredIndexError(f"there is no item {first!r} in the index; search by image=..., or add it first")
        return vectors_of(rows)


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str | bytes) else [given]
