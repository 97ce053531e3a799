"""Queries that found nothing much like them, kept for people to look at: what the catalog lacks, or the model."""

import json
import logging
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from PIL import Image
from starlette.exceptions import HTTPException

from lookalike.errors import StoredIndexError
from lookalike.files import written_whole
from lookalike.index import VectorIndex
from lookalike.search import Match
from lookalike.search.intake import thumbnail
from lookalike.service.limits import Limits
from lookalike.service.schemas import PoorQuery, Query
from lookalike.service.scores import Scores

log = logging.getLogger("lookalike.service")

#: A kept picture: longest side in px, and the quality of the JPEG.
KEPT_PX, KEPT_QUALITY = 512, 85
_NAME = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}")


class PoorQueries:
    """A folder of the last poor queries, bounded in number and bytes; the oldest make room.

    A picture is kept small and without what a camera writes into it (place, time). Queries that are filtered, mixed,
    of several pictures or from an item are not judged: their scores say other things.
    """

    def __init__(self, folder: Path, limits: Limits, fingerprint: str, stored: VectorIndex):
        """Make the folder, or go on with one.

        Raises:
            StoredIndexError: it cannot be written.
        """
        self._folder, self._limits, self._lock = folder, limits, Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.scores = Scores(folder, fingerprint, stored)
        except OSError as error:
            raise StoredIndexError(f"queries cannot be kept in {folder} ({error.strerror}); name a folder") from None
        #: name -> bytes, the oldest first
        self._sizes: dict[str, int] = {}
        for file in sorted(folder.iterdir()):
            if _NAME.fullmatch(file.stem):
                self._sizes[file.stem] = self._sizes.get(file.stem, 0) + file.stat().st_size

    def note(self, query: Query, pictures: list[Image.Image], matches: list[Match]) -> None:
        """Count a query, and keep it if it was answered poorly."""
        kind = "picture" if pictures else "words"
        is_plain = len(pictures) + (query.words is not None) == 1 and not query.item_ids
        if not is_plain or query.where is not None or query.offset or not matches:
            return
        try:
            if self.scores.note(kind, matches[0].score):
                self._keep(kind, query.words, pictures, matches[0])
        except OSError as error:  # a full disk is no reason to give no answer
            log.error("a query could not be kept in %s: %s", self._folder, error)

    def kept(self, k: int, offset: int) -> tuple[int, list[PoorQuery]]:
        """How many there are, and some of them, the newest first."""
        with self._lock:
            names = list(self._sizes)[::-1]
        found = []
        for name in names[offset : offset + k]:
            try:
                found.append(PoorQuery.model_validate_json((self._folder / f"{name}.json").read_bytes()))
            except (OSError, ValueError):  # taken away by hand, or by a later query
                continue
        return len(names), found

    def picture(self, name: str) -> bytes:
        """The picture of a kept query, a JPEG.

        Raises:
            HTTPException: 404, there is none.
        """
        try:
            if _NAME.fullmatch(name):
                return (self._folder / f"{name}.jpg").read_bytes()
        except OSError:
            pass
        raise HTTPException(404, "there is no such picture (any more)")

    def _keep(self, kind: str, words: str | None, pictures: list[Image.Image], nearest: Match) -> None:
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
        said = PoorQuery(
            name=name, time=now.isoformat(timespec="seconds"), kind="picture" if kind == "picture" else "words",
            words=words, best=nearest.score, nearest=nearest.item_id,
        )  # fmt: skip
        files = {f"{name}.jpg": thumbnail(picture, KEPT_PX, KEPT_QUALITY) for picture in pictures} | {
            f"{name}.json": json.dumps(said.model_dump()).encode()
        }
        with self._lock:
            self._make_room(sum(map(len, files.values())))
            for file, content in files.items():
                with written_whole(self._folder / file) as path:
                    path.write_bytes(content)
            self._sizes[name] = sum(map(len, files.values()))

    def _make_room(self, wanted: int) -> None:
        limits = self._limits
        while self._sizes and (
            len(self._sizes) >= limits.max_poor_queries or sum(self._sizes.values()) + wanted > limits.max_poor_bytes
        ):
            oldest = next(iter(self._sizes))
            for kind in ("json", "jpg"):
                (self._folder / f"{oldest}.{kind}").unlink(missing_ok=True)
            del self._sizes[oldest]
