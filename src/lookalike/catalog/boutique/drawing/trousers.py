"""How the demo shop draws trousers and shorts. All on the unit square."""

from collections.abc import Collection

from lookalike.catalog.boutique.drawing.curves import Mark, Points, both_sides, box, path
from lookalike.catalog.boutique.drawing.parts import belt, pocket, waistband


def trousers(cut: str, details: Collection[str]) -> list[Mark]:
    """Straight, skinny, wide-leg, jogger."""
    knee, ankle = {
        "straight": (0.125, 0.115),
        "skinny": (0.095, 0.06),
        "wide-leg": (0.165, 0.19),
        "jogger": (0.125, 0.065),
    }[cut]
    leg = _leg(0.06, 0.15, 0.94, ankle, knee)
    marks = both_sides(Mark(leg, "cloth", volume=1.0))
    marks += _trouser_seams(0.06, 0.15)
    marks += both_sides(*_leg_details(details, 0.94, ankle, knee))
    if cut == "jogger":
        marks += both_sides(Mark(box(0.535, 0.895, 0.535 + ankle + 0.03, 0.95), "rib", volume=0.6))
        marks += both_sides(Mark(path((0.512, 0.1), (0.53, 0.17, 0.522, 0.22)), "white", width=0.013))
    if "contrast waistband" in details:
        marks.append(waistband(0.06, 0.152, "accent"))
    elif "belt" in details:
        marks += belt(0.064, 0.156, height=0.045)
    else:
        marks.append(waistband(0.06, 0.152, "plain"))
    return marks


def _leg(top: float, waist: float, bottom: float, ankle: float, knee: float) -> Points:
    """The right leg with its half of the hips."""
    inner = 0.535
    middle = (top + 0.3 + bottom) / 2
    return path(
        (0.5, top),
        (0.5 + waist, top),
        (0.5 + waist + 0.045, top + 0.13, 0.5 + waist + 0.035, top + 0.24),
        (0.5 + knee + 0.065, middle, inner + ankle + 0.012, bottom),
        (inner + ankle / 2, bottom + 0.014, inner, bottom),
        (0.527, middle, 0.508, top + 0.3),
        (0.5, top + 0.29),
    )


def _trouser_seams(top: float, waist: float) -> list[Mark]:
    """Middle seam, fly and slanted pockets."""
    seam = Mark(path((0.5, top + 0.05), (0.5, top + 0.3)), "shade", width=0.009)
    fly = Mark(path((0.53, top + 0.05), (0.532, top + 0.16, 0.502, top + 0.19)), "shade", width=0.006)
    slant = Mark(
        path((0.5 + waist * 0.55, top + 0.055), (0.5 + waist * 0.75, top + 0.14, 0.5 + waist + 0.028, top + 0.15)),
        "shade",
        width=0.009,
    )
    return [seam, fly, *both_sides(slant)]


def _leg_details(details: Collection[str], bottom: float, ankle: float, knee: float) -> list[Mark]:
    """What the right leg carries."""
    marks: list[Mark] = []
    if "side stripe" in details:
        stripe = path(
            (0.667, 0.13),
            (0.68, 0.19, 0.667, 0.3),
            (0.5 + knee + 0.05, (0.36 + bottom) / 2, 0.53 + ankle - 0.012, bottom),
        )
        marks.append(Mark(stripe, "accent", width=0.04, clipped=True))
    if "turn-ups" in details:
        marks.append(
            Mark(
                path(
                    (0.53, bottom - 0.075),
                    (0.553 + ankle, bottom - 0.08),
                    (0.555 + ankle, bottom + 0.008),
                    (0.53, bottom + 0.01),
                ),
                "accent",
                volume=0.5,
            )
        )
    if "cargo pockets" in details:
        marks += pocket(0.605 + (knee - 0.1) * 0.4, 0.52, 0.115, 0.15, "accent")
    if "knee patches" in details:
        marks.append(Mark(box(0.53, 0.57, 0.545 + knee * 0.8, 0.7), "accent", volume=0.3, clipped=True))
    return marks


def shorts(cut: str, details: Collection[str]) -> list[Mark]:
    """Chino, athletic, bermuda."""
    bottom, width = {"chino": (0.7, 0.2), "athletic": (0.6, 0.235), "bermuda": (0.84, 0.185)}[cut]
    top, waist, inner = 0.18, 0.19, 0.53
    outer = inner + width
    slit = [(outer - 0.05, bottom + 0.02), (outer - 0.015, bottom - 0.09)] if cut == "athletic" else []
    leg = path(
        (0.5, top),
        (0.5 + waist, top),
        (0.5 + waist + 0.05, top + 0.14, outer + 0.005, bottom - 0.1),
        (outer + 0.012, bottom),
        *slit,
        (inner + width / 2, bottom + 0.025, inner, bottom + 0.012),
        (0.512, top + 0.32),
        (0.5, top + 0.3),
    )
    marks = [*both_sides(Mark(leg, "cloth", volume=1.0)), *_trouser_seams(top, waist)]
    marks += both_sides(*_shorts_details(details, bottom, outer))
    marks.append(waistband(top, waist + 0.002, "accent" if "contrast waistband" in details else "plain"))
    if cut == "athletic":
        marks += both_sides(
            Mark(path((0.51, top + 0.05), (0.535, top + 0.12, 0.522, top + 0.18)), "white", width=0.015)
        )
    return marks + (belt(top + 0.004, waist + 0.006) if "belt" in details else [])


def _shorts_details(details: Collection[str], bottom: float, outer: float) -> list[Mark]:
    marks: list[Mark] = []
    if "side stripe" in details:
        marks.append(
            Mark(
                path((0.69, 0.235), (0.725, 0.33, outer - 0.018, bottom - 0.1), (outer - 0.012, bottom)),
                "accent",
                width=0.045,
                clipped=True,
            )
        )
    if "turn-ups" in details:
        marks.append(
            Mark(
                path(
                    (0.526, bottom - 0.07),
                    (outer + 0.014, bottom - 0.082),
                    (outer + 0.018, bottom),
                    (0.526, bottom + 0.014),
                ),
                "accent",
                volume=0.5,
            )
        )
    if "cargo pockets" in details:
        marks += pocket(outer - 0.085, bottom - 0.15, 0.12, 0.14, "accent")
    return marks
