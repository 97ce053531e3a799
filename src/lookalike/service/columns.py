"""What the columns of an index hold, so that a page can offer filters that fit."""

from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.index.faults import told
from lookalike.index.lance import TABLE
from lookalike.index.rows import HIDDEN
from lookalike.service.schemas import Column, plain

#: A column of text with at most so many values, none longer, is a choice; others are for `where` only.
MOST_VALUES, LONGEST_VALUE = 30, 60


def describe(folder: Path) -> list[Column]:
    """Every column that `where` may name, read one at a time.

    Raises:
        StoredIndexError: the index cannot be read.
    """
    with told(folder, "read"):
        table = lancedb.connect(folder).open_table(TABLE)
        names = [name for name in table.schema.names if name not in HIDDEN]
        return [_describe(name, table.search().select([name]).to_arrow().column(name)) for name in names]


def _describe(name: str, column: pa.ChunkedArray) -> Column:
    kind = column.type
    if pa.types.is_boolean(kind):
        return Column(name=name, kind="true or false", distinct=_distinct(column))
    if pa.types.is_string(kind):
        counts = pc.value_counts(column.drop_null())
        return Column(name=name, kind="text", distinct=len(counts), values=_choices(counts))
    if kind in (pa.int64(), pa.float64()):
        return Column(name=name, kind="number", distinct=_distinct(column), **_ends(column))
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        ends = _ends(column)
        return Column(name=name, kind="date" if pa.types.is_date(kind) else "time", distinct=_distinct(column), **ends)
    return Column(name=name, kind="other", distinct=0)


def _choices(counts: pa.Array) -> list[str] | None:
    """The values, the most frequent first, if they are few and short."""
    if len(counts) > MOST_VALUES:
        return None
    entries = sorted(counts.to_pylist(), key=lambda entry: (-entry["counts"], entry["values"]))
    values = [str(entry["values"]) for entry in entries]
    return values if values and max(map(len, values)) <= LONGEST_VALUE else None


def _distinct(column: pa.ChunkedArray) -> int:
    return int(pc.count_distinct(column, mode="only_valid").as_py())


def _ends(column: pa.ChunkedArray) -> dict[str, Any]:
    ends = pc.min_max(column).as_py()
    return {"smallest": plain(ends["min"]), "largest": plain(ends["max"])}
