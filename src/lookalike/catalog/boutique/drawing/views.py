"""One photograph of a product of the demo shop: where it stands, how it is held, how it is lit."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lookalike.catalog.boutique.drawing.fabric import smooth_noise
from lookalike.catalog.boutique.drawing.scenes import street, studio

_OVERSAMPLING = 2
_GRID = 3  # the pose bends the product over this many fields in each direction
_JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Conditions:
    """How far a domain departs from a plain front view; each is the largest step to either side."""

    turn_deg: float
    zoom: tuple[float, float]
    shift: float
    shear: float
    bend: float
    exposure: tuple[float, float]
    tint: float  # of the white balance
    contrast: tuple[float, float]
    noise: float  # of the sensor, in gray levels
    shadow: float
    occlusion: float  # share of pictures with something in front


CONDITIONS = {
    "studio": Conditions(15, (0.8, 1.4), 0.08, 0.11, 0.025, (0.88, 1.12), 0.06, (0.88, 1.1), 2.0, 0.3, 0.0),
    "street": Conditions(22, (0.72, 1.45), 0.1, 0.17, 0.04, (0.68, 1.2), 0.13, (0.78, 1.2), 7.0, 0.4, 0.45),
}


def photograph(sprite: Image.Image, domain: str, size_px: int, rng: np.random.Generator) -> Image.Image:
    """The product before a backdrop of the domain, as a square picture of `size_px`."""
    conditions = CONDITIONS[domain]
    side_px = size_px * _OVERSAMPLING
    scene = (studio if domain == "studio" else street)(side_px, rng)
    posed = _posed(sprite, side_px, conditions, rng)
    scene = ImageChops.multiply(scene, _cast_shadow(posed, conditions.shadow, rng))
    scene.paste(posed, (0, 0), posed)
    if rng.random() < conditions.occlusion:
        _put_something_in_front(scene, rng)
    return _lit(scene.reduce(_OVERSAMPLING), conditions, rng)


def encoded(picture: Image.Image) -> bytes:
    """The picture as JPEG bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _posed(sprite: Image.Image, side_px: int, conditions: Conditions, rng: np.random.Generator) -> Image.Image:
    """The cut-out turned, moved, sheared, bent and, one time in four, seen in a mirror."""
    corners = _source_grid(sprite, conditions, rng)
    step = side_px / _GRID
    mesh = []
    for row in range(_GRID):
        for column in range(_GRID):
            target = (round(column * step), round(row * step), round((column + 1) * step), round((row + 1) * step))
            order = ((row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1))
            mesh.append((target, tuple(float(value) for corner in order for value in corners[corner])))
    return sprite.transform((side_px, side_px), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _source_grid(sprite: Image.Image, conditions: Conditions, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where in the sprite each grid point of the picture looks, in sprite pixels [rows, columns, (x, y)]."""
    left, top, right, bottom = sprite.getchannel("A").getbbox() or (0, 0, *sprite.size)
    reach = max(right - left, bottom - top) / 0.9 / rng.uniform(*conditions.zoom)
    turn = np.radians(rng.uniform(-1, 1) * conditions.turn_deg)
    shear_x, shear_y = rng.uniform(-1, 1, 2) * conditions.shear
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ np.array([[1, shear_x], [shear_y, 1]])
    if rng.random() < 0.25:
        linear = linear * np.array((-1, 1))
    line = np.linspace(-0.5, 0.5, _GRID + 1)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    grid = grid + rng.uniform(-1, 1, 2) * conditions.shift + rng.uniform(-1, 1, grid.shape) * conditions.bend
    middle = np.array(((left + right) / 2, (top + bottom) / 2))
    looked_at: NDArray[np.float64] = grid @ linear.T * reach + middle
    return looked_at


def _cast_shadow(posed: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """What the product darkens of the backdrop: its own outline, moved and blurred."""
    size = (posed.width // 4, posed.height // 4)
    outline = posed.getchannel("A").resize(size, Image.Resampling.BOX)
    step_x, step_y = int(rng.integers(-3, 4)), int(rng.integers(1, 4))
    moved = Image.new("L", size)
    moved.paste(outline, (step_x, step_y))
    soft = moved.filter(ImageFilter.GaussianBlur(size[0] * rng.uniform(0.03, 0.07)))
    return (
        soft.point([round(255 - strength * value) for value in range(256)])
        .resize(posed.size, Image.Resampling.BILINEAR)
        .convert("RGB")
    )


def _put_something_in_front(scene: Image.Image, rng: np.random.Generator) -> None:
    """A pole, a railing or leaves that hide a part near the edge."""
    draw, side = ImageDraw.Draw(scene), scene.width
    paint = _FRONT_PAINTS[rng.integers(len(_FRONT_PAINTS))]
    kind = rng.integers(3)
    if kind == 0:
        x = side * (rng.uniform(0.05, 0.3) if rng.random() < 0.5 else rng.uniform(0.7, 0.95))
        draw.line(
            (x, 0, x + rng.uniform(-0.1, 0.1) * side, side), fill=paint, width=round(side * rng.uniform(0.04, 0.09))
        )
    elif kind == 1:
        y = side * rng.uniform(0.8, 0.95)
        draw.line(
            (0, y, side, y + rng.uniform(-0.06, 0.06) * side), fill=paint, width=round(side * rng.uniform(0.04, 0.08))
        )
    else:
        corner_x, corner_y = rng.choice([0.0, 1.0], 2)
        for x, y in rng.normal((corner_x, corner_y), 0.12, (12, 2)) * side:
            radius = rng.uniform(0.03, 0.08) * side
            draw.ellipse(
                (x - radius, y - radius * 0.6, x + radius, y + radius * 0.6), fill=(60, int(rng.integers(80, 130)), 56)
            )


_FRONT_PAINTS = ((58, 60, 66), (150, 150, 152), (92, 66, 48), (196, 186, 160))


def _lit(picture: Image.Image, conditions: Conditions, rng: np.random.Generator) -> Image.Image:
    """Exposure, white balance, contrast, uneven light and sensor noise."""
    side_px = picture.width
    values = np.asarray(picture, dtype=np.float32)
    warmth = rng.uniform(-1, 1) * conditions.tint
    gains = np.array([1 + warmth, 1 + rng.uniform(-0.3, 0.3) * conditions.tint, 1 - warmth], dtype=np.float32)
    gains *= rng.uniform(*conditions.exposure)
    light = 1 + 1.2 * conditions.tint * smooth_noise(rng, 3, 3, side_px)
    values = values * gains * light[..., None]
    values = (values - 118) * np.float32(rng.uniform(*conditions.contrast)) + 118
    values += rng.standard_normal(values.shape, dtype=np.float32) * np.float32(conditions.noise * rng.random())
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))
