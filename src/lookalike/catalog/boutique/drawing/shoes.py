"""How the demo shop draws sneakers and boots. All on the unit square."""

from collections.abc import Collection

import numpy as np

from lookalike.catalog.boutique.drawing.curves import Mark, box, ellipse, moved, path


def sneaker(cut: str, details: Collection[str]) -> list[Mark]:
    """Low-top, high-top, slip-on, runner; seen from the side, toe to the right."""
    rise = {"low-top": 0.4, "high-top": 0.17, "slip-on": 0.47, "runner": 0.37}[cut]
    upper = path(
        (0.11, 0.73),
        (0.1, 0.63, 0.15, 0.52, 0.135, rise),
        (0.16, rise - 0.035, 0.2, rise - 0.005),
        (0.28, rise + 0.07, 0.36, rise + 0.01),
        (0.4, rise - 0.06, 0.435, rise - 0.02),
        (0.46, 0.5, 0.62, 0.555, 0.78, 0.585),
        (0.9, 0.6, 0.935, 0.66, 0.925, 0.74),
        (0.5, 0.75),
    )
    opening = path((0.17, rise - 0.01), (0.28, rise + 0.06, 0.38, rise), (0.4, rise - 0.05), (0.28, rise - 0.02))
    toe_seam = Mark(path((0.73, 0.575), (0.68, 0.63, 0.69, 0.74)), "shade", width=0.008, clipped=True)
    heel_seam = Mark(path((0.2, rise), (0.245, 0.6, 0.25, 0.74)), "shade", width=0.008, clipped=True)
    marks = [Mark(opening, "inside"), Mark(upper, "cloth", volume=1.0), toe_seam, heel_seam]
    marks += _shoe_accents(details, rise)
    if cut == "slip-on":
        marks.append(
            Mark(
                path((0.33, rise + 0.03), (0.41, rise + 0.03), (0.43, 0.6), (0.36, 0.64)),
                "dark",
                volume=0.3,
                clipped=True,
            )
        )
    else:
        marks += _laces(rise)
    return [*marks, *_sneaker_sole(cut, "accent" if "contrast sole" in details else "sole")]


def _laces(rise: float) -> list[Mark]:
    """White laces across the tongue, on the stay that holds their eyelets."""
    edge = path((0.435, rise - 0.02), (0.46, 0.5, 0.62, 0.555, 0.7, 0.57))
    stay = np.vstack([edge, moved(edge[::-1], -0.085, 0.06)])
    marks = [Mark(stay, "rib", volume=0.3, clipped=True)]
    for at in (1, 3, 5, 7, 9) if rise < 0.3 else (2, 4, 6, 8):
        x, y = moved(edge[at], 0.012, 0.002)
        marks += [
            Mark(path((x, y), (x - 0.075, y + 0.055)), "shade", width=0.026),
            Mark(path((x + 0.008, y - 0.006), (x - 0.07, y + 0.045)), "white", width=0.019),
        ]
    return marks


def _shoe_accents(details: Collection[str], rise: float) -> list[Mark]:
    marks: list[Mark] = []
    if "contrast toe" in details:
        toe = path((0.74, 0.577), (0.9, 0.585, 0.94, 0.64, 0.925, 0.74), (0.7, 0.74), (0.7, 0.64, 0.74, 0.577))
        marks.append(Mark(toe, "accent", volume=0.6, clipped=True))
    if "contrast heel" in details:
        heel = path((0.09, 0.74), (0.09, rise - 0.03), (0.2, rise - 0.03), (0.245, 0.6, 0.25, 0.74))
        marks.append(Mark(heel, "accent", volume=0.6, clipped=True))
    if "side stripes" in details:
        for x in (0.36, 0.44, 0.52):
            marks.append(Mark(path((x, 0.72), (x + 0.055, 0.52)), "accent", width=0.038, clipped=True))
    if "swoosh" in details:
        wave = path((0.27, 0.55), (0.34, 0.72, 0.5, 0.68, 0.7, 0.56), (0.52, 0.78, 0.28, 0.8, 0.27, 0.55))
        marks.append(Mark(wave, "accent"))
    return marks


def _sneaker_sole(cut: str, fill: str) -> list[Mark]:
    thick = 0.13 if cut == "runner" else 0.085
    sole = path(
        (0.1, 0.71),
        (0.5, 0.735),
        (0.75, 0.735, 0.94, 0.7),
        (0.955, 0.75, 0.92, 0.71 + thick),
        (0.5, 0.725 + thick),
        (0.1, 0.71 + thick),
        (0.075, 0.76, 0.1, 0.71),
    )
    line = Mark(path((0.1, 0.735), (0.5, 0.757), (0.75, 0.757, 0.94, 0.722)), "shade", width=0.007)
    return [Mark(sole, fill, volume=0.5), line]


