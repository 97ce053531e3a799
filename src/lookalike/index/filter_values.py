"""The values in a filter: literals, read as the type of the column they are compared with, and written as SQL."""

import math
from datetime import UTC, date, datetime

import pyarrow as pa
from sqlglot import exp

from lookalike.errors import FilterError

Value = bool | int | float | str | date | datetime
LARGEST = 2**63 - 1


def kind_of(name: str, type_: pa.DataType) -> str:
    """What a column holds, as a person would say it.

    Raises:
        FilterError: columns of this type cannot be compared.
    """
    if pa.types.is_timestamp(type_):
        return "times"
    kinds = {pa.int64(): "whole numbers", pa.float64(): "numbers", pa.string(): "text", pa.bool_(): "true or false"}
    kind = {**kinds, pa.date32(): "dates"}.get(type_)
    if kind is None:
        raise FilterError(f"column {name!r} holds {type_}, which a filter cannot compare")
    return kind


def literal(node: exp.Expression, name: str, kind: str) -> Value:
    """The value of a literal, of the type of the column it is compared with.

    Raises:
        FilterError: it is no literal, or of another type.
    """
    if isinstance(node, exp.Null):
        raise FilterError(f"nothing equals null; write {name} is null")
    value: Value | None = None
    number = node.this if isinstance(node, exp.Neg) else node
    if isinstance(node, exp.Boolean) and kind == "true or false":
        value = bool(node.this)
    elif isinstance(number, exp.Literal) and not number.is_string and kind in ("whole numbers", "numbers"):
        value = _number(str(number.this), -1 if number is not node else 1, name, kind)
    elif isinstance(node, exp.Literal) and node.is_string:
        value = _text(str(node.this), name, kind)
    if value is None:
        raise FilterError(f"column {name!r} holds {kind}, so it cannot be compared with {shown(node)}")
    return value


def shown(node: exp.Expression) -> str:
    """A piece of a filter, as a message quotes it."""
    text = str(node.sql())
    return text if len(text) <= 60 else f"{text[:60]}..."


def sql_literal(value: Value) -> str:
    """A literal of LanceDB's SQL."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ', timespec='microseconds')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _number(digits: str, sign: int, name: str, kind: str) -> int | float:
    number = sign * float(digits) + 0.0  # no -0.0
    whole = int(number) if number.is_integer() else None
    if digits.isdecimal() and math.isfinite(number):
        whole = sign * int(digits)  # exact, where a float is not
    if not math.isfinite(number) or (kind == "whole numbers" and abs(whole or 0) > LARGEST):
        raise FilterError(f"the number {digits[:40]} is too large for column {name!r}")
    return number if kind == "numbers" or whole is None else whole


def _text(text: str, name: str, kind: str) -> Value | None:
    if kind == "text":
        return text
    try:
        if kind == "dates":
            return date.fromisoformat(text)
        if kind == "times":
            moment = datetime.fromisoformat(text)
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise FilterError(
            f"column {name!r} holds {kind}, and {text!r} is none; write it as '2026-01-31' "
            "(times: '2026-01-31 18:30:00')"
        ) from None
    return None
