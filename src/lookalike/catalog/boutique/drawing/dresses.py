"""How the demo shop draws dresses and skirts. All on the unit square."""

from collections.abc import Collection

import numpy as np

from lookalike.catalog.boutique.drawing.curves import Mark, Points, both_halves, both_sides, box, moved, path
from lookalike.catalog.boutique.drawing.parts import Torso, belt, bow, buttons, pocket, waistband


def dress(cut: str, details: Collection[str]) -> list[Mark]:
    """Slip with straps, A-line without sleeves, shift with short sleeves, long-sleeved maxi."""
    bottom, hem, waist = {
        "slip": (0.86, 0.16, 0.1),
        "a-line": (0.8, 0.28, 0.105),
        "shift": (0.8, 0.185, 0.155),
        "maxi": (0.95, 0.25, 0.105),
    }[cut]
    collar = "accent" if "contrast collar" in details else "rib"
    body = Torso(top=0.09, shoulder=0.14, chest=0.14, neck=0.075, arm=0.27, depth=0.1 if cut == "a-line" else 0.065)
    marks: list[Mark] = []
    if cut == "slip":
        marks += both_sides(Mark(path((0.585, 0.22), (0.57, 0.14, 0.55, 0.06)), "plain", width=0.015))
    elif cut == "shift":
        marks += body.sleeves(0.15, 50, 0.12, "cloth", collar)
    elif cut == "maxi":
        marks += body.sleeves(0.46, 74, 0.085, "cloth", collar)
    if cut != "slip":
        marks.append(body.front()[0])
    marks.append(Mark(_dress_outline(cut, body, bottom, hem, waist), "cloth", volume=1.0))
    marks += _skirt_folds(0.43, bottom, waist, hem)
    if cut != "slip":
        marks.append(body.collar_band(collar, 0.034 if "contrast collar" in details else 0.018))
    return marks + _dress_details(details, bottom, hem, waist)


