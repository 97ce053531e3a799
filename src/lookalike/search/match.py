"""One result of a search."""

from dataclasses import dataclass
from typing import Any

LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True, repr=False)
class Match:
    """An item that looks like the query."""

    #: 1 is the best
    rank: int
    item_id: str
    #: cosine similarity to the query, -1..1
    score: float
    #: label, text and whatever else the catalog knew of it
    attributes: dict[str, Any]
    #: JPEG, longest side 160 px
    thumbnail: bytes | None
    #: that it is of the query's class, 0..1, by how often matches so similar were right on classes held out of the
    #: training; None where the encoder knows no calibration, or was asked with words or several pictures
    probability: float | None = None

    def __repr__(self) -> str:
        known = {name: _short(value) for name, value in self.attributes.items() if value is not None}
        shown = "".join(f", {name}={value}" for name, value in known.items())
        return f"Match({self.rank}, {self.item_id!r}, {self.score:.3f}{shown})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
