"""What the demo shop sells: made-up products, none like another, many nearly so."""

from dataclasses import dataclass, replace

import numpy as np

from lookalike.catalog.boutique.drawing.fabric import PATTERNS

Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "black": (34, 34, 38),
    "white": (242, 241, 237),
    "gray": (140, 143, 148),
    "navy": (34, 46, 98),
    "blue": (38, 98, 196),
    "light blue": (138, 194, 232),
    "teal": (16, 132, 132),
    "green": (38, 138, 72),
    "olive": (114, 116, 54),
    "yellow": (248, 208, 60),
    "orange": (238, 120, 34),
    "red": (208, 36, 42),
    "burgundy": (120, 22, 54),
    "pink": (242, 152, 182),
    "purple": (114, 62, 162),
    "beige": (216, 192, 150),
    "brown": (116, 72, 42),
}


@dataclass(frozen=True, slots=True)
class Product:
    """One thing for sale. `accent` is its second color, seen in its pattern or in a detail."""

    number: int
    category: str
    cut: str
    color: str
    accent: str
    pattern: str
    details: tuple[str, ...]
    family: int = 0  # products of one family are near neighbors
    price: float = 0.0

    @property
    def id(self) -> str:
        """Its name in the catalog, the label of all its pictures."""
        return f"p{self.number:04d}"

    @property
    def looks(self) -> tuple[str, ...]:
        """All that can be told apart in a picture; no two products share it."""
        return (self.category, self.cut, self.color, self.accent, self.pattern, *self.details)


@dataclass(frozen=True, slots=True)
class Category:
    """What a kind of product comes in, and its usual price."""

    cuts: tuple[str, ...]
    details: tuple[str, ...]
    price: float


_PRINTS = ("star print", "heart print", "ring print", "bolt print")

CATEGORIES: dict[str, Category] = {
    "t-shirt": Category(
        ("crew neck", "v-neck", "long sleeve", "tank top"),
        ("contrast trim", "contrast sleeves", "hem band", "chest pocket", *_PRINTS),
        19.0,
    ),
    "shirt": Category(
        ("classic", "short sleeve", "band collar"),
        ("contrast collar", "contrast placket", "contrast yoke", "chest pockets"),
        39.0,
    ),
    "sweater": Category(
        ("crew neck", "turtleneck", "vest", "cardigan"),
        ("contrast trim", "contrast sleeves", "chest band", *_PRINTS),
        55.0,
    ),
    "hoodie": Category(
        ("pullover", "zip-up", "cropped", "sleeveless"),
        ("contrast trim", "contrast sleeves", "contrast hood", "contrast pocket", *_PRINTS),
        49.0,
    ),
    "coat": Category(
        ("trench", "duffle", "puffer", "blazer"),
        ("contrast collar", "contrast cuffs", "contrast pockets", "belt"),
        129.0,
    ),
    "dress": Category(
        ("slip", "a-line", "shift", "maxi"), ("contrast collar", "hem band", "belt", "sash bow", "buttoned front"), 69.0
    ),
    "skirt": Category(
        ("pencil", "mini", "pleated", "tiered"),
        ("hem band", "belt", "sash bow", "buttoned front", "contrast pockets"),
        42.0,
    ),
    "trousers": Category(
        ("straight", "skinny", "wide-leg", "jogger"),
        ("side stripe", "turn-ups", "cargo pockets", "knee patches", "contrast waistband", "belt"),
        52.0,
    ),
    "shorts": Category(
        ("chino", "athletic", "bermuda"),
        ("side stripe", "turn-ups", "cargo pockets", "contrast waistband", "belt"),
        32.0,
    ),
    "bag": Category(
        ("tote", "satchel", "backpack", "bucket"),
        ("contrast straps", "contrast flap", "contrast base", "front pocket", "tassel", "star print", "heart print"),
        64.0,
    ),
    "sneaker": Category(
        ("low-top", "high-top", "slip-on", "runner"),
        ("contrast sole", "contrast toe", "contrast heel", "side stripes", "swoosh"),
        72.0,
    ),
    "boot": Category(
        ("chelsea", "combat", "knee-high", "heeled"),
        ("contrast sole", "contrast toe", "contrast cuff", "buckle strap", "side zip"),
        98.0,
    ),
    "hat": Category(
        ("cap", "bucket hat", "beanie", "sun hat"), ("contrast brim", "contrast band", "pompom", *_PRINTS), 24.0
    ),
}

