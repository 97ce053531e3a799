"""Small pictures inside a page: single ones for what it shows, and sheets of many for the map."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lookalike.catalog import Catalog
from lookalike.progress import track

THUMBNAIL_PX = 160
#: Pictures of a sheet, each in a square of its own: multiples of 16 px, so that JPEG keeps them apart.
TILE_PX, SHEET_COLUMNS, SHEET_ROWS = 64, 32, 24
TEXT_LENGTH = 240


class Shown:
    """The items of a catalog that a page shows, each once however often it is shown."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._places: dict[int, int] = {}

    def add(self, row: int) -> int:
        """The number on the page of a catalog's row."""
        return self._places.setdefault(int(row), len(self._places))

    def items(self) -> list[dict[str, Any]]:
        """What the page says of each item, by its number: its picture, and its id, label, domain and text if known."""
        return [
            about(self._catalog, row) | {"picture": data_url(_small(self._catalog, row, THUMBNAIL_PX))}
            for row in track(self._places, "pictures", len(self._places))
        ]


def about(catalog: Catalog, row: int) -> dict[str, str]:
    """What is known of an item, for people."""
    values = {name: catalog.table.column(name)[row].as_py() for name in COLUMNS if name in catalog}
    return {name: shortened(str(value)) for name, value in values.items() if value is not None}


COLUMNS = ("item_id", "label", "domain", "text")


def shortened(text: str, length: int = TEXT_LENGTH) -> str:
    """At most so many characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def sheets(catalog: Catalog, rows: Sequence[int] | np.ndarray) -> list[str]:
    """Pictures of these rows in order, `SHEET_COLUMNS` x `SHEET_ROWS` a sheet, line by line, as data URLs."""
    size, made = SHEET_COLUMNS * SHEET_ROWS, []
    sheet = Image.new("RGB", (1, 1))
    for number, row in enumerate(track(rows, "pictures of the map", len(rows))):
        place = number % size
        if place == 0:
            lines = min(SHEET_ROWS, -(-(len(rows) - number) // SHEET_COLUMNS))
            sheet = Image.new("RGB", (SHEET_COLUMNS * TILE_PX, lines * TILE_PX), "white")
        tile = ImageOps.pad(_small(catalog, int(row), TILE_PX), (TILE_PX, TILE_PX), color="white")
        sheet.paste(tile, (place % SHEET_COLUMNS * TILE_PX, place // SHEET_COLUMNS * TILE_PX))
        if place == size - 1 or number == len(rows) - 1:
            made.append(data_url(sheet, quality=75))
    return made


def data_url(picture: Image.Image, quality: int = 82) -> str:
    """The picture as a JPEG inside a URL."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _small(catalog: Catalog, row: int, size_px: int) -> Image.Image:
    """The picture of a row, both sides at most this long."""
    picture = catalog.image(row, short_side_px=size_px)
    picture.thumbnail((size_px, size_px))
    return picture