def boot(cut: str, details: Collection[str]) -> list[Mark]:
    """Chelsea, combat, knee-high, heeled; seen from the side, toe to the right."""
    top = {"chelsea": 0.27, "combat": 0.16, "knee-high": 0.05, "heeled": 0.24}[cut]
    lift = 0.1 if cut == "heeled" else 0.0  # the heel raises the back of the foot
    back = 0.79 - lift
    upper = path(
        (0.22, back),
        (0.2, back - 0.2, 0.22, top + 0.02),
        (0.36, top - 0.02, 0.52, top),
        (0.535, 0.45, 0.56, 0.53),
        (0.64, 0.6, 0.8, 0.62),
        (0.9, 0.65, 0.895, 0.79),
        (0.6, 0.79),
        (0.45, 0.79 - lift * 0.4, 0.4, back + 0.01),
    )
    marks = [Mark(ellipse(0.37, top + 0.005, 0.15, 0.022), "inside"), Mark(upper, "cloth", volume=1.0)]
    if "contrast toe" in details:
        toe = path((0.73, 0.612), (0.9, 0.63, 0.9, 0.7, 0.895, 0.8), (0.7, 0.8), (0.69, 0.7, 0.73, 0.612))
        marks.append(Mark(toe, "accent", volume=0.6, clipped=True))
    if cut == "chelsea":
        panel = path((0.33, top), (0.45, top - 0.005), (0.43, 0.5, 0.39, 0.58), (0.35, 0.5, 0.33, top))
        marks += [Mark(panel, "dark", volume=0.3), Mark(box(0.213, top - 0.035, 0.243, top + 0.06), "dark", volume=0.3)]
    if cut == "combat":
        marks += _boot_laces(top)
    return [
        *marks,
        *_boot_details(details, top),
        *_boot_sole(cut, lift, "accent" if "contrast sole" in details else "tread"),
    ]


def _boot_laces(top: float) -> list[Mark]:
    marks = []
    for y in np.linspace(top + 0.05, 0.56, 6):
        x = 0.5 + 0.11 * max(0.0, (y - 0.45) / 0.11)
        marks += [
            Mark(path((x + 0.02, y), (x - 0.09, y + 0.012)), "shade", width=0.026),
            Mark(path((x + 0.02, y - 0.006), (x - 0.09, y + 0.004)), "white", width=0.016),
        ]
    return marks


def _boot_details(details: Collection[str], top: float) -> list[Mark]:
    marks: list[Mark] = []
    if "contrast cuff" in details:
        marks.append(
            Mark(
                path((0.2, top - 0.02), (0.54, top - 0.035), (0.545, top + 0.09), (0.2, top + 0.1)),
                "accent",
                volume=0.9,
            )
        )
    if "buckle strap" in details:
        strap = path((0.2, 0.555), (0.4, 0.57, 0.585, 0.535), (0.61, 0.585), (0.4, 0.625, 0.2, 0.61))
        buckle = path((0.44, 0.55), (0.5, 0.545), (0.505, 0.615), (0.445, 0.62), (0.44, 0.55))
        marks += [Mark(strap, "accent", volume=0.4), Mark(buckle, "metal", width=0.014)]
    if "side zip" in details:
        line = path((0.32, top + 0.02), (0.32, 0.74))
        marks += [Mark(line, "accent", width=0.04), Mark(line, "metal", width=0.012)]
    return marks


def _boot_sole(cut: str, lift: float, fill: str) -> list[Mark]:
    if cut == "heeled":
        heel = path((0.21, 0.67), (0.4, 0.7), (0.36, 0.8, 0.335, 0.9), (0.24, 0.9), (0.23, 0.8, 0.21, 0.67))
        plate = path(
            (0.21, 0.685),
            (0.38, 0.7),
            (0.45, 0.77, 0.56, 0.785),
            (0.9, 0.78),
            (0.9, 0.82),
            (0.56, 0.825),
            (0.42, 0.79, 0.36, 0.73),
            (0.21, 0.71),
        )
        return [Mark(heel, fill, volume=0.6), Mark(plate, fill)]
    thick = 0.09 if cut == "combat" else 0.05
    plate = path(
        (0.2, 0.78),
        (0.905, 0.77),
        (0.915, 0.78 + thick),
        (0.47, 0.78 + thick),
        (0.44, 0.8 + thick / 2),
        (0.41, 0.81 + thick),
        (0.2, 0.82 + thick),
    )
    return [Mark(plate, fill, volume=0.3)]
