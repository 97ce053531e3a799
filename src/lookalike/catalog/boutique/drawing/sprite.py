"""From marks to a cut-out picture of a product: cloth, paint, light and shade."""

from collections.abc import Callable, Collection
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lookalike.catalog.boutique.drawing.bags import bag
from lookalike.catalog.boutique.drawing.coats import coat
from lookalike.catalog.boutique.drawing.curves import Mark
from lookalike.catalog.boutique.drawing.dresses import dress, skirt
from lookalike.catalog.boutique.drawing.fabric import Grid, accent_share, smooth_noise
from lookalike.catalog.boutique.drawing.hats import hat
from lookalike.catalog.boutique.drawing.shoes import boot, sneaker
from lookalike.catalog.boutique.drawing.tops import hoodie, shirt, sweater, t_shirt
from lookalike.catalog.boutique.drawing.trousers import shorts, trousers
from lookalike.catalog.boutique.products import COLORS, Color, Product

DRAWINGS: dict[str, Callable[[str, Collection[str]], list[Mark]]] = {
    "t-shirt": t_shirt,
    "shirt": shirt,
    "sweater": sweater,
    "hoodie": hoodie,
    "coat": coat,
    "dress": dress,
    "skirt": skirt,
    "trousers": trousers,
    "shorts": shorts,
    "bag": bag,
    "sneaker": sneaker,
    "boot": boot,
    "hat": hat,
}
_KNITTED = ("sweater", "beanie")
_COARSE = 4  # shades are soft, so they are made on a grid this many times coarser
_Box = tuple[int, int, int, int]


def draw_sprite(product: Product, side_px: int, rng: np.random.Generator) -> Image.Image:
    """The product alone on a transparent square, RGBA."""
    painter = _Painter(product, side_px, rng)
    for mark in DRAWINGS[product.category](product.cut, product.details):
        painter.paint(mark)
    return painter.finished()


class _Painter:
    """A sheet, the paints of one product, and what has been covered so far."""

    def __init__(self, product: Product, side_px: int, rng: np.random.Generator):
        self.side_px = side_px
        self.sheet = Image.new("RGB", (side_px, side_px), COLORS[product.color])
        self.covered = Image.new("L", (side_px, side_px), 0)
        color, accent = COLORS[product.color], COLORS[product.accent]
        self.cloth = _weave(product, color, accent, side_px, rng)
        self.paints = _paints(color, accent)
        self.folds = _folds(side_px, rng)

    def paint(self, mark: Mark) -> None:
        """Put one mark on the sheet."""
        frame = self._frame(mark)
        mask = self._mask(mark, frame)
        if mark.clipped:
            mask = ImageChops.multiply(mask, self.covered.crop(frame))
        below = self.sheet.crop(frame)
        if mark.fill in _TINTS:
            strength, gray = _TINTS[mark.fill]
            self.sheet.paste(gray, frame, mask.point([round(value * strength) for value in range(256)]))
            return
        if mark.volume:
            below = ImageChops.multiply(below, _contact_shadow(mask))
        surface = self._surface(mark, frame)
        if mark.volume:
            surface = ImageChops.multiply(surface, _roundness(mask, mark.volume))
        below.paste(surface, (0, 0), mask)
        self.sheet.paste(below, frame)
        self.covered.paste(255, frame, mask)

    def finished(self) -> Image.Image:
        """The sheet with folds laid over it, cut out along what was covered."""
        result = ImageChops.multiply(self.sheet, self.folds)
        result.putalpha(self.covered)
        return result

    def _frame(self, mark: Mark) -> _Box:
        """The pixels around the mark, with room for its shadow, cut at the edge of the sheet."""
        margin = mark.width / 2 + 0.03
        low = np.floor((mark.points.min(axis=0) - margin) * self.side_px).clip(0, self.side_px - 1).astype(int)
        high = np.ceil((mark.points.max(axis=0) + margin) * self.side_px).clip(1, self.side_px).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _mask(self, mark: Mark, frame: _Box) -> Image.Image:
        mask = Image.new("L", (frame[2] - frame[0], frame[3] - frame[1]), 0)
        corners = [(float(x), float(y)) for x, y in mark.points * self.side_px - frame[:2]]
        draw = ImageDraw.Draw(mask)
        if mark.width:
            draw.line(corners, fill=255, width=max(1, round(mark.width * self.side_px)), joint="curve")
        else:
            draw.polygon(corners, fill=255)
        return mask

    def _surface(self, mark: Mark, frame: _Box) -> Image.Image:
        if mark.fill != "cloth":
            return Image.new("RGB", (frame[2] - frame[0], frame[3] - frame[1]), self.paints[mark.fill])
        if not mark.grain_deg:
            return self.cloth.crop(frame)
        middle = ((frame[0] + frame[2]) / 2, (frame[1] + frame[3]) / 2)
        return self.cloth.rotate(mark.grain_deg, Image.Resampling.NEAREST, center=middle).crop(frame)


