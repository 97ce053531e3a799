"""Curves and marks: the pen of the demo shop. The picture is the unit square, x to the right, y downward."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_STEPS = np.linspace(0.0, 1.0, 11)[1:, None]


@dataclass(frozen=True, slots=True)
class Mark:
    """One stroke or filled shape of a drawing, painted over the marks before it.

    `fill` says what it is painted with: "cloth" (the patterned fabric), "plain" (the main color), "rib" (main color, a
    little darker), "inside" (main color in deep shade), "accent", "sole", "tread", "metal", "dark", "white" are paints;
    "shade", "fold" and "light" only darken or lighten what lies below.
    """

    points: Points
    fill: str
    width: float = 0.0  # of the pen; 0 fills the outline
    volume: float = 0.0  # how round the shape looks: 0 flat, 1 like a ball
    grain_deg: float = 0.0  # how far the fabric is turned, as on a sleeve
    clipped: bool = False  # painted only over what earlier marks have covered

    def mirrored(self) -> "Mark":
        """The same mark on the other side of the vertical middle line."""
        return replace(self, points=mirrored(self.points), grain_deg=-self.grain_deg)


def path(*steps: Sequence[float] | Points) -> Points:
    """Points along a pen path: the first step is where it starts, then each step is a line, a quadratic or a cubic.

    A step of 2 numbers is a line to (x, y); of 4 a curve with one control point, of 6 with two, the end point last.
    """
    pieces = [np.array([steps[0]], dtype=np.float64)]
    for step in steps[1:]:
        controls = np.array(step, dtype=np.float64).reshape(-1, 2)
        pieces.append(_bezier(np.vstack([pieces[-1][-1:], controls])))
    return np.vstack(pieces)


def _bezier(controls: Points) -> Points:
    """De Casteljau's construction at all steps at once; a line needs its end point only."""
    if len(controls) == 2:
        return controls[1:]
    levels: list[Points] = [controls[i] + np.zeros_like(_STEPS) for i in range(len(controls))]
    while len(levels) > 1:
        levels = [(1 - _STEPS) * a + _STEPS * b for a, b in pairwise(levels)]
    return levels[0]


def mirrored(points: Points) -> Points:
    """Reflect at the vertical middle line, walked the other way round so that outlines can be joined."""
    return moved(points * np.array((-1.0, 1.0)), 1.0, 0.0)[::-1]


def both_halves(*steps: Sequence[float] | Points) -> Points:
    """A symmetric outline from its right half, which starts and ends on the middle line."""
    right = path(*steps)
    return np.vstack([right, mirrored(right)])


def moved(points: Points, x: float, y: float) -> Points:
    """The same points, shifted."""
    shifted: Points = points + np.array((x, y))
    return shifted


def ellipse(x: float, y: float, radius_x: float, radius_y: float | None = None) -> Points:
    """A round outline; a circle if only one radius is given."""
    angles = np.linspace(0.0, 2 * np.pi, 28, endpoint=False)
    return np.stack([x + radius_x * np.cos(angles), y + (radius_y or radius_x) * np.sin(angles)], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """A rectangle."""
    return path((left, top), (right, top), (right, bottom), (left, bottom))


def both_sides(*marks: Mark) -> list[Mark]:
    """Each mark and its mirror image."""
    return [side for mark in marks for side in (mark, mark.mirrored())]
