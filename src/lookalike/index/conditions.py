"""The parts of a filter: each as SQL for LanceDB and as an expression for Arrow, and each with its opposite."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lookalike.index.filter_values import Value, sql_literal

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, said twice: both forms choose the same rows (a test ties them)."""

    sql: str
    expression: pc.Expression

    def __and__(self, other: "Condition") -> "Condition":
        return Condition(f"({self.sql} AND {other.sql})", self.expression & other.expression)

    def __or__(self, other: "Condition") -> "Condition":
        return Condition(f"({self.sql} OR {other.sql})", self.expression | other.expression)


def both(one: Condition | None, other: Condition | None) -> Condition | None:
    """Both conditions; none is none to meet."""
    return one & other if one is not None and other is not None else one or other


@dataclass(frozen=True, slots=True)
class Filter:
    """When a condition holds and when its opposite does; neither where the answer is unknown (null).

    NOT is never said to the database, only chosen here: LanceDB's optimizer forgets nulls under it (it takes
    `x NOT IN (0) OR x NOT IN (1)` for always true). Each part says itself that its columns are not null.
    """

    holds: Condition
    fails: Condition

    def __and__(self, other: "Filter") -> "Filter":
        return Filter(self.holds & other.holds, self.fails | other.fails)

    def __or__(self, other: "Filter") -> "Filter":
        return Filter(self.holds | other.holds, self.fails & other.fails)

    def __invert__(self) -> "Filter":
        return Filter(self.fails, self.holds)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a filter may name."""

    name: str
    type: pa.DataType
    kind: str

    @property
    def sql(self) -> str:
        """The name, quoted; names with a backtick are never stored."""
        return f"`{self.name}`"

    @property
    def is_null(self) -> Filter:
        """Whether nothing is known."""
        field = pc.field(self.name)
        return Filter(
            Condition(f"({self.sql} IS NULL)", field.is_null()),
            Condition(f"({self.sql} IS NOT NULL)", field.is_valid()),
        )

    def compare(self, sign: str, value: Value) -> Filter:
        """The column against a literal from `literal`."""
        if self.kind == "whole numbers" and isinstance(value, float):
            return self._compare_whole(sign, value)

        def said(sign: str) -> Condition:
            expression = SIGNS[sign](pc.field(self.name), pa.scalar(value, self.type))
            return self.is_null.fails & Condition(f"({self.sql} {sign} {sql_literal(value)})", expression)

        return Filter(said(sign), said(_OPPOSITE[sign]))

    def compare_column(self, sign: str, other: "Column") -> Filter:
        """The column against another one."""
        left, right = pc.field(self.name), pc.field(other.name)
        left_sql, right_sql = self.sql, other.sql
        if self.type != other.type:  # whole numbers and others
            left, right = left.cast(pa.float64(), safe=False), right.cast(pa.float64(), safe=False)
            left_sql, right_sql = f"CAST({left_sql} AS DOUBLE)", f"CAST({right_sql} AS DOUBLE)"

        def said(sign: str) -> Condition:
            known = self.is_null.fails & other.is_null.fails
            return known & Condition(f"({left_sql} {sign} {right_sql})", SIGNS[sign](left, right))

        return Filter(said(sign), said(_OPPOSITE[sign]))

    def is_one_of(self, values: list[Value]) -> Filter:
        """The column in a list."""
        values = [value for value in values if self.kind != "whole numbers" or isinstance(value, int)]
        if not values:
            return Filter(_NEVER, self.is_null.fails)
        listed, field = ", ".join(map(sql_literal, values)), pc.field(self.name)
        found = field.isin(pa.array(values, self.type))
        return Filter(
            self.is_null.fails & Condition(f"({self.sql} IN ({listed}))", found),
            self.is_null.fails & Condition(f"({self.sql} NOT IN ({listed}))", ~found),
        )

    def is_like(self, pattern: str) -> Filter:
        """The column against a pattern with % and _."""
        written, found = sql_literal(pattern), pc.match_like(pc.field(self.name), pattern)
        return Filter(
            self.is_null.fails & Condition(f"({self.sql} LIKE {written})", found),
            self.is_null.fails & Condition(f"({self.sql} NOT LIKE {written})", ~found),
        )

    def _compare_whole(self, sign: str, value: float) -> Filter:
        # LanceDB refuses to compare whole numbers with a fraction, so 2 < x < 3 is said in whole numbers.
        if sign == "=":
            return Filter(_NEVER, self.is_null.fails)
        if sign == "<>":
            return Filter(self.is_null.fails, _NEVER)
        return self.compare("<=" if sign.startswith("<") else ">", math.floor(value))


_NEVER = Condition("FALSE", pc.scalar(False))