def _dress_outline(cut: str, body: Torso, bottom: float, hem: float, waist: float) -> Points:
    """Bodice and skirt in one piece."""
    if cut == "slip":
        upper = [(0.5, 0.235), (0.55, 0.24, 0.585, 0.2), (0.62, 0.24, 0.625, 0.29)]
    else:
        upper = [
            (0.5, body.top + body.depth),
            *body.neckline()[len(body.neckline()) // 2 + 1 :],
            (0.64, 0.125),
            (0.615, 0.2, 0.64, 0.275),
        ]
    return both_halves(
        *upper,
        (0.63, 0.35, 0.5 + waist, 0.37, 0.5 + waist, 0.43),
        (0.5 + waist + 0.035, 0.52, 0.5 + hem - 0.02, bottom - 0.2, 0.5 + hem, bottom),
        (0.5 + hem / 2, bottom + 0.035, 0.5, bottom + 0.03),
    )


def _dress_details(details: Collection[str], bottom: float, hem: float, waist: float) -> list[Mark]:
    marks: list[Mark] = []
    if "hem band" in details:
        marks.append(Mark(_band(bottom, hem, hem - 0.012, 0.085), "accent", volume=0.3))
    if "belt" in details:
        marks += belt(0.405, waist + 0.004)
    if "sash bow" in details:
        marks += bow(0.5, 0.425, waist)
    if "buttoned front" in details:
        marks += [
            Mark(box(0.48, 0.2, 0.52, bottom + 0.03), "accent"),
            *buttons(0.25, bottom - 0.04, 7, fill="dark", radius=0.012),
        ]
    return marks


def skirt(cut: str, details: Collection[str]) -> list[Mark]:
    """Pencil, mini, pleated, tiered maxi."""
    top, bottom, waist, hip, hem = {
        "pencil": (0.12, 0.86, 0.135, 0.2, 0.155),
        "mini": (0.2, 0.76, 0.17, 0.25, 0.29),
        "pleated": (0.14, 0.84, 0.15, 0.24, 0.34),
        "tiered": (0.08, 0.92, 0.135, 0.22, 0.3),
    }[cut]
    outline = both_halves(
        (0.5, top + 0.01),
        (0.5 + waist, top),
        (0.5 + hip, top + 0.12, 0.5 + (hip + hem) / 2, top + 0.3, 0.5 + hem, bottom),
        (0.5 + hem / 2, bottom + 0.035, 0.5, bottom + 0.03),
    )
    marks = [Mark(outline, "cloth", volume=1.0)]
    if cut == "pleated":
        marks += _pleats(top, bottom, waist, hem)
    elif cut == "tiered":
        marks += _tiers(top, bottom, waist, hem)
    else:
        marks += _skirt_folds(top, bottom, waist, hem)
    if "hem band" in details:
        marks.append(Mark(_band(bottom, hem, hem - 0.012, 0.09), "accent", volume=0.3))
    if "buttoned front" in details:
        marks += [
            Mark(box(0.475, top + 0.05, 0.525, bottom + 0.03), "accent"),
            *buttons(top + 0.11, bottom - 0.06, 6, fill="dark", radius=0.014),
        ]
    if "contrast pockets" in details:
        marks += [
            *pocket(0.5 - waist * 0.62, top + 0.2, 0.12, 0.14, "accent"),
            *pocket(0.5 + waist * 0.62, top + 0.2, 0.12, 0.14, "accent"),
        ]
    marks.append(waistband(top, waist, "plain"))
    if "belt" in details:
        marks += belt(top + 0.004, waist + 0.006, height=0.055)
    if "sash bow" in details:
        marks += bow(0.5, top + 0.025, waist + 0.005)
    return marks


def _pleats(top: float, bottom: float, waist: float, hem: float) -> list[Mark]:
    """Knife pleats: a dark line and a light one beside it, from waist to hem."""
    marks = []
    for share in np.linspace(-0.88, 0.88, 9):
        fold = path((0.5 + share * waist, top + 0.05), (0.5 + share * hem, bottom + 0.028))
        marks += [Mark(fold, "shade", width=0.014), Mark(moved(fold, 0.016, 0), "light", width=0.012)]
    return marks


def _tiers(top: float, bottom: float, waist: float, hem: float) -> list[Mark]:
    """Gathered seams across, with short folds hanging from each."""
    marks = []
    for share in (0.36, 0.68):
        y, reach = top + share * (bottom - top), waist + (share**0.75) * (hem - waist)
        marks.append(
            Mark(both_halves((0.5, y + 0.02), (0.5 + reach / 2, y + 0.022, 0.5 + reach, y)), "shade", width=0.014)
        )
        for at in np.linspace(-0.85, 0.85, 9):
            x = 0.5 + at * reach
            marks.append(Mark(path((x, y + 0.02), (x + 0.03 * at, y + 0.17)), "fold", width=0.016))
    return marks


def _skirt_folds(top: float, bottom: float, narrow: float, wide: float) -> list[Mark]:
    """Soft folds that fan out from the waist."""
    marks = []
    for share in (-0.62, -0.2, 0.24, 0.66):
        start, end = 0.5 + share * narrow, 0.5 + share * wide
        fold = path((start, top + 0.06), (start, (top + bottom) / 2, end, bottom + 0.01))
        marks += [Mark(fold, "fold", width=0.016), Mark(moved(fold, 0.016, 0), "light", width=0.012)]
    return marks


def _band(bottom: float, wide: float, narrow: float, depth: float) -> Points:
    """A band at the lower edge of something that hangs."""
    return both_halves(
        (0.5, bottom + 0.03 - depth),
        (0.5 + narrow / 2, bottom + 0.035 - depth, 0.5 + narrow, bottom - depth),
        (0.5 + wide, bottom),
        (0.5 + wide / 2, bottom + 0.037, 0.5, bottom + 0.032),
    )
