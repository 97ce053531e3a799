"""One hit per product: of the rows that share a value only the best."""

from collections.abc import Callable, Hashable

import pyarrow as pa

from lookalike.errors import StoredIndexError, did_you_mean
from lookalike.index.conditions import Column, Condition
from lookalike.index.filter_values import Value, kind_of
from lookalike.index.index import Hit
from lookalike.index.rows import HIDDEN, ITEM_ID

KINDS = ("text", "whole numbers", "true or false", "dates")


def group_column(name: str, schema: pa.Schema) -> Column:
    """The column to group by.

    Raises:
        StoredIndexError: there is none of that name, or its values do not make groups.
    """
    known = [column for column in schema.names if column not in (ITEM_ID, *HIDDEN)]
    if name not in known:
        raise StoredIndexError(f"group_by={name!r}: there is no such column.{did_you_mean(name, known)}")
    type_ = schema.field(name).type
    kind = kind_of(name, type_)
    if kind not in KINDS:
        raise StoredIndexError(f"group_by={name!r}: it holds {kind}; group by {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    return Column(name, type_, kind)


def group_of(hit: Hit, column: str) -> Hashable:
    """What no hit of another group has."""
    value = hit.attributes[column]
    return (hit.item_id,) if value is None else value


def best_of_groups(search: Callable[[int, Condition | None], list[Hit]], k: int, column: Column) -> list[Hit]:
    """The k best groups, from an index that finds the n best rows under a condition.

    Groups already found are left out of the next round, so a group of a million rows costs one round and no memory.
    """
    chosen: dict[Hashable, Hit] = {}
    condition: Condition | None = None
    while True:
        count = 2 * (k - len(chosen)) + 8
        found = search(count, condition)
        for hit in found:
            chosen.setdefault(group_of(hit, column.name), hit)
        if len(chosen) >= k or len(found) < count:
            return list(chosen.values())[:k]
        condition = _none_of(list(chosen.values()), column)


def but_items(item_ids: list[str]) -> Condition:
    """Any row but these."""
    return Column(ITEM_ID, pa.string(), "text").is_one_of(list(item_ids)).fails


def _none_of(chosen: list[Hit], column: Column) -> Condition:
    """Rows of none of these hits' groups."""
    values: list[Value] = [value for hit in chosen if (value := hit.attributes[column.name]) is not None]
    alone = [hit.item_id for hit in chosen if hit.attributes[column.name] is None]
    return column.is_one_of(values).fails | (column.is_null.holds & but_items(alone))
