"""What stands behind the products of the demo shop: studio backdrops and streets."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lookalike.catalog.boutique.drawing.fabric import smooth_noise

_Scene = Callable[[ImageDraw.ImageDraw, int, np.random.Generator], None]
_Paint = tuple[int, int, int]


def studio(side_px: int, rng: np.random.Generator) -> Image.Image:
    """A seamless backdrop: near white or a pale tint, a soft floor and darker corners."""
    tint = np.array(_STUDIO_TINTS[rng.integers(len(_STUDIO_TINTS))], dtype=np.float32)
    line = np.linspace(-1, 1, side_px // 4, dtype=np.float32)  # all is soft here: a coarse sheet will do
    y, x = line[:, None], line[None, :]
    floor = 0.05 * np.tanh((y - rng.uniform(0.3, 0.9)) * 5)
    glow = np.exp(-((x - rng.uniform(-0.5, 0.5)) ** 2 + (y + 0.3) ** 2) / 2.0)
    light = 0.96 + 0.06 * glow - floor - 0.03 * (x**2 + y**2)
    coarse = Image.fromarray((light[..., None] * tint).clip(0, 255).astype(np.uint8))
    return coarse.resize((side_px, side_px), Image.Resampling.BILINEAR)


_STUDIO_TINTS = (
    (252, 252, 252),
    (244, 244, 246),
    (250, 246, 240),
    (236, 240, 246),
    (246, 238, 240),
    (238, 242, 236),
    (226, 227, 230),
)


def street(side_px: int, rng: np.random.Generator) -> Image.Image:
    """One of the street scenes, uneven light on it, and slightly out of focus."""
    sheet = Image.new("RGB", (side_px, side_px), (128, 128, 128))
    _SCENES[rng.integers(len(_SCENES))](ImageDraw.Draw(sheet), side_px, rng)
    blurred = sheet.filter(ImageFilter.GaussianBlur(side_px * rng.uniform(0.002, 0.014)))
    light = Image.fromarray((215 + 40 * smooth_noise(rng, 4, 4, side_px)).clip(0, 255).astype(np.uint8))
    return ImageChops.multiply(blurred, light.convert("RGB"))


def _near(rng: np.random.Generator, paint: _Paint, spread: int) -> _Paint:
    """A color close to another."""
    common, *own = rng.integers(-spread, spread + 1, 4).tolist()
    red, green, blue = (min(255, max(0, level + common + one // 3)) for level, one in zip(paint, own, strict=True))
    return red, green, blue


def _any_of(rng: np.random.Generator, paints: tuple[_Paint, ...]) -> _Paint:
    return paints[rng.integers(len(paints))]


def _bricks(draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    brick = _any_of(rng, ((158, 82, 62), (140, 104, 84), (176, 164, 152), (96, 88, 92), (186, 126, 88)))
    draw.rectangle((0, 0, side_px, side_px), fill=_near(rng, (190, 182, 170), 25))
    height = side_px / rng.integers(9, 15)
    width = height * 2.3
    for row in range(int(side_px / height) + 1):
        start = -width * (0.5 if row % 2 else rng.uniform(0.0, 0.1))
        for column in range(int(side_px / width) + 2):
            x, y = start + column * width, row * height
            draw.rectangle((x, y, x + width * 0.93, y + height * 0.84), fill=_near(rng, brick, 22))


def _windows(draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    wall = _any_of(rng, ((206, 188, 152), (170, 92, 80), (148, 158, 170), (222, 214, 204), (112, 132, 120)))
    draw.rectangle((0, 0, side_px, side_px), fill=_near(rng, wall, 18))
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    width, height = side_px / columns, side_px / rows
    frame = _near(rng, (235, 232, 226), 20)
    for row in range(rows):
        for column in range(columns):
            left, top = (column + 0.2) * width, (row + 0.16) * height
            right, bottom = (column + 0.8) * width, (row + 0.82) * height
            draw.rectangle(
                (left, top, right, bottom),
                fill=_near(rng, (70, 92, 118), 40),
                outline=frame,
                width=max(1, side_px // 60),
            )
            draw.line((left, (top + bottom) / 2, right, (top + bottom) / 2), fill=frame, width=max(1, side_px // 80))
            draw.rectangle((left - width * 0.04, bottom, right + width * 0.04, bottom + height * 0.05), fill=frame)


def _pavement(draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    draw.rectangle((0, 0, side_px, side_px), fill=(78, 76, 76))
    slab = _any_of(rng, ((150, 148, 144), (176, 164, 146), (120, 124, 130)))
    step = side_px / rng.uniform(3.5, 7)
    lean = rng.uniform(-0.5, 0.5)
    for row in range(-1, 9):
        for column in range(-5, 13):
            x, y = column * step + row * step * lean, row * step
            corners = [
                (x, y),
                (x + step * 0.95, y),
                (x + step * (0.95 + lean * 0.95), y + step * 0.95),
                (x + step * lean * 0.95, y + step * 0.95),
            ]
            draw.polygon(corners, fill=_near(rng, slab, 16))
    if rng.random() < 0.5:  # a painted line
        x = rng.uniform(0, side_px)
        draw.line(
            (x, 0, x + side_px * lean, side_px),
            fill=_any_of(rng, ((236, 232, 220), (232, 190, 60))),
            width=side_px // 12,
        )


def _foliage(draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    draw.rectangle((0, 0, side_px, side_px), fill=_near(rng, (66, 92, 58), 18))
    for _ in range(130):
        x, y = rng.uniform(-0.05, 1.05, 2) * side_px
        long, wide = rng.uniform(0.03, 0.1) * side_px, rng.uniform(0.015, 0.04) * side_px
        turn = rng.uniform(0, np.pi)
        along, across = np.array([np.cos(turn), np.sin(turn)]) * long, np.array([-np.sin(turn), np.cos(turn)]) * wide
        tips = [
            (x - along[0], y - along[1]),
            (x + across[0], y + across[1]),
            (x + along[0], y + along[1]),
            (x - across[0], y - across[1]),
        ]
        draw.polygon(
            tips, fill=_near(rng, _any_of(rng, ((64, 110, 52), (112, 150, 66), (40, 74, 44), (170, 176, 90))), 20)
        )


def _night(draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    """Lights out of focus, after dark."""
    draw.rectangle((0, 0, side_px, side_px), fill=_near(rng, (34, 32, 48), 12))
    for _ in range(38):
        x, y = rng.uniform(0, 1, 2) * side_px
        radius = rng.uniform(0.02, 0.085) * side_px
        paint = _any_of(
            rng, ((236, 180, 90), (214, 84, 72), (110, 150, 220), (236, 226, 190), (120, 200, 160), (190, 110, 200))
        )
        share = rng.uniform(0.35, 0.85)
        dim = (int(34 + (paint[0] - 34) * share), int(32 + (paint[1] - 32) * share), int(48 + (paint[2] - 48) * share))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=dim)


def _posters(draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    """A painted wall with bills and tags on it."""
    draw.rectangle((0, 0, side_px, side_px), fill=_near(rng, _any_of(rng, tuple(_BRIGHT)), 20))
    for _ in range(9):
        left, top = rng.uniform(-0.15, 0.95, 2) * side_px
        width, height = rng.uniform(0.15, 0.4, 2) * side_px
        draw.rectangle((left, top, left + width, top + height), fill=_near(rng, _any_of(rng, tuple(_BRIGHT)), 25))
        for line in range(3):
            y = top + height * (0.25 + 0.22 * line)
            draw.line(
                (left + width * 0.15, y, left + width * rng.uniform(0.5, 0.9), y),
                fill=(60, 58, 62),
                width=max(1, side_px // 70),
            )
    for _ in range(4):
        points = [(float(x), float(y)) for x, y in rng.uniform(0, side_px, (5, 2))]
        draw.line(points, fill=_any_of(rng, tuple(_BRIGHT)), width=side_px // 32, joint="curve")


_BRIGHT = (
    (206, 196, 176),
    (196, 70, 60),
    (66, 128, 150),
    (224, 176, 76),
    (96, 120, 84),
    (120, 92, 140),
    (226, 220, 212),
    (70, 74, 88),
)


def _market(draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    """Shelves with bright goods under an awning."""
    draw.rectangle((0, 0, side_px, side_px), fill=_near(rng, (104, 82, 62), 18))
    rows = int(rng.integers(3, 6))
    for row in range(rows):
        y = (row + 1) * side_px / rows
        x = 0.0
        while x < side_px:
            width, height = rng.uniform(0.05, 0.14) * side_px, rng.uniform(0.35, 0.8) * side_px / rows
            box = (x, y - height, x + width * 0.9, y)
            (draw.ellipse if rng.random() < 0.4 else draw.rectangle)(
                box, fill=_near(rng, _any_of(rng, tuple(_BRIGHT)), 30)
            )
            x += width
        draw.rectangle((0, y - side_px * 0.02, side_px, y + side_px * 0.012), fill=(70, 54, 42))


def _crossing(draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
    """Asphalt with a zebra crossing, and the sky or a house above."""
    horizon = rng.uniform(0.2, 0.6) * side_px
    draw.rectangle(
        (0, 0, side_px, horizon), fill=_near(rng, _any_of(rng, ((170, 196, 220), (200, 190, 176), (146, 120, 104))), 18)
    )
    draw.rectangle((0, horizon, side_px, side_px), fill=_near(rng, (86, 86, 92), 16))
    vanish = rng.uniform(0, 1) * side_px
    for stripe in np.arange(-8, 10):
        near = side_px * (0.5 + stripe * 0.26)
        far = vanish + (near - vanish) * 0.35
        draw.polygon(
            [
                (near, side_px),
                (near + side_px * 0.13, side_px),
                (far + side_px * 0.045, horizon * 1.15),
                (far, horizon * 1.15),
            ],
            fill=(214, 212, 206),
        )
    for _ in range(6):
        x, width, height = rng.uniform(0, side_px), rng.uniform(0.06, 0.2) * side_px, rng.uniform(0.3, 1.0) * horizon
        draw.rectangle((x, horizon - height, x + width, horizon), fill=_near(rng, _any_of(rng, tuple(_BRIGHT)), 30))


_SCENES: tuple[_Scene, ...] = (_bricks, _windows, _pavement, _foliage, _night, _posters, _market, _crossing)
