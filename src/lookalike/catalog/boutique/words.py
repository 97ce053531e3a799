"""How the demo shop describes its products: many words for one thing, some left out, some misspelt."""

import numpy as np

from lookalike.catalog.boutique.products import Product

CATEGORY_WORDS: dict[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tee", "jersey top", "tshirt"),
    "shirt": ("shirt", "button-up", "blouse"),
    "sweater": ("sweater", "jumper", "pullover knit", "knitwear"),
    "hoodie": ("hoodie", "hooded sweatshirt", "sweat with hood"),
    "coat": ("coat", "jacket", "outerwear"),
    "dress": ("dress", "frock", "gown"),
    "skirt": ("skirt", "skirts"),
    "trousers": ("trousers", "pants", "slacks"),
    "shorts": ("shorts", "short pants", "bermudas"),
    "bag": ("bag", "handbag", "carryall"),
    "sneaker": ("sneaker", "sneakers", "trainers", "sports shoe"),
    "boot": ("boot", "boots", "bootie"),
    "hat": ("hat", "headwear", "hats"),
}

# Other ways to say a cut, color, pattern or detail; a value that is not here is called by its own name.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "crew neck": ("crew neck", "round neck", "crewneck"),
    "v-neck": ("v-neck", "vneck", "v neckline"),
    "long sleeve": ("long sleeve", "longsleeve", "long-sleeved"),
    "tank top": ("tank top", "sleeveless", "racer vest"),
    "classic": ("classic collar", "long sleeved", "classic fit"),
    "short sleeve": ("short sleeve", "short-sleeved", "half sleeve"),
    "band collar": ("band collar", "grandad collar", "tunic"),
    "vest": ("vest", "slipover", "sleeveless"),
    "turtleneck": ("turtleneck", "roll neck", "high neck"),
    "cardigan": ("cardigan", "buttoned cardigan", "cardi"),
    "pullover": ("pullover", "over the head"),
    "zip-up": ("zip-up", "full zip", "zipped"),
    "cropped": ("cropped", "crop length", "short cut"),
    "sleeveless": ("sleeveless", "no sleeves", "gilet style"),
    "trench": ("trench", "double-breasted trench", "trenchcoat style"),
    "duffle": ("duffle", "toggle", "duffel"),
    "puffer": ("puffer", "quilted", "padded"),
    "blazer": ("blazer", "tailored lapels", "blazer style"),
    "slip": ("slip", "spaghetti straps", "strappy"),
    "a-line": ("a-line", "flared", "fit and flare"),
    "shift": ("shift", "straight cut", "short sleeved shift"),
    "maxi": ("maxi", "long", "full length"),
    "pencil": ("pencil", "narrow", "slim midi"),
    "mini": ("mini", "short"),
    "pleated": ("pleated", "with pleats", "plisse"),
    "tiered": ("tiered", "prairie style", "ruffle tiers"),
    "straight": ("straight", "straight leg", "regular fit"),
    "skinny": ("skinny", "slim fit", "tight"),
    "wide-leg": ("wide-leg", "wide leg", "palazzo"),
    "jogger": ("jogger", "cuffed", "drawstring jogger"),
    "chino": ("chino", "tailored", "city"),
    "athletic": ("athletic", "running", "sporty"),
    "bermuda": ("knee length", "long", "bermuda"),
    "tote": ("tote", "shopper"),
    "satchel": ("satchel", "flap", "shoulder"),
    "backpack": ("backpack", "rucksack", "daypack"),
    "bucket": ("bucket", "drawstring bucket", "pouch"),
    "low-top": ("low-top", "low cut", "court"),
    "high-top": ("high-top", "hightop", "ankle high"),
    "slip-on": ("slip-on", "laceless", "no laces"),
    "runner": ("runner", "running", "chunky sole"),
    "chelsea": ("chelsea", "elastic panel", "ankle"),
    "combat": ("combat", "lace-up", "worker"),
    "knee-high": ("knee-high", "tall", "knee length"),
    "heeled": ("heeled", "block heel", "with heel"),
    "cap": ("cap", "baseball cap", "dad cap"),
    "bucket hat": ("bucket hat", "fisherman"),
    "beanie": ("beanie", "knit cap", "woolly"),
    "sun hat": ("sun hat", "wide brim", "floppy"),
    "black": ("black", "jet black", "noir"),
    "white": ("white", "off-white", "ivory white"),
    "gray": ("gray", "grey", "stone gray"),
    "navy": ("navy", "dark blue", "midnight"),
    "blue": ("blue", "royal blue", "cobalt"),
    "light blue": ("light blue", "sky blue", "baby blue"),
    "teal": ("teal", "petrol", "sea green"),
    "green": ("green", "grass green", "emerald"),
    "olive": ("olive", "khaki", "army green"),
    "yellow": ("yellow", "lemon", "sunny yellow"),
    "orange": ("orange", "tangerine"),
    "red": ("red", "scarlet", "cherry red"),
    "burgundy": ("burgundy", "wine red", "maroon"),
    "pink": ("pink", "rose", "blush pink"),
    "purple": ("purple", "violet"),
    "beige": ("beige", "sand", "camel"),
    "brown": ("brown", "chocolate", "tan brown"),
    "solid": ("solid", "plain", "one color"),
    "striped": ("striped", "breton stripes", "horizontal stripes"),
    "pinstriped": ("pinstriped", "vertical stripes", "pinstripe"),
    "diagonal": ("diagonal stripes", "slanted stripes", "bias stripe"),
    "gingham": ("gingham", "vichy check", "small check"),
    "tartan": ("tartan", "plaid", "highland check"),
    "dotted": ("dotted", "polka dots", "spots"),
    "floral": ("floral", "flowers", "flower print"),
    "zigzag": ("zigzag", "chevron", "zig-zag"),
    "color block": ("color block", "two-tone", "colour blocking"),
    "ombre": ("ombre", "gradient", "dip dye"),
    "melange": ("melange", "heather", "marl"),
    "camouflage": ("camouflage", "camo"),
    "leopard": ("leopard", "animal print", "leo print"),
    "contrast trim": ("contrast trim", "trimmed edges", "contrasting edges"),
    "contrast sleeves": ("contrast sleeves", "raglan look", "other color sleeves"),
    "sash bow": ("sash bow", "bow at waist", "ribbon"),
    "belt": ("belt", "with belt", "belted"),
    "turn-ups": ("turn-ups", "rolled hem", "cuffed hem"),
    "cargo pockets": ("cargo pockets", "utility pockets"),
    "side stripe": ("side stripe", "racing stripe"),
    "side stripes": ("side stripes", "three bars"),
    "contrast sole": ("contrast sole", "bright sole"),
    "buttoned front": ("buttoned front", "button placket"),
}
_OPENINGS = ("", "", "", "new: ", "SALE ", "NEW IN - ", "bestseller ", "unisex ", "** ")
_CLOSINGS = ("", "", "", " machine wash.", " last pieces!", " free returns", " true to size", " see size chart")
_ACCENT_TEMPLATES = ("with {}", "/ {}", "and {}", "w/ {}")
_SYLLABLES = ("ve", "lo", "ra", "mi", "ko", "sun", "tar", "bel", "no", "fi", "ren", "da", "os", "lin", "pra")


