"""What comes in and what goes out: the types of the HTTP interface."""

import base64
import math
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from lookalike.errors import did_you_mean
from lookalike.search.match import Match

ItemId = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _is_region(region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = region
    if not (left < right and top < bottom):
        raise ValueError("region is left, top, right, bottom in shares of the picture: left < right and top < bottom")
    return region


class Page(BaseModel):
    """Which of the matches are wanted."""

    model_config = ConfigDict(extra="forbid")

    k: Annotated[int, Field(ge=1, le=100, description="How many matches.")] = 12
    offset: Annotated[int, Field(ge=0, le=5000, description="How many of the best to pass over.")] = 0
    where: Annotated[
        str | None,
        Field(max_length=4000, description="Only items that fulfil this.", examples=["price < 50 and color = 'red'"]),
    ] = None
    group_by: Annotated[
        str | None, Field(max_length=200, description="A column; only the best item of each of its values.")
    ] = None
    thumbnails: Annotated[bool, Field(description="Put the thumbnails into the answer, as data URIs.")] = False


class Query(Page):
    """A question: words, items of the index, pictures (sent as parts of a form), or several of these together."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"words": "red cotton shirt", "k": 5}, {"item_id": "A17", "words": "in blue"}]},
    )

    words: Annotated[str | None, Field(max_length=1000, description="A description.")] = None
    item_id: Annotated[
        ItemId | Annotated[list[ItemId], Field(max_length=16)] | None, Field(description="Items to search from.")
    ] = None
    words_weight: Annotated[Share, Field(description="Beside pictures: 0, pictures only, to 1, words only.")] = 0.5
    region: Annotated[
        Annotated[tuple[Share, Share, Share, Share], AfterValidator(_is_region)] | None,
        Field(description="The part of the one picture to search with: left, top, right, bottom, shares of its size."),
    ] = None

    @property
    def item_ids(self) -> list[str]:
        """The items, as a list."""
        return [self.item_id] if isinstance(self.item_id, str) else self.item_id or []


class Item(BaseModel):
    """What is known of an item."""

    item_id: str
    attributes: dict[str, Any]


class Found(Item):
    """An item that looks like what was asked for."""

    rank: Annotated[int, Field(description="1 is the best.")]
    score: Annotated[float, Field(description="Cosine similarity, -1..1.")]
    probability: Annotated[
        float | None, Field(description="That it is of the class asked for, 0..1, where that was calibrated.")
    ] = None
    thumbnail: Annotated[str | None, Field(description="data:image/jpeg;base64,..., if asked for.")] = None

    @classmethod
    def of(cls, match: Match, thumbnails: bool) -> "Found":
        """The match as it is sent."""
        picture = None
        if thumbnails and match.thumbnail is not None:
            picture = "data:image/jpeg;base64," + base64.b64encode(match.thumbnail).decode("ascii")
        return cls(
            rank=match.rank,
            item_id=match.item_id,
            score=match.score,
            probability=match.probability,
            attributes=plain(match.attributes),
            thumbnail=picture,
        )


class Answer(BaseModel):
    """Matches, best first."""

    matches: list[Found]
    more: Annotated[bool, Field(description="Whether a higher offset would show further ones.")]


class Column(BaseModel):
    """A column that `where` may name, and what it holds."""

    name: str
    kind: Literal["text", "number", "true or false", "date", "time", "other"]
    distinct: Annotated[int, Field(description="How many values it has.")]
    values: Annotated[list[str] | None, Field(description="All of them, the most frequent first, if few.")] = None
    smallest: float | str | None = None
    largest: float | str | None = None


class About(BaseModel):
    """What this service can do."""

    items: int
    encoder: str
    columns: list[Column]
    words: Annotated[bool, Field(description="Whether it can be searched by words.")]
    writable: bool
    feedback: Annotated[bool, Field(description="Whether thumbs up and down are kept.")]
    poor_queries: Annotated[bool, Field(description="Whether poorly answered queries are kept.")]
    max_body_bytes: int


class Health(BaseModel):
    """Whether it answers."""

    status: Literal["ok"]
    items: int


class Added(BaseModel):
    """What was stored."""

    item_id: str
    items: Annotated[int, Field(description="How many the index holds now.")]


class Feedback(BaseModel):
    """What a person thinks of a match."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"item_id": "A17", "good": True, "words": "red shirt"}]}
    )

    item_id: ItemId
    good: bool
    words: Annotated[str | None, Field(max_length=1000)] = None
    query_item_id: ItemId | None = None
    picture: Annotated[
        str | None, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the picture asked with.")
    ] = None
    score: Annotated[float, Field(ge=-1.001, le=1.001, allow_inf_nan=False)] | None = None


class Map(BaseModel):
    """Where the items lie, or how far the making of the map is."""

    state: Literal["ready", "making", "none"]
    seconds: Annotated[float | None, Field(description="How long it has been in the making.")] = None
    problem: str | None = None
    items: Annotated[int | None, Field(description="Those on the map.")] = None
    of: Annotated[int | None, Field(description="Those in the index.")] = None
    ids: list[str] | None = None
    places: Annotated[str | None, Field(description="x and y of each, 0 to 65535: uint16, base64.")] = None
    columns: Annotated[
        list[dict[str, Any]] | None,
        Field(description="Columns of few values, and of each item its number: uint8, base64."),
    ] = None


class Chosen(BaseModel):
    """Some of the items on the map."""

    count: int
    bits: Annotated[str, Field(description="Eight items a byte, the first in its lowest bit: base64.")]

    @classmethod
    def of(cls, mask: np.ndarray) -> "Chosen":
        """Those of a mask, bool [N]."""
        packed = np.packbits(mask, bitorder="little").tobytes()
        return cls(count=int(mask.sum()), bits=base64.b64encode(packed).decode("ascii"))


class PoorQuery(BaseModel):
    """A query that found nothing much like it."""

    name: str
    time: str
    kind: Literal["picture", "words"]
    words: str | None
    best: Annotated[float, Field(description="The score of its best match.")]
    nearest: Annotated[str, Field(description="The item that is.")]


class Day(BaseModel):
    """The best scores of a day's queries of a kind."""

    day: str
    kind: Literal["picture", "words"]
    queries: int
    median: float
    lowest: Annotated[float, Field(description="5 % are below.")]
    poor: Annotated[float | None, Field(description="Share that was answered poorly, 0..1.")]


class Drift(BaseModel):
    """Best scores by day. More poor answers than expected: what is asked is no longer like what is in the index."""

    expected_poor: Annotated[float, Field(description="Share, among the index's own items as queries.")]
    own_median: Annotated[float | None, Field(description="Median best score of the index's own items.")]
    poor_below: Annotated[float | None, Field(description="Best score below which a picture is answered poorly.")]
    days: list[Day]


class PoorAnswer(BaseModel):
    """Poorly answered queries, the newest first."""

    kept: int
    queries: list[PoorQuery]
    drift: Drift


class Problem(BaseModel):
    """Why there is no answer, and what to do."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": "there is no item 'A18' in the index"}]})

    error: str


def plain(value: Any) -> Any:
    """A stored value as JSON can say it; bytes and numbers that are none are left out (null)."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) else None


def sentence(error: ValidationError | list[Any]) -> str:
    """The first thing wrong with a request, in one sentence."""
    first = (error if isinstance(error, list) else error.errors())[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    if first["type"] == "extra_forbidden":
        return f"{place[:100]} is no part of a question.{did_you_mean(place[:100], Query.model_fields)}"
    said = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {said[:1].lower()}{said[1:]}" if place and not said.startswith(place) else said
