"""From a request to matches: pictures decoded within limits, answers kept, an index that may change meanwhile."""

import fcntl
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

import pyarrow as pa
from PIL import Image
from starlette.exceptions import HTTPException

from lookalike.catalog import Catalog
from lookalike.catalog.images import ImageLimits, decode
from lookalike.errors import ImageError
from lookalike.files import sha256
from lookalike.index import LanceIndex, Manifest
from lookalike.index.faults import told
from lookalike.index.lance import TABLE
from lookalike.index.rows import ITEM_ID, THUMBNAIL, VECTOR
from lookalike.index.tidy import LOCK
from lookalike.search import Index, Match
from lookalike.search.intake import PictureEncoder
from lookalike.service.batching import BatchedEncoder
from lookalike.service.cache import Cache
from lookalike.service.columns import describe
from lookalike.service.limits import Settings
from lookalike.service.metrics import Metrics
from lookalike.service.schemas import Column, Query

#: Pictures decoded at once: the peak of decoding is several times the picture.
DECODED_AT_ONCE = 2


class Answers:
    """One index, for many threads."""

    def __init__(self, folder: Path, encoder: PictureEncoder, settings: Settings, metrics: Metrics):
        limits = settings.limits
        self._folder, self._metrics = folder, metrics
        self._encoder = BatchedEncoder(encoder, limits.max_batch, metrics.batches.observe)
        self._index = Index.open(folder, self._encoder)
        self._stored = LanceIndex.open(folder)
        self._image_limits = ImageLimits(limits.max_body_bytes, limits.max_pixels)
        self._decoding, self._writing = BoundedSemaphore(DECODED_AT_ONCE), Lock()
        self._matches: Cache[list[Match]] = Cache(limits.cached_answers)
        self._columns: Cache[list[Column]] = Cache(1)

    def __len__(self) -> int:
        return len(self._index)

    def about(self) -> tuple[str, list[Column]]:
        """The encoder in one line, and the columns."""
        version = self._version()
        columns = self._columns.get(version)
        if columns is None:
            columns = describe(self._folder)
            self._columns.put(version, columns)
        return self._encoder.describe(), columns

    def search(self, query: Query, pictures: Sequence[bytes]) -> list[Match]:
        """Up to `query.k` + 1 matches; the one too many tells that there are more.

        Raises:
            LookalikeError: what was asked cannot be answered.
        """
        key = (self._version(), query.model_dump_json(exclude={"thumbnails"}), sha256(*pictures))
        known = self._matches.get(key)
        if known is not None:
            self._metrics.cached.inc()
            return known
        matches = self._index.search(
            image=[self._decoded(picture, query.region) for picture in pictures] or None,
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
        return matches

    def item(self, item_id: str) -> tuple[dict[str, Any], bytes | None]:
        """The attributes and the thumbnail of an item.

        Raises:
            HTTPException: 404, there is none.
        """
        rows = self._stored.get([item_id]).drop_columns([VECTOR]).to_pylist()
        if not rows:
            raise HTTPException(404, f"there is no item {item_id!r} in the index")
        row = rows[0]
        return {name: value for name, value in row.items() if name not in (ITEM_ID, THUMBNAIL)}, row[THUMBNAIL]

    def add(self, item_id: str, picture: bytes, attributes: Mapping[str, Any]) -> None:
        """Store an item, whole; one with its id is replaced.

        Raises:
            HTTPException: 409, another process is writing.
            LookalikeError: the picture or an attribute cannot be stored.
        """
        decode(picture, self._encoder.preprocessing.image_size, self._image_limits)
        row = self._row(attributes) | {ITEM_ID: pa.array([item_id]), "image": pa.array([picture])}
        with self._writing:
            self._check_no_other_writes()
            report = self._index.add(Catalog(pa.table(row), "the item"))
        if report.broken:
            raise ImageError(report.broken[0][1])

    def remove(self, item_id: str) -> None:
        """Forget an item.

        Raises:
            HTTPException: 404, there is none; 409, another process is writing.
        """
        with self._writing:
            self._check_no_other_writes()
            if not self._index.remove(item_id):
                raise HTTPException(404, f"there is no item {item_id!r} in the index")

    def close(self) -> None:
        """End the thread that embeds."""
        self._encoder.close()

    def _decoded(self, picture: bytes, region: tuple[float, float, float, float] | None) -> Image.Image:
        # As the index decodes it, but within the limits of the service.
        side_px = self._encoder.preprocessing.image_size
        if region is not None:
            side_px = math.ceil(side_px / min(region[2] - region[0], region[3] - region[1]))
        with self._decoding:
            return decode(picture, side_px, self._image_limits)

    def _row(self, attributes: Mapping[str, Any]) -> dict[str, pa.Array]:
        schema = self._stored.schema
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

    def _version(self) -> tuple[str, ...]:
        """Names of the versions of the table on disk: another process may write to it.

        Raises:
            HTTPException: 503, an index of another encoder is there now.
            StoredIndexError: the index cannot be read.
        """
        if Manifest.read(self._folder).fingerprint != self._encoder.fingerprint:
            raise HTTPException(503, "the index was replaced by one of another model; restart this service")
        with told(self._folder, "read"):
            return tuple(sorted(os.listdir(self._folder / f"{TABLE}.lance" / "_versions")))

    def _check_no_other_writes(self) -> None:
        # A write would wait for minutes, and a browser does not.
        with open(self._folder / LOCK, "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HTTPException(
                    409, "another process is writing to the index; try again when it has finished", {"Retry-After": "5"}
                ) from None