_TINTS = {"shade": (0.38, (14, 10, 20)), "fold": (0.16, (14, 10, 20)), "light": (0.13, (255, 255, 255))}


def _paints(color: Color, accent: Color) -> dict[str, Color]:
    """The paint of each fill but cloth."""

    def scaled(share: float) -> Color:
        return (round(color[0] * share), round(color[1] * share), round(color[2] * share))

    return {
        "plain": color,
        "rib": scaled(0.86),
        "inside": scaled(0.5),
        "accent": accent,
        # The plain sole must not be taken for one in the accent color.
        "sole": (84, 66, 54) if sum(accent) > 560 else (236, 233, 224),
        "tread": (186, 152, 108) if sum(accent) < 260 else (52, 46, 46),
        "metal": (206, 198, 176),
        "dark": (52, 46, 46),
        "white": (246, 245, 240),
    }


def _weave(product: Product, color: Color, accent: Color, side_px: int, rng: np.random.Generator) -> Image.Image:
    """A square of the product's cloth: its pattern in its two colors, and the grain of its yarn."""
    share = Image.fromarray((accent_share(product.pattern, side_px, rng) * 255).astype(np.uint8))
    size = (side_px, side_px)
    mixed = Image.composite(Image.new("RGB", size, accent), Image.new("RGB", size, color), share)
    return ImageChops.multiply(mixed, _yarn(product.category in _KNITTED or product.cut in _KNITTED, side_px))


@lru_cache(maxsize=4)
def _yarn(knitted: bool, side_px: int) -> Image.Image:
    """Brightness of the bare cloth: stitches for knitwear, a fine twill for the rest."""
    line = np.arange(side_px, dtype=np.float32) / side_px
    y, x = line[:, None], line[None, :]
    if knitted:
        stitches = np.abs((x * 26) % 1.0 - 0.5) * 0.8
        light = 0.91 + 0.09 * np.sin(2 * np.pi * (26 * y + stitches)) * np.cos(2 * np.pi * 26 * x)
    else:
        light = 0.985 + 0.015 * np.sin(2 * np.pi * 26 * (x + y))
    return Image.fromarray((light * 255).astype(np.uint8)).convert("RGB")


def _folds(side_px: int, rng: np.random.Generator) -> Image.Image:
    """Light from the upper left and soft folds that mostly run down."""
    line = np.linspace(-1, 1, side_px, dtype=np.float32)
    slope = 0.97 - 0.06 * line[None, :] - 0.05 * line[:, None]
    light = slope + 0.06 * smooth_noise(rng, 4, 9, side_px) + 0.03 * smooth_noise(rng, 9, 5, side_px)
    return Image.fromarray((light.clip(0, 1) * 255).astype(np.uint8)).convert("RGB")


def _soft(mask: Image.Image, radius: float) -> tuple[Grid, tuple[int, int]]:
    """The mask, blurred and on the coarse grid."""
    size = (max(1, mask.width // _COARSE), max(1, mask.height // _COARSE))
    small = mask.resize(size, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(small, dtype=np.float32) / 255, size


def _roundness(mask: Image.Image, volume: float) -> Image.Image:
    """Darker toward the edges, most at the lower right: what a rounded body does to light."""
    soft, _ = _soft(mask, radius=2.6)
    shifted = np.roll(soft, (2, 2), axis=(0, 1))
    light = 1 - volume * (0.34 * (1 - soft) - 0.3 * (soft - shifted) * (soft < shifted))
    return _stretched(light, mask.size)


def _contact_shadow(mask: Image.Image) -> Image.Image:
    """The shadow that a part throws on what lies under it."""
    soft, _ = _soft(mask, radius=1.6)
    return _stretched(1 - 0.42 * np.roll(soft, (1, 0), axis=(0, 1)), mask.size)


def _stretched(light: Grid, size: tuple[int, int]) -> Image.Image:
    small = Image.fromarray((light.clip(0, 1) * 255).astype(np.uint8))
    return small.resize(size, Image.Resampling.BILINEAR).convert("RGB")
