"""The `where` of a query: SQL as people write it, understood, checked and said again, never passed on.

    price < 50 and color in ('red', 'blue')
    "Shop Name" like 'A%' and not (sold = true or stock is null)

Allowed are comparisons (= <> < <= > >=), and, or, not, in, between, like (% and _), is null, parentheses, text in
single quotes, numbers, true, false. Dates are text: added >= '2026-01-31'. Functions, casts, arithmetic, subqueries
and comments are refused. What is unknown (null) is chosen neither by a condition nor by its opposite, as in SQL.
"""

from collections.abc import Callable
from functools import reduce
from operator import and_, or_

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lookalike.errors import FilterError, did_you_mean
from lookalike.index.conditions import Column, Condition, Filter
from lookalike.index.filter_values import Value, kind_of, literal, shown
from lookalike.index.rows import HIDDEN

EXAMPLE = "price < 50 and color in ('red', 'blue')"
#: Longer or deeper filters could exhaust the stack of the parser or of the database.
MAX_LENGTH, MAX_CONDITIONS, MAX_DEPTH = 20_000, 200, 50

_SIGNS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def compile_filter(where: str, schema: pa.Schema) -> Condition:
    """Understand `where` for a table with these columns.

    Raises:
        FilterError: it is not a condition, names an unknown column, or compares what cannot be compared.
    """
    try:
        tree = _parse(where)
        if sum(1 for _ in tree.find_all(exp.Connector)) >= MAX_CONDITIONS:
            raise FilterError(f"it has more than {MAX_CONDITIONS} conditions; use in (...) for many values")
        return _Reader(schema).condition(tree, 0).holds
    except FilterError as error:
        shown = where if len(where) <= 200 else f"{where[:200]}..."
        reason = str(error) if str(error).endswith((".", "?")) else f"{error}."
        raise FilterError(f"where={shown!r} cannot be used: {reason} Example: where={EXAMPLE!r}") from None


def _parse(where: str) -> exp.Expression:
    if not where.strip():
        raise FilterError("it is empty; leave it out to search everything")
    if len(where) > MAX_LENGTH:
        raise FilterError(f"it has {len(where):,} characters; the limit is {MAX_LENGTH:,}")
    try:
        if any(token.comments for token in sqlglot.tokenize(where)):
            raise FilterError("comments are not allowed")
        return sqlglot.parse_one(where, into=exp.Condition)
    except SqlglotError:
        raise FilterError("it is not a condition; text stands in single quotes, names with spaces in double") from None
    except RecursionError:
        raise FilterError("it is nested too deeply") from None


class _Reader:
    """Walks a parsed condition; whatever is not listed here is refused."""

    def __init__(self, schema: pa.Schema):
        self._schema = schema
        self._forms: dict[type[exp.Expression], tuple[set[str], Callable[[exp.Expression, int], Filter]]] = {
            exp.Paren: ({"this"}, lambda node, depth: self.condition(node.this, depth)),
            exp.Not: ({"this"}, lambda node, depth: ~self.condition(node.this, depth)),
            exp.And: ({"this", "expression"}, lambda node, depth: reduce(and_, self._parts(node, depth))),
            exp.Or: ({"this", "expression"}, lambda node, depth: reduce(or_, self._parts(node, depth))),
            exp.Is: ({"this", "expression"}, self._is_null),
            exp.In: ({"this", "expressions"}, self._is_one_of),
            exp.Between: ({"this", "low", "high"}, self._between),
            exp.Like: ({"this", "expression", "negate"}, self._like),
            **{sign: ({"this", "expression"}, self._comparison) for sign in _SIGNS},
        }

    def condition(self, node: exp.Expression, depth: int) -> Filter:
        """What the node says of a row."""
        if depth > MAX_DEPTH:
            raise FilterError("it is nested too deeply")
        arguments, read = self._forms.get(type(node), (set(), None))
        if read is None or {name for name, given in node.args.items() if given} - arguments:
            raise _not_allowed(node)
        return read(node, depth + 1)

    def _parts(self, node: exp.Expression, depth: int) -> list[Filter]:
        # `a and b and c` is parsed as a ladder; climb it here, so that only parentheses count as depth.
        parts = []
        ladder, form = node, type(node)
        while isinstance(ladder, form):
            parts.append(self.condition(ladder.expression, depth))
            ladder = ladder.this
        return [self.condition(ladder, depth), *reversed(parts)]

    def _comparison(self, node: exp.Expression, depth: int) -> Filter:
        sign, left, right = _SIGNS[type(node)], _bare(node.this), _bare(node.expression)
        if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
            sign, left, right = _MIRRORED[sign], right, left
        column = self._column(left)
        if column.kind == "true or false" and sign not in ("=", "<>"):
            raise FilterError(f"column {column.name!r} holds true or false, which has no order")
        if not isinstance(right, exp.Column):
            return column.compare(sign, _literal(right, column))
        other = self._column(right)
        if column.kind != other.kind and {column.kind, other.kind} != {"numbers", "whole numbers"}:
            raise FilterError(
                f"column {column.name!r} holds {column.kind} and column {other.name!r} {other.kind}; "
                "they cannot be compared"
            )
        return column.compare_column(sign, other)

    def _is_null(self, node: exp.Expression, depth: int) -> Filter:
        if not isinstance(node.expression, exp.Null):
            raise _not_allowed(node)
        name = self._name(_bare(node.this))
        return Column(name, self._schema.field(name).type, "anything").is_null

    def _is_one_of(self, node: exp.Expression, depth: int) -> Filter:
        column = self._column(_bare(node.this))
        values = [_literal(_bare(value), column) for value in node.expressions]
        if not values:
            raise FilterError(f"the list after {column.name} in is empty")
        return column.is_one_of(values)

    def _between(self, node: exp.Expression, depth: int) -> Filter:
        column = self._column(_bare(node.this))
        if column.kind == "true or false":
            raise FilterError(f"column {column.name!r} holds true or false, which has no order")
        low, high = (_literal(_bare(node.args[end]), column) for end in ("low", "high"))
        return column.compare(">=", low) & column.compare("<=", high)

    def _like(self, node: exp.Expression, depth: int) -> Filter:
        column = self._column(_bare(node.this))
        pattern = _literal(_bare(node.expression), column)
        if not isinstance(pattern, str):
            raise FilterError(f"column {column.name!r} holds {column.kind}; like is for text")
        if "\\" in pattern:
            raise FilterError("a pattern has no backslash; % stands for any text, _ for one character")
        found = column.is_like(pattern)
        return ~found if node.args.get("negate") else found  # older sqlglot: Not(Like)

    def _column(self, node: exp.Expression) -> Column:
        name = self._name(node)
        type_ = self._schema.field(name).type
        return Column(name, type_, kind_of(name, type_))

    def _name(self, node: exp.Expression) -> str:
        if not isinstance(node, exp.Column) or {part for part, given in node.args.items() if given} != {"this"}:
            raise FilterError(f"{shown(node)} stands where the name of a column should")
        name = str(node.name)
        known = [column for column in self._schema.names if column not in HIDDEN]
        if name not in known:
            hint = (
                " Text stands in single quotes." if isinstance(node.this, exp.Identifier) and node.this.quoted else ""
            )
            raise FilterError(f"there is no column {name!r}.{did_you_mean(name, known)}{hint}")
        return name


def _literal(node: exp.Expression, column: Column) -> Value:
    return literal(node, column.name, column.kind)


def _bare(node: exp.Expression) -> exp.Expression:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _not_allowed(node: exp.Expression) -> FilterError:
    return FilterError(f"{shown(node)} is not a condition a filter can have")
