"""How the demo shop draws t-shirts, shirts, sweaters and hoodies. All on the unit square."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from lookalike.catalog.boutique.drawing.curves import Mark, Points, both_halves, both_sides, box, ellipse, path
from lookalike.catalog.boutique.drawing.parts import Torso, buttons, pocket, prints, zipper


def t_shirt(cut: str, details: Collection[str]) -> list[Mark]:
    """Crew neck, V-neck, long sleeves, tank top."""
    trim = "accent" if "contrast trim" in details else "rib"
    sleeve = "accent" if "contrast sleeves" in details else "cloth"
    if cut == "tank top":
        body = Torso(shoulder=0.14, chest=0.185, neck=0.085, depth=0.15, top=0.11, slope=0.01, arm=0.42, scoop=0.065)
        edge = path((0.632, 0.122), (0.613, 0.27, 0.678, 0.415))
        marks = [*body.front(), *both_sides(Mark(edge, trim, width=0.022, clipped=True))]
    elif cut == "long sleeve":
        body = Torso()
        marks = [*body.sleeves(0.56, 73, 0.075, sleeve, trim), *body.front()]
    elif cut == "v-neck":
        body = Torso(pointed=True, depth=0.24, neck=0.105, chest=0.175, waist=0.135, hem=0.185)
        marks = [*body.sleeves(0.13, 38, 0.13, sleeve, trim), *body.front()]
    else:
        body = Torso()
        marks = [*body.sleeves(0.19, 43, 0.145, sleeve, trim), *body.front()]
    marks.append(body.collar_band(trim))
    if "hem band" in details:
        marks.append(body.hem_band("accent", depth=0.1))
    if "chest pocket" in details:
        marks += pocket(0.59, 0.42, 0.12, 0.13, "accent")
    return marks + prints(details, y=0.5, radius=0.1)


def shirt(cut: str, details: Collection[str]) -> list[Mark]:
    """Classic and short-sleeved with a pointed collar; or a long tunic with a band collar and half a placket."""
    collar = "accent" if "contrast collar" in details else "plain"
    body = Torso(waist=0.17, depth=0.06, neck=0.075, bottom=0.86)
    if cut == "short sleeve":
        marks = [*body.sleeves(0.22, 47, 0.15, "cloth", collar), *body.front()]
    elif cut == "band collar":
        body = replace(body, bottom=0.95, waist=0.175, hem=0.22)
        marks = [*body.sleeves(0.42, 66, 0.11, "cloth", collar), *body.front()]
    else:
        marks = [*body.sleeves(0.57, 75, 0.07, "cloth", collar), *body.front()]
    if "contrast yoke" in details:
        marks.append(Mark(_yoke(body), "accent", volume=0.3, clipped=True))
    end = 0.52 if cut == "band collar" else body.bottom
    marks += body.placket("accent" if "contrast placket" in details else "cloth", end)
    if cut == "band collar":
        marks.append(body.collar_band(collar, width=0.04))
    else:
        marks += _pointed_collar(body, collar)
    paint = "dark" if "contrast placket" in details else "white"
    marks += buttons(0.28, end - 0.06, 3 if cut == "band collar" else 6, fill=paint)
    if "chest pockets" in details:
        marks += [*pocket(0.4, 0.42, 0.11, 0.12, "accent"), *pocket(0.6, 0.42, 0.11, 0.12, "accent")]
    return marks


def _yoke(body: Torso) -> Points:
    """The piece over the shoulders, down to the upper chest."""
    return both_halves(
        (0.5, body.top + body.depth),
        *body.neckline()[len(body.neckline()) // 2 + 1 :],
        (0.5 + body.shoulder, body.top + body.slope),
        (0.5 + body.chest - 0.022, 0.27),
        (0.56, 0.29, 0.5, 0.31),
    )


def _pointed_collar(body: Torso, fill: str) -> list[Mark]:
    """Two collar leaves that meet at the top button."""
    low = body.top + body.depth
    leaf = path(
        (0.5, low + 0.012),
        (0.5 + body.neck * 0.9, body.top + 0.03, 0.5 + body.neck * 0.86, body.top - 0.022),
        (0.5 + body.neck + 0.03, body.top + 0.02),
        (0.5 + body.neck + 0.012, low + 0.035),
        (0.55, low + 0.062),
    )
    rim = Mark(np.vstack([leaf[-3:], leaf[:1]]), "shade", width=0.007)
    return both_sides(Mark(leaf, fill, volume=0.5), rim)


def sweater(cut: str, details: Collection[str]) -> list[Mark]:
    """Crew neck, turtleneck, sleeveless vest, cardigan; ribbed at every edge."""
    trim = "accent" if "contrast trim" in details else "rib"
    pointed = cut in ("cardigan", "vest")
    body = Torso(
        pointed=pointed,
        depth=0.22 if cut == "cardigan" else 0.17 if pointed else 0.06,
        shoulder=0.195,
        chest=0.205,
        waist=0.21,
        hem=0.195,
        bottom=0.83,
        arm=0.4,
    )
    sleeve = "accent" if "contrast sleeves" in details else "cloth"
    marks = [] if cut == "vest" else body.sleeves(0.55, 72, 0.085, sleeve, trim)
    marks += [*body.front(), body.hem_band(trim, 0.06)]
    if "chest band" in details:
        marks += [Mark(box(0.5 - body.chest + 0.004, 0.43, 0.5 + body.chest - 0.004, 0.53), "accent", clipped=True)]
        marks += [Mark(ellipse(x, 0.48, 0.022), "plain") for x in np.linspace(0.33, 0.67, 6)]
    if cut == "turtleneck":
        roll = both_halves((0.5, 0.06), (0.585, 0.06), (0.6, 0.1, 0.592, 0.185), (0.55, 0.22, 0.5, 0.22))
        marks.append(Mark(roll, trim, volume=0.9))
    else:
        marks.append(body.collar_band(trim, width=0.036))
    if cut == "cardigan":
        marks += [
            Mark(box(0.48, body.top + body.depth, 0.52, body.bottom + 0.018), trim),
            *buttons(0.4, 0.8, 5, fill="dark", radius=0.015),
        ]
    return marks + prints(
        details, y=0.55 if cut != "cardigan" else 0.5, x=0.5 if cut != "cardigan" else 0.61, radius=0.07
    )


def hoodie(cut: str, details: Collection[str]) -> list[Mark]:
    """Pullover, zip-up, cropped, sleeveless; a hood behind the neck and cords before it."""
    trim = "accent" if "contrast trim" in details else "rib"
    hood = "accent" if "contrast hood" in details else "plain"
    sleeve = "accent" if "contrast sleeves" in details else "cloth"
    bottom = 0.66 if cut == "cropped" else 0.85
    body = Torso(shoulder=0.2, chest=0.205, waist=0.21, hem=0.2, bottom=bottom, top=0.2, depth=0.07, neck=0.1, arm=0.43)
    marks = [] if cut == "sleeveless" else body.sleeves(0.52, 73, 0.085, sleeve, trim)
    back_of_hood = both_halves((0.5, 0.045), (0.62, 0.04, 0.69, 0.14, 0.655, 0.245), (0.56, 0.3), (0.5, 0.3))
    marks += [Mark(back_of_hood, hood, volume=1.0), *body.front()[1:], body.hem_band(trim, 0.055)]
    opening = both_halves((0.5, 0.1), (0.58, 0.1, 0.61, 0.17, 0.585, 0.225), (0.56, 0.27, 0.5, 0.285))
    edge = both_halves((0.5, 0.075), (0.6, 0.075, 0.65, 0.17, 0.615, 0.24), (0.57, 0.3, 0.5, 0.32))
    marks += [Mark(edge, hood, volume=0.7), Mark(opening, "inside")]
    if cut == "zip-up":
        marks += zipper(0.3, bottom + 0.015)
    else:
        cord = path((0.55, 0.285), (0.56, 0.36, 0.548, 0.42))
        marks += both_sides(Mark(cord, "accent" if trim == "accent" else "white", width=0.014))
    if cut != "cropped":
        kangaroo = both_halves((0.5, 0.62), (0.57, 0.62), (0.625, 0.72), (0.625, 0.785), (0.5, 0.795))
        fill = "accent" if "contrast pocket" in details else "cloth"
        marks += [Mark(kangaroo, fill, volume=0.4), Mark(np.vstack([kangaroo, kangaroo[:1]]), "shade", width=0.008)]
    if cut == "zip-up":
        return [*marks, *zipper(0.3, bottom + 0.015), *prints(details, x=0.6, y=0.48, radius=0.065)]
    return marks + prints(details, y=0.5, radius=0.075)
