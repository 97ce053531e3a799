"""From a request to matches: pictures decoded within limits, answers kept, an index that may change meanwhile."""

import fcntl
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from starlette.exceptions import HTTPException

from lookalike.catalog import Catalog
from lookalike.catalog.images import ImageLimits, decode
from lookalike.errors import ImageError
from lookalike.files import sha256
from lookalike.index.rows import HIDDEN, ITEM_ID, THUMBNAIL
from lookalike.index.tidy import LOCK
from lookalike.search import Match
from lookalike.search.intake import PictureEncoder
from lookalike.service.cache import Cache
from lookalike.service.catalog_map import CatalogMap
from lookalike.service.columns import describe
from lookalike.service.current import Current, Model
from lookalike.service.limits import Settings
from lookalike.service.metrics import Metrics
from lookalike.service.poor import PoorQueries
from lookalike.service.schemas import Column, Query

#: Pictures decoded at once: the peak of decoding is several times the picture.
DECODED_AT_ONCE = 2


@dataclass(frozen=True)
class Known:
    """How many items there are, the encoder in one line, what the columns hold, and whether words are understood."""

    items: int
    encoder: str
    columns: list[Column]
    words: bool


class Answers:
    """One index, for many threads; it may be written to, and replaced by one of another model, meanwhile."""

    def __init__(self, folder: Path, encoder: PictureEncoder | None, settings: Settings, metrics: Metrics):
        limits = settings.limits
        self._metrics = metrics
        self._current = Current(folder, encoder, settings, metrics.batches.observe)
        self._image_limits = ImageLimits(limits.max_body_bytes, limits.max_pixels)
        self._decoding, self._writing = BoundedSemaphore(DECODED_AT_ONCE), Lock()
        self._matches: Cache[list[Match]] = Cache(limits.cached_answers)
        self._columns: Cache[list[Column]] = Cache(1)
        self._map = CatalogMap(folder)

    def __len__(self) -> int:
        with self._current.using() as model:
            return len(model.index)

    def about(self) -> Known:
        """What there is to search, and how."""
        with self._current.using() as model:
            version = model.version()
            columns = self._columns.get(version)
            if columns is None:
                columns = describe(model.folder)
                self._columns.put(version, columns)
            return Known(len(model.index), model.encoder.describe(), columns, model.has_words)

    def search(self, query: Query, pictures: Sequence[bytes]) -> list[Match]:
        """Up to `query.k` + 1 matches; the one too many tells that there are more.

        Raises:
            LookalikeError: what was asked cannot be answered.
        """
        with self._current.using() as model:
            key = (model.version(), query.model_dump_json(exclude={"thumbnails"}), sha256(*pictures))
            known = self._matches.get(key)
            if known is not None:
                self._metrics.cached.inc()
                return known
            decoded = [self._decoded(model, picture, query.region) for picture in pictures]
            matches = model.index.search(
                image=decoded or None,
                item_id=query.item_ids or None,
                words=query.words,
                words_weight=query.words_weight,
                region=query.region,
                k=query.k + 1,
                offset=query.offset,
                where=query.where,
                group_by=query.group_by,
            )
            self._matches.put(key, matches)
            if model.poor is not None:
                model.poor.note(query, decoded, matches)
            return matches

    def map(self) -> bytes:
        """The map of the catalog as JSON, or the state of its making; see `schemas.Map`."""
        with self._current.using() as model:
            return self._map.answer(model.folder, model.version())

    def on_map(self, where: str) -> np.ndarray:
        """Which items of the map fulfil a filter, bool [N].

        Raises:
            HTTPException: 404, there is no map yet.
            FilterError: `where` cannot be understood.
        """
        ids = self._map.ids
        if ids is None:
            raise HTTPException(404, "there is no map yet; ask for /map until its state is ready")
        with self._current.using() as model:
            found = set(model.stored.scan([ITEM_ID], where).column(ITEM_ID).to_pylist())
        return np.fromiter((item in found for item in ids), bool, len(ids))

    @contextmanager
    def poor(self) -> Iterator[PoorQueries]:
        """The queries that were answered poorly.

        Raises:
            HTTPException: 403, they are not kept.
        """
        with self._current.using() as model:
            if model.poor is None:
                said = "queries are not kept here; start the service with --keep-poor-queries FOLDER"
                raise HTTPException(403, said)
            yield model.poor

    def item(self, item_id: str) -> dict[str, Any]:
        """The attributes of an item.

        Raises:
            HTTPException: 404, there is none.
        """
        return {name: value for name, value in self._item(item_id).items() if name not in (ITEM_ID, *HIDDEN)}

    def thumbnail(self, item_id: str) -> bytes | None:
        """The thumbnail of an item, a JPEG.

        Raises:
            HTTPException: 404, there is no such item.
        """
        picture: bytes | None = self._item(item_id, [ITEM_ID, THUMBNAIL])[THUMBNAIL]
        return picture

    def check_item(self, item_id: str) -> None:
        """Refuse an item that is not there.

        Raises:
            HTTPException: 404.
        """
        self._item(item_id, [ITEM_ID])

    def add(self, item_id: str, picture: bytes, attributes: Mapping[str, Any]) -> None:
        """Store an item, whole; one with its id is replaced.

        Raises:
            HTTPException: 409, another process is writing.
            LookalikeError: the picture or an attribute cannot be stored.
        """
        with self._current.using() as model:
            decode(picture, model.encoder.preprocessing.image_size, self._image_limits)
            row = _row(attributes, model.stored.schema) | {ITEM_ID: pa.array([item_id]), "image": pa.array([picture])}
            with self._writing:
                _check_no_other_writes(model.folder)
                report = model.index.add(Catalog(pa.table(row), "the item"))
        if report.broken:
            raise ImageError(report.broken[0][1])

    def remove(self, item_id: str) -> None:
        """Forget an item.

        Raises:
            HTTPException: 404, there is none; 409, another process is writing.
        """
        with self._current.using() as model, self._writing:
            _check_no_other_writes(model.folder)
            if not model.index.remove(item_id):
                raise HTTPException(404, f"there is no item {item_id!r} in the index")

    def close(self) -> None:
        """Close the index, and give up an unfinished map."""
        self._map.close()
        self._current.close()

    def _item(self, item_id: str, columns: Sequence[str] | None = None) -> dict[str, Any]:
        with self._current.using() as model:
            rows: list[dict[str, Any]] = model.stored.get([item_id], columns).to_pylist()
        if not rows:
            raise HTTPException(404, f"there is no item {item_id!r} in the index")
        return rows[0]

    def _decoded(self, model: Model, picture: bytes, region: tuple[float, float, float, float] | None) -> Image.Image:
        # As the index decodes it, but within the limits of the service.
        side_px = model.encoder.preprocessing.image_size
        if region is not None:
            side_px = math.ceil(side_px / min(region[2] - region[0], region[3] - region[1]))
        with self._decoding:
            return decode(picture, side_px, self._image_limits)


def _row(attributes: Mapping[str, Any], schema: pa.Schema) -> dict[str, pa.Array]:
    row = {}
    for name, value in attributes.items():
        if name in (ITEM_ID, "image"):
            raise HTTPException(422, f"an item has one {name}, and that is no attribute")
        try:
            column = pa.array([value])
            # JSON has no dates.
            if isinstance(value, str) and name in schema.names and pa.types.is_temporal(schema.field(name).type):
                column = column.cast(schema.field(name).type)
        except (pa.ArrowException, OverflowError) as error:
            raise HTTPException(422, f"the attribute {name!r} cannot be stored: {error}") from None
        row[name] = column
    return row


def _check_no_other_writes(folder: Path) -> None:
    # A write would wait for minutes, and a browser does not.
    with open(folder / LOCK, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HTTPException(
                409, "another process is writing to the index; try again when it has finished", {"Retry-After": "5"}
            ) from None
