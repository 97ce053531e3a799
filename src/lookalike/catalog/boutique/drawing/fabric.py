"""Patterns of the demo shop: each says how much accent color lies where, on a square of cloth."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grid = NDArray[np.floating[Any]]
Pattern = Callable[[Grid, Grid, np.random.Generator], Grid]


def accent_share(pattern: str, side_px: int, rng: np.random.Generator) -> Grid:
    """The share of accent color, 0..1, in each pixel of a square of cloth [side_px, side_px]."""
    line = np.arange(side_px, dtype=np.float32) / side_px
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.clip(PATTERNS[pattern](x, y, rng), 0.0, 1.0)


def smooth_noise(rng: np.random.Generator, rows: int, columns: int, side_px: int) -> Grid:
    """Random hills between -1 and 1, about `rows` x `columns` of them, stretched over the square."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((side_px, side_px), Image.Resampling.BICUBIC))


def _solid(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    return np.zeros_like(x)


def _bands(position: Grid, period: float, share: float) -> Grid:
    """1 inside bands that repeat every `period` and fill `share` of it, else 0."""
    return _where((position / period) % 1.0 < share)


def _where(condition: NDArray[np.bool_]) -> Grid:
    """1 where it holds, else 0."""
    return condition.astype(np.float32)


def _staggered(x: Grid, y: Grid, period: float) -> tuple[Grid, Grid, Grid, Grid]:
    """Fields of a grid with every other row moved by half: row and column of the field, and place in it, -0.5..0.5."""
    row = np.floor(y / period)
    along = x / period + row % 2 / 2
    return row, np.floor(along), along % 1.0 - 0.5, (y / period) % 1.0 - 0.5


def _striped(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    return _bands(y + 0.02, 0.125, 0.42)


def _pinstriped(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    return _bands(x - 0.5 + 0.0125, 0.085, 0.3)


def _diagonal(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    return _bands(x + y, 0.18, 0.45)


def _gingham(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    return (_bands(x - 0.025, 0.1, 0.5) + _bands(y, 0.1, 0.5)) / 2


def _tartan(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    lines = [0.45 * _bands(at, 0.24, 0.34) + 0.5 * _bands(at - 0.155, 0.24, 0.12) for at in (x - 0.46, y)]
    return lines[0] + lines[1]


def _dotted(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    _, _, across, down = _staggered(x, y, 0.115)
    return _where(across**2 + down**2 < 0.075)


def _floral(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    """Five-petaled flowers on a staggered grid, each turned its own way, with a heart of the main color."""
    row, column, across, down = _staggered(x, y, 0.185)
    radius = np.sqrt(across**2 + down**2)
    petals = 0.28 + 0.13 * np.cos(5 * np.arctan2(down, across) + 2.4 * row + 1.7 * column)
    flowers = _where((radius < petals) & (radius > 0.1))
    leaves = _where(np.abs(across + 0.38) + 0.5 * np.abs(down - 0.3) < 0.1)
    share: Grid = np.maximum(flowers, 0.55 * leaves)
    return share


def _zigzag(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    teeth = np.abs(((x - 0.5) / 0.16 + 0.5) % 1.0 - 0.5)
    return _bands(y + 0.13 * teeth, 0.14, 0.45)


def _color_block(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    return _where(y + 0.02 * np.sin(9 * x) > 0.53)


def _ombre(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    return (y - 0.22) / 0.6


def _melange(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    side_px = len(x)
    return 0.24 + 0.3 * smooth_noise(rng, 90, 110, side_px) + 0.1 * smooth_noise(rng, 7, 7, side_px)


def _camouflage(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    side_px = len(x)
    first, second = smooth_noise(rng, 13, 13, side_px), smooth_noise(rng, 13, 13, side_px)
    return _where(first > 0.2) + 0.45 * _where((second > 0.12) & (first <= 0.2))


def _leopard(x: Grid, y: Grid, rng: np.random.Generator) -> Grid:
    """Broken rings around a paler heart, on a staggered grid that random hills push out of line."""
    pushed = [at + 0.03 * smooth_noise(rng, 11, 11, len(x)) for at in (x, y)]
    row, column, across, down = _staggered(pushed[0], pushed[1], 0.1)
    radius = np.sqrt(across**2 + down**2)
    gap = np.cos(np.arctan2(down, across) + 1.9 * row + 2.3 * column) > 0.8
    heart = radius < 0.2
    return 0.4 * _where(heart) + _where(~heart & (radius < 0.42) & ~gap)


PATTERNS: dict[str, Pattern] = {
    "solid": _solid,
    "striped": _striped,
    "pinstriped": _pinstriped,
    "diagonal": _diagonal,
    "gingham": _gingham,
    "tartan": _tartan,
    "dotted": _dotted,
    "floral": _floral,
    "zigzag": _zigzag,
    "color block": _color_block,
    "ombre": _ombre,
    "melange": _melange,
    "camouflage": _camouflage,
    "leopard": _leopard,
}