# What cannot be drawn, or would not be seen: the cut has no such part.
_IMPOSSIBLE = {
    ("t-shirt", "tank top", "contrast sleeves"),
    ("sweater", "vest", "contrast sleeves"),
    ("hoodie", "sleeveless", "contrast sleeves"),
    ("hoodie", "cropped", "contrast pocket"),
    ("dress", "slip", "contrast collar"),
    ("trousers", "jogger", "turn-ups"),
    ("bag", "tote", "contrast flap"),
    ("hat", "sun hat", "pompom"),
    ("hat", "sun hat", "star print"),
    ("hat", "sun hat", "heart print"),
    ("hat", "sun hat", "ring print"),
    ("hat", "sun hat", "bolt print"),
    ("hat", "bucket hat", "pompom"),
    ("hat", "cap", "pompom"),
}
# Where these sit, a two-tone cloth is the accent color already.
_LOW_DETAILS = (
    *("hem band", "contrast base", "turn-ups", "knee patches", "cargo pockets", "contrast pocket", "contrast pockets"),
    *("contrast toe", "front pocket", "swoosh", "side stripes", "contrast band", "chest band"),
    *("tassel", "contrast flap", "contrast brim"),
)
_TWO_TONE = ("color block", "ombre")
# Details that would hide one another, or share one place.
_RIVALS = (
    {"belt", "contrast waistband"},
    {"belt", "sash bow"},
    {"belt", "contrast pockets"},
    {"sash bow", "contrast pockets"},
    {"cargo pockets", "knee patches"},
    {"chest band", "contrast sleeves"},
    {"contrast flap", "front pocket"},
    {"side stripes", "swoosh"},
    {"chest pocket", "print"},
    {"chest band", "print"},
    {"front pocket", "print"},
    {"contrast flap", "print"},
    {"contrast band", "print"},
)
FAMILY_SIZE = 4
_MAX_TRIES = 1000


def make_products(num_products: int, seed: int) -> list[Product]:
    """Products in families of four: a fresh look, then three that change one thing of it.

    Each product has random numbers of its own, so a longer list begins with the shorter one.
    """
    products: list[Product] = []
    taken: set[tuple[str, ...]] = set()
    for number in range(num_products):
        rng = np.random.default_rng([seed, 1, number])
        parent = products[number - number % FAMILY_SIZE] if number % FAMILY_SIZE else None
        product = _unlike(taken, number, parent, rng)
        taken.add(product.looks)
        products.append(product)
    return products


def _unlike(taken: set[tuple[str, ...]], number: int, parent: Product | None, rng: np.random.Generator) -> Product:
    """A product whose looks nothing else has."""
    for _ in range(_MAX_TRIES):
        product = _variation(parent, number, rng) if parent else _fresh(number, rng)
        if product.looks not in taken:
            return product
    raise RuntimeError(f"no unused look found for product {number} in {_MAX_TRIES} tries")


def _fresh(number: int, rng: np.random.Generator) -> Product:
    """A look of its own; categories take turns, so that each has its share."""
    family = number // FAMILY_SIZE
    category = list(CATEGORIES)[family % len(CATEGORIES)]
    cut = _pick(rng, CATEGORIES[category].cuts)
    color = _pick(rng, tuple(COLORS))
    pattern = _pick(rng, tuple(PATTERNS))
    details = _pick_details(possible_details(category, cut, pattern), rng)
    price = _price(CATEGORIES[category].price, rng)
    return Product(number, category, cut, color, _pick(rng, _standing_out(color)), pattern, details, family, price)


def _variation(parent: Product, number: int, rng: np.random.Generator) -> Product:
    """A near neighbor: one thing is different, and the details only as far as it makes them impossible."""
    product = replace(parent, number=number, price=_price(CATEGORIES[parent.category].price, rng))
    change = _pick(rng, ("pattern", "pattern", "color", "cut", "accent", "details"))
    if change == "pattern":
        product = replace(product, pattern=_pick(rng, tuple(PATTERNS)))
    elif change == "color":
        product = replace(product, color=_pick(rng, _standing_out(parent.accent)))
    elif change == "cut":
        product = replace(product, cut=_pick(rng, CATEGORIES[parent.category].cuts))
    elif change == "accent":
        product = replace(product, accent=_pick(rng, _standing_out(parent.color)))
    possible = possible_details(product.category, product.cut, product.pattern)
    if change == "details" or not set(product.details) <= set(possible):
        product = replace(product, details=_pick_details(possible, rng))
    return product


def possible_details(category: str, cut: str, pattern: str) -> list[str]:
    """The details that this cut has a place for, and that are seen on this pattern."""
    possible = [detail for detail in CATEGORIES[category].details if (category, cut, detail) not in _IMPOSSIBLE]
    if pattern in _TWO_TONE:
        possible = [detail for detail in possible if detail not in _LOW_DETAILS]
    if pattern not in ("solid", "melange"):  # a print is lost on a busy cloth
        possible = [detail for detail in possible if not detail.endswith(" print")]
    return possible


def _pick_details(possible: list[str], rng: np.random.Generator) -> tuple[str, ...]:
    """One or two details where any is possible; all show the accent color, so that even a solid product has it."""
    wanted = [str(detail) for detail in rng.permutation(possible)[: rng.integers(1, 3)]]
    kinds = {"print" if detail.endswith(" print") else detail for detail in wanted}
    if len(kinds) < len(wanted) or kinds in _RIVALS:
        wanted.pop()
    return tuple(sorted(wanted))


def _standing_out(color: str) -> tuple[str, ...]:
    """The colors that differ clearly from this one."""
    base = np.array(COLORS[color])
    return tuple(name for name, rgb in COLORS.items() if np.abs(base - rgb).sum() > 210)


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]


def _price(usual: float, rng: np.random.Generator) -> float:
    """Around the usual price, ending as shop prices do."""
    return float(round(usual * rng.uniform(0.6, 1.7))) - _ENDINGS[rng.integers(len(_ENDINGS))]


_ENDINGS = (0.01, 0.05, 0.1, 0.5, 1.0)
