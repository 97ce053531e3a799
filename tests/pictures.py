"""Drawn pictures for all tests."""

import io

import numpy as np
from PIL import Image

COLORS = {"bag": (200, 40, 40), "boot": (40, 160, 60), "coat": (40, 60, 200), "dress": (210, 180, 40)}


def draw(label: str, number: int = 0, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """A square of the class's color on gray, whose place follows from the number; not symmetric in any way."""
    picture = np.full((size[1], size[0], 3), 120, dtype=np.uint8)
    left, top = 3 + 5 * (number % 4), 2 + 3 * (number % 3)
    picture[top : top + size[1] // 2, left : left + size[0] // 3] = COLORS[label]
    picture[: size[1] // 6, : size[0] // 4] = 250 - 9 * (number % 20)
    return Image.fromarray(picture)


def encoded(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


# How each EXIF orientation is stored, written down from the EXIF table: what becomes of the upright rows and columns.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: upright.transpose(1, 0, 2)[::-1],
    7: lambda upright: upright.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda upright: upright.transpose(1, 0, 2)[:, ::-1],
}


def stored_as(picture: Image.Image, number: int, file_format: str = "PNG", **options: object) -> bytes:
    """The bytes of a file that shows this picture when turned as its EXIF orientation says."""
    exif = Image.Exif()
    exif[0x0112] = number
    stored = Image.fromarray(np.ascontiguousarray(STORED.get(number, STORED[1])(np.asarray(picture))))
    return encoded(stored, file_format, exif=exif, **options)
