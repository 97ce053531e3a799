"""How the demo shop draws bags. All on the unit square."""

from collections.abc import Collection

import numpy as np

from lookalike.catalog.boutique.drawing.curves import Mark, Points, both_halves, both_sides, box, ellipse, path
from lookalike.catalog.boutique.drawing.parts import pocket, prints


def bag(cut: str, details: Collection[str]) -> list[Mark]:
    """Tote, satchel, backpack, bucket bag."""
    strap = "accent" if "contrast straps" in details else "plain"
    marks = _BAGS[cut](strap, "accent" if "contrast flap" in details else "plain")
    if "front pocket" in details:
        marks += pocket(0.5, 0.68, 0.24, 0.2, "accent")
    if "contrast base" in details:
        marks.append(Mark(_bag_base(cut), "accent", volume=0.4, clipped=True))
    if "tassel" in details:
        cord = Mark(path((0.66, 0.42), (0.68, 0.5, 0.67, 0.55)), "dark", width=0.014)
        fringe = Mark(path((0.655, 0.55), (0.685, 0.55), (0.72, 0.74), (0.625, 0.74)), "accent", volume=0.6)
        marks += [cord, fringe]
    return marks + prints(details, y=0.62, radius=0.1)


def _bag_base(cut: str) -> Points:
    """The lower strip of each bag."""
    wide, narrow, bottom = {
        "tote": (0.262, 0.252, 0.88),
        "satchel": (0.3, 0.3, 0.84),
        "backpack": (0.24, 0.25, 0.91),
        "bucket": (0.19, 0.215, 0.88),
    }[cut]
    return both_halves(
        (0.5, bottom - 0.115), (0.5 + narrow, bottom - 0.12), (0.5 + wide, bottom - 0.01), (0.5, bottom + 0.005)
    )


def _tote(strap: str, flap: str) -> list[Mark]:
    body = both_halves((0.5, 0.37), (0.5 + 0.3, 0.36), (0.79, 0.6, 0.76, 0.87), (0.63, 0.895, 0.5, 0.89))
    handle = both_halves((0.5, 0.1), (0.6, 0.1, 0.63, 0.2, 0.635, 0.42))
    far = Mark(handle * (0.92, 1.0) + (0.04, -0.025), "inside", width=0.028)
    opening = Mark(both_halves((0.5, 0.345), (0.8, 0.36), (0.5, 0.385)), "inside")
    hem = Mark(both_halves((0.5, 0.43), (0.797, 0.42)), "shade", width=0.006)
    return [far, opening, Mark(body, "cloth", volume=0.9), hem, Mark(handle, strap, width=0.034)]


def _satchel(strap: str, flap: str) -> list[Mark]:
    body = both_halves(
        (0.5, 0.4), (0.76, 0.4), (0.82, 0.4, 0.8, 0.48), (0.81, 0.8), (0.81, 0.86, 0.75, 0.86), (0.5, 0.865)
    )
    long_strap = both_halves((0.5, 0.06), (0.7, 0.06, 0.76, 0.2, 0.77, 0.45))
    cover = both_halves((0.5, 0.385), (0.77, 0.385), (0.815, 0.39, 0.81, 0.48), (0.8, 0.66, 0.6, 0.68, 0.5, 0.68))
    rim = Mark(cover, "shade", width=0.008)
    clasp = [Mark(box(0.46, 0.62, 0.54, 0.73), "metal", volume=0.5), Mark(ellipse(0.5, 0.675, 0.014), "dark")]
    return [
        Mark(long_strap, strap, width=0.026),
        Mark(body, "cloth", volume=0.9),
        Mark(cover, flap if flap == "accent" else "cloth", volume=0.6),
        rim,
        *clasp,
    ]


def _backpack(strap: str, flap: str) -> list[Mark]:
    side_strap = path((0.66, 0.25), (0.83, 0.36, 0.8, 0.62, 0.7, 0.82))
    body = both_halves(
        (0.5, 0.13), (0.7, 0.13, 0.75, 0.25, 0.755, 0.45), (0.775, 0.8), (0.78, 0.92, 0.7, 0.92), (0.5, 0.92)
    )
    front = both_halves(
        (0.5, 0.56), (0.66, 0.56), (0.69, 0.57, 0.69, 0.62), (0.69, 0.82), (0.68, 0.86, 0.64, 0.86), (0.5, 0.86)
    )
    loop = both_halves((0.5, 0.055), (0.56, 0.055, 0.565, 0.14))
    zip_line = both_halves((0.5, 0.27), (0.65, 0.27, 0.69, 0.36, 0.695, 0.5))
    marks = [
        *both_sides(Mark(side_strap, strap, width=0.05)),
        Mark(loop, strap, width=0.028),
        Mark(body, "cloth", volume=1.0),
    ]
    marks += [Mark(zip_line, "dark", width=0.02), Mark(zip_line, "metal", width=0.007)]
    return [
        *marks,
        Mark(front, flap if flap == "accent" else "cloth", volume=0.6),
        Mark(np.vstack([front, front[:1]]), "shade", width=0.009),
    ]


def _bucket(strap: str, flap: str) -> list[Mark]:
    body = both_halves((0.5, 0.36), (0.76, 0.34), (0.72, 0.5, 0.75, 0.7, 0.69, 0.87), (0.6, 0.9, 0.5, 0.9))
    opening = Mark(ellipse(0.5, 0.355, 0.26, 0.045), "inside")
    cord = both_halves((0.5, 0.45), (0.6, 0.455, 0.745, 0.43))
    strap_arc = both_halves((0.5, 0.07), (0.66, 0.07, 0.72, 0.2, 0.735, 0.4))
    ends = [Mark(path((0.5, 0.45), (x, 0.55, x, 0.6)), "dark", width=0.016) for x in (0.47, 0.53)]
    collar = Mark(
        both_halves((0.5, 0.4), (0.65, 0.4, 0.757, 0.36), (0.74, 0.44), (0.65, 0.465, 0.5, 0.47)), flap, volume=0.3
    )
    return [
        Mark(strap_arc, strap, width=0.03),
        opening,
        Mark(body, "cloth", volume=1.0),
        collar,
        Mark(cord, "dark", width=0.015),
        *ends,
    ]


_BAGS = {"tote": _tote, "satchel": _satchel, "backpack": _backpack, "bucket": _bucket}
