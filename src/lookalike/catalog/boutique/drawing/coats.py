"""How the demo shop draws coats. All on the unit square."""

from collections.abc import Collection

import numpy as np

from lookalike.catalog.boutique.drawing.curves import Mark, both_halves, both_sides, box, ellipse, moved, path
from lookalike.catalog.boutique.drawing.parts import Torso, belt, buttons, pocket, zipper


def coat(cut: str, details: Collection[str]) -> list[Mark]:
    """Trench, duffle, puffer, blazer."""
    collar = "accent" if "contrast collar" in details else "plain"
    bottom = {"trench": 0.94, "duffle": 0.88, "puffer": 0.76, "blazer": 0.8}[cut]
    flare = 0.235 if cut == "trench" else 0.205
    body = Torso(top=0.1, bottom=bottom, shoulder=0.2, chest=0.2, waist=0.185, hem=flare, depth=0.06, arm=0.36)
    trim = "accent" if "contrast cuffs" in details else "plain"
    wide = 0.12 if cut == "puffer" else 0.09
    marks = [*body.sleeves(0.54, 74, wide, "cloth", trim), *body.front()]
    marks += _COAT_FRONTS[cut](body, collar, details)
    if "contrast pockets" in details:
        y = bottom - 0.2
        marks += [*pocket(0.385, y, 0.12, 0.12, "accent"), *pocket(0.615, y, 0.12, 0.12, "accent")]
    if "belt" in details:
        marks += belt(0.505, 0.197)
    return marks


def _lapels(fill: str, low: float) -> list[Mark]:
    """Two turned-back lapels with their notch, and the shirt front they leave open."""
    leaf = path(
        (0.5, low),
        (0.55, 0.2, 0.575, 0.085),
        (0.62, 0.1),
        (0.645, 0.17),
        (0.605, 0.19),
        (0.63, 0.225),
        (0.57, 0.33, 0.5, low),
    )
    opening = both_halves((0.5, 0.1), (0.58, 0.1), (0.55, 0.22, 0.5, low))
    return [Mark(opening, "inside"), *both_sides(Mark(leaf, fill, volume=0.5), Mark(leaf, "shade", width=0.006))]


def _trench_front(body: Torso, collar: str, details: Collection[str]) -> list[Mark]:
    rows = [mark for x in (0.43, 0.57) for mark in buttons(0.42, 0.72, 4, x, "dark", 0.016)]
    edge = path((0.5, 0.36), (0.575, 0.39, 0.585, 0.46), (0.595, body.bottom + 0.01))
    return [Mark(edge, "shade", width=0.01), *_lapels(collar, 0.37), *rows]


def _blazer_front(body: Torso, collar: str, details: Collection[str]) -> list[Mark]:
    edge = path((0.5, 0.45), (0.5, 0.7), (0.5, 0.78, 0.545, body.bottom + 0.014))
    flap = Mark(box(0.565, 0.62, 0.655, 0.65), "plain", volume=0.3)
    rim = Mark(path((0.565, 0.652), (0.655, 0.652)), "shade", width=0.008)
    return [
        Mark(edge, "shade", width=0.011),
        *_lapels(collar, 0.46),
        *buttons(0.5, 0.58, 2, 0.515, "dark", 0.015),
        *both_sides(flap, rim),
    ]


def _duffle_front(body: Torso, collar: str, details: Collection[str]) -> list[Mark]:
    hood = both_halves((0.5, 0.11), (0.6, 0.06, 0.665, 0.12, 0.635, 0.2), (0.58, 0.26, 0.5, 0.25))
    marks = [Mark(hood, collar, volume=1.0), Mark(ellipse(0.5, 0.135, 0.07, 0.038), "inside")]
    marks.append(Mark(path((0.5, 0.245), (0.5, body.bottom + 0.016)), "shade", width=0.011))
    for y in (0.33, 0.47, 0.61):
        marks += both_sides(
            Mark(path((0.5, y), (0.57, y)), "dark", width=0.012), Mark(ellipse(0.572, y, 0.013), "dark")
        )
        marks.append(Mark(box(0.465, y - 0.013, 0.535, y + 0.013), "white", volume=0.3))
    return marks


def _puffer_front(body: Torso, collar: str, details: Collection[str]) -> list[Mark]:
    marks = []
    for y in np.arange(0.2, body.bottom - 0.03, 0.088):
        quilt = both_halves((0.5, y + 0.012), (0.6, y + 0.014, 0.5 + body.chest * 0.97, y))
        marks += [Mark(quilt, "shade", width=0.012), Mark(moved(quilt, 0, 0.026), "light", width=0.016)]
    stand = both_halves((0.5, 0.055), (0.59, 0.05), (0.61, 0.1, 0.6, 0.16), (0.55, 0.185, 0.5, 0.18))
    return [*marks, body.hem_band(collar, 0.05), Mark(stand, collar, volume=0.9), *zipper(0.1, body.bottom + 0.012)]


_COAT_FRONTS = {"trench": _trench_front, "blazer": _blazer_front, "duffle": _duffle_front, "puffer": _puffer_front}