def describe(product: Product, rng: np.random.Generator) -> str:
    """One written description, as informative and as careless as a busy shop would write it."""
    phrases = _phrases(product, rng)
    if rng.random() < 0.5:  # the usual order is the first; otherwise any
        phrases = [phrases[i] for i in rng.permutation(len(phrases))]
    if rng.random() < 0.6:
        phrases.insert(0, _brand(product))
    text = (", " if rng.random() < 0.3 else " ").join(phrases)
    if rng.random() < 0.2:
        text = _misspelt(text, rng)
    if rng.random() < 0.35:
        text += f" (art. {rng.integers(1000, 10000)}-{rng.integers(10, 100)})"
    return f"{_one(rng, _OPENINGS)}{text}{_one(rng, _CLOSINGS)}"


def _phrases(product: Product, rng: np.random.Generator) -> list[str]:
    """What is said of the product; each part but the category is forgotten now and then."""
    accent = _one(rng, _ACCENT_TEMPLATES).format(_named(product.accent, rng))
    parts = [
        (_named(product.color, rng), 0.93),
        (accent, 0.75),
        (_named(product.pattern, rng), 0.9 if product.pattern != "solid" else 0.5),
        (_named(product.cut, rng), 0.85),
        (_one(rng, CATEGORY_WORDS[product.category]), 1.0),
    ]
    parts += [(_named(detail, rng), 0.75) for detail in product.details]
    return [phrase for phrase, share in parts if rng.random() < share]


def _named(value: str, rng: np.random.Generator) -> str:
    """The usual word in most cases, else one of the synonyms."""
    words = SYNONYMS.get(value, (value,))
    return words[0] if rng.random() < 0.45 else _one(rng, words)


def _one(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]


def _brand(product: Product) -> str:
    """An invented name; one brand makes products of every look, so it says nothing of them."""
    first, second = product.number * 7 % len(_SYLLABLES), product.number * 11 // 4 % len(_SYLLABLES)
    return (_SYLLABLES[first] + _SYLLABLES[second]).capitalize()


def _misspelt(text: str, rng: np.random.Generator) -> str:
    """Two neighboring characters swapped, or one lost."""
    at = int(rng.integers(1, len(text) - 1))
    if rng.random() < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]
