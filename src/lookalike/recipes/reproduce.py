"""Published figures beside ours: tables of recipes, run over seeds, each with what was published for it."""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch.utils.flop_counter import FlopCounterMode

from lookalike.catalog.benchmarks import BENCHMARKS
from lookalike.encoders.backbones import BackboneConfig, build, own_input
from lookalike.errors import EncoderError, RecipeError, did_you_mean
from lookalike.evaluation.seeds import Compared
from lookalike.recipes.compare import Comparison, frozen_rows
from lookalike.recipes.recipe import SHIPPED, Recipe

TABLES = SHIPPED / "tables"
#: Operations a second of training that estimates of hours assume: 40 % of the 790 TFLOP/s in bfloat16 measured on an
#: H200. Nothing was trained at that rate: it is what DeiT-S would need for 11,500 pictures a second.
ASSUMED_RATE = 3.2e14
#: A training step takes about three times the operations of a look.
STEP = 3
SINGLE = "single run"
#: An interval of more points to either side says too little.
CLOSE = 1.0


class Row(BaseModel):
    """A recipe, and what was published for it, in percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    method: str
    #: K -> Recall@K; empty where the paper's figures are not known to us.
    published: dict[int, float] = {}
    #: Where these figures stand.
    source: str = ""
    #: The method they are of, where that is another one than the recipe's.
    of: str = ""
    #: Recall@1 of the frozen backbone, as other papers give it.
    frozen: float | None = None

    @property
    def name(self) -> str:
        """Of the recipe, without its folder."""
        return self.recipe.rpartition("/")[2]


class Table(BaseModel):
    """The rows of one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    rows: list[Row]

    @classmethod
    def load(cls, name: str) -> "Table":
        """A table that ships with the package.

        Raises:
            RecipeError: there is none of this name.
        """
        if name not in table_names():
            raise RecipeError(f"there is no table {name!r}.{did_you_mean(name, table_names())}")
        try:
            return cls.model_validate(tomllib.loads((TABLES / f"{name}.toml").read_text(encoding="utf-8")))
        except ValidationError as error:
            raise RecipeError(f"the table {name!r} is damaged: {error}") from None

    def only(self, part: str) -> "Table":
        """The rows whose recipe has this in its name.

        Raises:
            RecipeError: none has.
        """
        rows = [row for row in self.rows if part in row.name]
        if not rows:
            raise RecipeError(f"no recipe of {self.data} has {part!r} in its name; there are {', '.join(self.recipes)}")
        return Table(data=self.data, rows=rows)

    @property
    def recipes(self) -> dict[str, Recipe]:
        """By name."""
        return {row.name: Recipe.load(row.recipe) for row in self.rows}


def table_names() -> list[str]:
    """Of the tables that ship with the package."""
    return sorted(file.stem for file in TABLES.glob("*.toml"))


@dataclass(frozen=True)
class Outcome:
    """One figure beside the published one, in percent.

    Attributes:
        row: of the table.
        k: of Recall@K.
        ours: over the seeds.
        frozen: Recall@1 of our frozen backbone.
        published: the same figure as published; None where it is not known.
        seeds: how many.
    """

    row: Row
    k: int
    ours: Compared
    frozen: float | None
    published: float | None
    seeds: int

    @property
    def difference(self) -> float | None:
        """Ours less the published one, in points."""
        return None if self.published is None else 100 * self.ours.over_seeds.mean - self.published

    @property
    def verdict(self) -> str:
        """What may be said: reproduced is what our mean reaches, or our interval if it is no wider than `CLOSE`."""
        if self.seeds < 2:
            return SINGLE
        if self.published is None:
            return "nothing published to stand beside"
        if self.row.of:
            return f"beside {self.row.of}"
        found = self.ours.over_seeds
        half = 0.0 if math.isnan(found.high) else 100 * found.half_width
        missing = round(self.published - 100 * found.mean, 1)
        if missing <= 0 or missing <= half <= CLOSE:
            return "reproduced"
        return f"missed by {missing - half:.1f} at least" if missing > half else "undecided: give more seeds"


def outcomes(table: Table, comparison: Comparison) -> list[Outcome]:
    """The figures of a comparison of a table's recipes, row by row and K by K; rows that were not done are left out.

    They are those of the first protocol: the one of the data set, or all test items among themselves.
    """
    [protocols] = comparison.figures.values()
    figures = next(iter(protocols.values()), {})
    frozen_of, at_1 = frozen_rows(comparison.recipes), figures.get("recall_at_1", {})
    found = []
    for row in table.rows:
        frozen = at_1.get(frozen_of[row.name])
        for k in comparison.recipes[row.name].evaluation.k:
            compared = figures.get(f"recall_at_{k}", {}).get(row.name)
            if compared is not None:
                published = row.published.get(k)
                of_frozen = None if frozen is None else 100 * frozen.over_seeds.mean
                found.append(Outcome(row, k, compared, of_frozen, published, len(compared.values)))
    return found


def to_dict(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Ready for JSON."""
    return [
        one.row.model_dump(exclude={"published"})
        | {"k": one.k, "ours": one.ours.to_dict(), "published": one.published, "our_frozen": one.frozen}
        | {"difference": one.difference, "verdict": one.verdict}
        for one in found
    ]


def least_hours(recipe: Recipe, num_pictures: int) -> float:
    """Of the training of one run on one H200, by arithmetic (see `ASSUMED_RATE`): decoding and judging come on top.

    Raises:
        EncoderError: there is no such backbone, or the Hub cannot be reached.
    """
    pictures = recipe.training.epochs * num_pictures
    backbone = recipe.encoder.backbone
    size = recipe.encoder.image_size or own_input(backbone).size
    return STEP * pictures * operations(backbone, size) / ASSUMED_RATE / 3600


@cache
def operations(backbone: str, size: int) -> float:
    """What a backbone computes for one picture: multiplications and additions, counted on tensors without content.

    Raises:
        EncoderError: there is no such backbone, or it takes no pictures of this size.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = build(BackboneConfig(backbone, size)).eval()
        try:
            model(torch.zeros(1, 3, size, size))
        except (RuntimeError, AssertionError) as error:
            raise EncoderError(f"{backbone!r} takes no pictures of {size} px ({error})") from error
    return float(counter.get_total_flops())


def training_pictures(data: str) -> int | None:
    """How many a data set has, by its publication; None where that is not fixed."""
    counts = BENCHMARKS[data].counts
    return counts["train"][0] if "train" in counts else None
