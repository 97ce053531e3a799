"""How the demo shop draws hats. All on the unit square."""

from collections.abc import Collection

import numpy as np

from lookalike.catalog.boutique.drawing.curves import Mark, both_halves, ellipse, path
from lookalike.catalog.boutique.drawing.parts import prints


def hat(cut: str, details: Collection[str]) -> list[Mark]:
    """Baseball cap, bucket hat, beanie, sun hat."""
    marks = _HATS[cut](
        "accent" if "contrast brim" in details else "plain", "accent" if "contrast band" in details else ""
    )
    if "pompom" in details:
        fluff = [
            Mark(ellipse(0.5 + 0.05 * np.cos(a), 0.17 + 0.05 * np.sin(a), 0.055), "accent", volume=0.9)
            for a in np.arange(6) * 1.05
        ]
        marks = [*marks, *fluff]
    return marks + prints(details, x=0.46 if cut == "cap" else 0.5, y=0.47, radius=0.08)


def _cap(brim: str, band: str) -> list[Mark]:
    dome = path(
        (0.12, 0.63), (0.1, 0.3, 0.28, 0.22, 0.46, 0.22), (0.66, 0.22, 0.74, 0.42, 0.74, 0.62), (0.4, 0.7, 0.12, 0.63)
    )
    visor = path(
        (0.45, 0.655), (0.6, 0.62, 0.74, 0.58), (0.86, 0.6, 0.95, 0.68, 0.95, 0.73), (0.8, 0.68, 0.6, 0.7, 0.45, 0.655)
    )
    seams = [Mark(path((0.46, 0.22), (x, 0.36, x, 0.65)), "shade", width=0.008) for x in (0.27, 0.6)]
    strip = [Mark(path((0.122, 0.6), (0.4, 0.67, 0.742, 0.585)), band, width=0.07, clipped=True)] if band else []
    return [
        Mark(dome, "cloth", volume=1.0),
        *seams,
        *strip,
        Mark(visor, brim, volume=0.8),
        Mark(ellipse(0.46, 0.22, 0.03, 0.018), brim, volume=0.5),
    ]


def _bucket_hat(brim: str, band: str) -> list[Mark]:
    crown = both_halves((0.5, 0.25), (0.66, 0.25), (0.7, 0.26, 0.71, 0.34), (0.745, 0.56), (0.6, 0.61, 0.5, 0.61))
    skirt = both_halves((0.5, 0.52), (0.65, 0.52, 0.74, 0.5), (0.84, 0.6, 0.9, 0.73), (0.7, 0.8, 0.5, 0.8))
    fill = brim if brim == "accent" else "cloth"
    rings = [
        Mark(both_halves((0.5, y), (0.7, y - 0.005, x, y - 0.055)), "shade", width=0.006)
        for x, y in ((0.81, 0.65), (0.86, 0.72))
    ]
    strip = (
        [Mark(both_halves((0.5, 0.565), (0.65, 0.565, 0.75, 0.515)), band, width=0.065, clipped=True)] if band else []
    )
    return [Mark(skirt, fill, volume=0.8), *rings, Mark(crown, "cloth", volume=0.9), *strip]


def _beanie(brim: str, band: str) -> list[Mark]:
    dome = both_halves((0.5, 0.2), (0.72, 0.2, 0.78, 0.42, 0.785, 0.66), (0.5, 0.68))
    cuff = both_halves((0.5, 0.59), (0.68, 0.59, 0.79, 0.57), (0.81, 0.66, 0.8, 0.77), (0.65, 0.8, 0.5, 0.8))
    ribs = [
        Mark(path((0.5 + s * 0.29, 0.585), (0.5 + s * 0.3, 0.79)), "shade", width=0.009)
        for s in np.linspace(-0.9, 0.9, 11)
    ]
    strip = [Mark(both_halves((0.5, 0.5), (0.68, 0.5, 0.79, 0.47)), band, width=0.07, clipped=True)] if band else []
    return [Mark(dome, "cloth", volume=1.0), *strip, Mark(cuff, brim if brim == "accent" else "rib", volume=0.8), *ribs]


def _sun_hat(brim: str, band: str) -> list[Mark]:
    disc = ellipse(0.5, 0.66, 0.43, 0.13)
    crown = both_halves((0.5, 0.27), (0.64, 0.25, 0.7, 0.36, 0.715, 0.62), (0.6, 0.68, 0.5, 0.68))
    ribbon = both_halves((0.5, 0.57), (0.62, 0.57, 0.708, 0.53), (0.716, 0.62), (0.62, 0.68, 0.5, 0.68))
    fill = brim if brim == "accent" else "cloth"
    return [
        Mark(disc, fill, volume=0.8),
        Mark(disc[:15], "shade", width=0.008),
        Mark(crown, "cloth", volume=0.9),
        Mark(ribbon, band or "rib", volume=0.4),
    ]


_HATS = {"cap": _cap, "bucket hat": _bucket_hat, "beanie": _beanie, "sun hat": _sun_hat}
