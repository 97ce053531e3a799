"""Clean-up of descriptions: chosen step by step, and shown before it is used."""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from lookalike.errors import SideError, did_you_mean

WORD = re.compile(r"[^\W_]+")
TAG = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>|</?[a-zA-Z][^<>]*>", re.DOTALL | re.IGNORECASE)
SIZE = re.compile(
    r"\b(?:[Ss]ize|SIZE|EU|UK|US)[ :]*(?:\d+(?:[.,]\d+)?|X{0,4}[SL]|M)\b"  # size 42, EU 38.5, Size: XL
    r"|\b[Pp]ack of \d+\b"
    r"|\b\d+(?:[.,]\d+)?(?: ?[xX×-] ?\d+(?:[.,]\d+)?)* ?(?:mm|cm|ml|cl|kg|inch(?:es)?|oz|lbs?|g|l|m)\b"  # 10 x 15 cm
    r"|\b(?:X{1,4}[SL]|[2-9]XL)\b"
    r"|(?<![\w'’&.-])[SML](?![\w'’&.-])"  # capitals that stand alone: not those of "H&M", "LEVI'S", "S.Oliver"
)
CODE = re.compile(r"\b(?=[A-Z-]*\d)(?=[\d-]*[A-Z])(?=[A-Z\d-]{5,})[A-Z\d]+(?:-[A-Z\d]+)*\b|\b\d{5,}\b")

#: A brand: a word that begins so many different texts, and is elsewhere in hardly any.
BRAND_TEXTS, BRAND_SHARE = 20, 0.9
#: Names of several words are found one word at a time.
BRAND_WORDS = 3


def words(text: str | None) -> list[str]:
    """The words of a text: lower case, punctuation dropped.

    >>> words("Red T-Shirt, 100% cotton!")
    ['red', 't', 'shirt', '100', 'cotton']
    """
    # One form of each letter: an "é" may be written as one sign or as two, of which the second is no letter.
    return WORD.findall(unicodedata.normalize("NFKC", text).lower()) if text else []


def without_html(text: str) -> str:
    """Tags dropped, entities read.

    >>> without_html("<b>Salt &amp; pepper</b><br>mill")
    'Salt & pepper mill'
    """
    return " ".join(html.unescape(TAG.sub(" ", text)).split()) if "<" in text or "&" in text else text


def without_sizes(text: str) -> str:
    """Sizes, weights and counts dropped: they tell apart what looks the same.

    >>> without_sizes("Wool sock EU 42, pack of 3")
    'Wool sock , '
    """
    return SIZE.sub("", text)


def without_codes(text: str) -> str:
    """Article numbers dropped: capitals with digits, 5 signs or more, and numbers of 5 digits or more.

    >>> without_codes("Desk lamp AB-1234X in steel")
    'Desk lamp  in steel'
    """
    return CODE.sub("", text)


def without_brands(text: str, brands: frozenset[str]) -> str:
    """The brand words a text begins with dropped; a text of nothing else stays.

    >>> without_brands("Puma Men Grey T-shirt", frozenset({"puma"}))
    'Men Grey T-shirt'
    """
    rest = text
    for _ in range(BRAND_WORDS):
        match = WORD.search(rest)
        if match is None or match.group().lower() not in brands:
            break
        rest = rest[match.end() :].lstrip()
    return rest if WORD.search(rest) else text


def find_brands(texts: Iterable[str | None]) -> frozenset[str]:
    """Words that begin at least 20 of these distinct texts and stand elsewhere in at most a ninth as many [ours].

    Titles of shops begin with the brand. Once it is dropped the next word begins the text, so that names of two and
    three words are found too.
    """
    lists = [found for found in map(words, texts) if found]
    brands: set[str] = set()
    for _ in range(BRAND_WORDS):
        anywhere = Counter(word for found in lists for word in set(found))
        first = Counter(found[0] for found in lists)
        new = {w for w, n in first.items() if n >= BRAND_TEXTS and n >= BRAND_SHARE * anywhere[w]} - brands
        if not new:
            break
        brands |= new
        lists = [found[1:] if found[0] in new else found for found in lists]
        lists = [found for found in lists if found]
    return frozenset(brands)


#: Steps by name; `brands` is learned from the texts first.
CLEANING: dict[str, Callable[[str], str]] = {"html": without_html, "sizes": without_sizes, "codes": without_codes}
STEPS = (*CLEANING, "brands")


@dataclass(frozen=True)
class Cleaning:
    """Some steps in their order, ready for any text.

    Attributes:
        steps: names out of "html", "sizes", "codes", "brands"; empty: texts stay as they are.
        brands: words dropped at the beginning of a text, where "brands" is a step.
    """

    steps: tuple[str, ...] = ()
    brands: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for step in self.steps:
            if step not in STEPS:
                raise SideError(f"there is no clean-up step {step!r}.{did_you_mean(step, STEPS)}")

    @classmethod
    def learn(cls, steps: Sequence[str], texts: Sequence[str | None]) -> "Cleaning":
        """The steps, with the brands these texts hold.

        Raises:
            SideError: there is no such step.
        """
        before = cls(tuple(step for step in steps if step != "brands"))
        brands = find_brands(map(before, dict.fromkeys(texts))) if "brands" in steps else frozenset()
        # Brands last: a text begins with its brand only when tags and codes are gone.
        return cls((*before.steps, *(["brands"] if "brands" in steps else [])), brands)

    def __call__(self, text: str | None) -> str | None:
        """The text without what the steps drop; None stays None."""
        if text is None:
            return None
        for step in self.steps:
            text = (CLEANING.get(step) or partial(without_brands, brands=self.brands))(text)
        return text
