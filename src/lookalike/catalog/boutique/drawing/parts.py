"""What several garments of the demo shop share: the torso with its sleeves, and sewn-on parts."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from lookalike.catalog.boutique.drawing.curves import (
    Mark,
    Points,
    both_halves,
    both_sides,
    box,
    ellipse,
    mirrored,
    moved,
    path,
)


@dataclass(frozen=True, slots=True)
class Torso:
    """Measures of a top as shares of the picture; widths are from the middle line."""

    top: float = 0.14
    bottom: float = 0.87
    shoulder: float = 0.185
    chest: float = 0.185
    waist: float = 0.18
    hem: float = 0.19
    arm: float = 0.38  # height of the armpit
    neck: float = 0.085
    depth: float = 0.075  # of the neckline
    pointed: bool = False  # a V instead of a round neckline
    slope: float = 0.045  # how far the shoulder falls
    scoop: float = 0.03  # how far the armhole is cut in

    def neckline(self) -> Points:
        """The front neckline, from the left shoulder to the right."""
        low = self.top + self.depth
        if self.pointed:
            right = path((0.5, low), (0.5 + self.neck * 0.75, low - self.depth * 0.55, 0.5 + self.neck, self.top))
        else:
            right = path((0.5, low), (0.5 + self.neck, low, 0.5 + self.neck, self.top))
        return np.vstack([mirrored(right), right])

    def front(self, fill: str = "cloth") -> list[Mark]:
        """The inside of the back, seen through the neckline, and the front."""
        tip_y, side = self.top + self.slope, 0.5 + self.chest
        outline = both_halves(
            (0.5, self.top + self.depth),
            *self.neckline()[len(self.neckline()) // 2 + 1 :],
            (0.5 + self.neck, self.top, 0.5 + self.shoulder, tip_y),
            (side - self.scoop, (tip_y + self.arm) / 2, side, self.arm),
            (side, self.arm + 0.1, 0.5 + self.waist, (self.arm + self.bottom) / 2 - 0.06, 0.5 + self.hem, self.bottom),
            (0.5 + self.hem / 2, self.bottom + 0.022, 0.5, self.bottom + 0.018),
        )
        back = both_halves(
            (0.5, self.top - 0.005),
            (0.5 + self.neck, self.top - 0.005),
            (0.5 + self.neck, self.top + self.depth),
            (0.5, self.top + self.depth + 0.03),
        )
        return [Mark(back, "inside"), Mark(outline, fill, volume=1.0)]

    def sleeves(self, length: float, angle_deg: float, cuff: float, fill: str = "cloth", band: str = "") -> list[Mark]:
        """Two sleeves from the shoulder tip, `cuff` wide at the end; `band` names the paint of a cuff."""
        tip = np.array([0.5 + self.shoulder, self.top + self.slope])
        armpit = np.array([0.5 + self.chest, self.arm])
        along = np.array([np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))])
        outward = np.array([along[1], -along[0]])
        outer = tip + along * length
        inner = outer - outward * cuff
        outline = path(
            tip - (0.05, 0.015),
            tip,
            (*(tip + along * length * 0.45 + outward * 0.02), *outer),
            inner,
            (*(0.55 * inner + 0.45 * armpit - outward * 0.015), *armpit),
            armpit - (0.06, 0.0),
        )
        marks = [Mark(outline, fill, volume=1.0, grain_deg=90 - angle_deg)]
        if band:
            depth = along * min(0.045, length * 0.25)
            wide = outward * 0.006
            cuff_outline = path(outer - depth + wide, outer + wide, inner - wide, inner - depth - wide)
            marks.append(Mark(cuff_outline, band, volume=0.6))
        return both_sides(*marks)

    def hem_band(self, fill: str, depth: float = 0.05) -> Mark:
        """A band along the lower edge."""
        width = self.hem + 0.003
        edge = both_halves(
            (0.5, self.bottom - depth + 0.018),
            (0.5 + width / 2, self.bottom - depth + 0.02, 0.5 + width, self.bottom - depth),
            (0.5 + width, self.bottom),
            (0.5 + width / 2, self.bottom + 0.024, 0.5, self.bottom + 0.02),
        )
        return Mark(edge, fill, volume=0.5, clipped=True)

    def collar_band(self, fill: str, width: float = 0.026) -> Mark:
        """A ribbed edge along the neckline."""
        return Mark(self.neckline(), fill, width=width)

    def placket(self, fill: str, end: float) -> list[Mark]:
        """The strip that holds the buttons, from the neckline down to `end`."""
        start = self.top + self.depth
        strip = box(0.478, start - 0.012, 0.522, end + 0.018)
        edges = [Mark(path((x, start), (x, end + 0.016)), "shade", width=0.006) for x in (0.478, 0.522)]
        return [Mark(strip, fill), *edges]


def buttons(
    top: float, bottom: float, count: int, x: float = 0.5, fill: str = "white", radius: float = 0.012
) -> list[Mark]:
    """A row of buttons, each with a rim of shade."""
    marks: list[Mark] = []
    for y in np.linspace(top, bottom, count):
        marks += [Mark(ellipse(x, y, radius + 0.005), "shade"), Mark(ellipse(x, y, radius), fill)]
    return marks


def zipper(top: float, bottom: float) -> list[Mark]:
    """A metal zip down the middle with its pull."""
    tape = Mark(path((0.5, top), (0.5, bottom)), "dark", width=0.022)
    teeth = Mark(path((0.5, top), (0.5, bottom)), "metal", width=0.01)
    return [tape, teeth, Mark(box(0.488, top, 0.512, top + 0.045), "metal")]


def pocket(x: float, y: float, width: float, height: float, fill: str = "cloth") -> list[Mark]:
    """A sewn-on pocket with a pointed bottom and a seam; x, y is its middle."""
    left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    outline = path((left, top), (right, top), (right, bottom - 0.02), (x, bottom), (left, bottom - 0.02))
    rim = np.vstack([outline, outline[:1]])
    return [
        Mark(outline, fill, volume=0.35),
        Mark(rim, "shade", width=0.009),
        Mark(moved(rim[:2], 0, 0.018), "shade", width=0.005),
    ]


def belt(y: float, reach: float, fill: str = "accent", height: float = 0.048) -> list[Mark]:
    """A belt across the middle with a buckle."""
    strap = both_halves((0.5, y), (0.5 + reach, y - 0.008), (0.5 + reach, y + height - 0.008), (0.5, y + height))
    buckle = path(
        (0.465, y - 0.006),
        (0.535, y - 0.006),
        (0.535, y + height + 0.006),
        (0.465, y + height + 0.006),
        (0.465, y - 0.006),
    )
    return [Mark(strap, fill, volume=0.4), Mark(buckle, "metal", width=0.013)]


def waistband(top: float, waist: float, fill: str) -> Mark:
    """A waistband, `waist` to either side."""
    return Mark(
        both_halves((0.5, top + 0.008), (0.5 + waist, top), (0.5 + waist + 0.006, top + 0.052), (0.5, top + 0.062)),
        fill,
        volume=0.4,
    )


def bow(x: float, y: float, reach: float) -> list[Mark]:
    """A sash around the waist, tied into a bow."""
    sash = box(x - reach, y - 0.018, x + reach, y + 0.018)
    loop = path(
        (x, y), (x + 0.05, y - 0.08, x + 0.12, y - 0.06, x + 0.11, y), (x + 0.12, y + 0.05, x + 0.05, y + 0.05, x, y)
    )
    tail = path(
        (x, y),
        (x + 0.05, y + 0.07, x + 0.05, y + 0.17),
        (x + 0.085, y + 0.15),
        (x + 0.08, y + 0.06, x + 0.02, y - 0.01),
    )
    knot = box(x - 0.017, y - 0.02, x + 0.017, y + 0.022)
    return [
        Mark(sash, "accent"),
        *both_sides(Mark(tail, "accent", volume=0.4), Mark(loop, "accent", volume=0.7)),
        Mark(knot, "accent", volume=0.8),
    ]


def graphic(kind: str, x: float, y: float, radius: float) -> list[Mark]:
    """A bold print in the accent color."""
    if kind == "star print":
        turns = np.radians(np.arange(10) * 36 - 90)
        reach = np.where(np.arange(10) % 2 == 0, 1.15, 0.5) * radius
        return [Mark(np.stack([x + reach * np.cos(turns), y + reach * np.sin(turns)], axis=1), "accent")]
    if kind == "heart print":
        half = path((0, 0.95), (0.55, 0.45, 1.15, -0.1, 0.95, -0.55), (0.75, -1.0, 0.1, -0.95, 0, -0.4)) * radius
        return [Mark(moved(np.vstack([half, half[::-1] * (-1, 1)]), x, y), "accent")]
    if kind == "ring print":
        return [Mark(ellipse(x, y, radius), "accent"), Mark(ellipse(x, y, radius * 0.58), "plain")]
    bolt = path((0.15, -1.1), (-0.6, 0.15), (-0.1, 0.15), (-0.25, 1.1), (0.6, -0.25), (0.1, -0.25), (0.45, -1.1))
    return [Mark(moved(bolt * radius, x, y), "accent")]


def prints(details: Collection[str], x: float = 0.5, y: float = 0.45, radius: float = 0.085) -> list[Mark]:
    """The bold print, if one of the details is one."""
    return [mark for detail in details if detail.endswith(" print") for mark in graphic(detail, x, y, radius)]
