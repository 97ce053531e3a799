"""What may stand in an index: the types, names and values of its rows, the same in memory and on disk.

Few types keep filters predictable: int64, float64 (not a number means not known, so it becomes null), string, bool,
date32 and timestamp[us]. Other types (lists, structs) are stored as they are and cannot be filtered.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.errors import StoredIndexError

ITEM_ID, VECTOR, THUMBNAIL = "item_id", "vector", "thumbnail"
#: A digest of the picture that a row was made from, and a checksum of the row: see `checksums`.
PICTURE, CHECKSUM = "_picture", "_checksum"
#: What is not known of an item, but stored with it.
HIDDEN = (VECTOR, THUMBNAIL, PICTURE, CHECKSUM)
#: Names that LanceDB keeps for itself.
RESERVED = ("_rowid", "_rowaddr", "_rowoffset", "_distance", "_score", "_relevance_score", "query_index")
#: How far the length of a stored vector may be from 1.
UNIT_TOLERANCE = 1e-3


def empty_schema(dim: int) -> pa.Schema:
    """The columns every index has."""
    return pa.schema(
        [
            (ITEM_ID, pa.string()),
            (VECTOR, pa.list_(pa.float32(), dim)),
            (THUMBNAIL, pa.binary()),
            (PICTURE, pa.binary()),
            (CHECKSUM, pa.int64()),
        ]
    )


def checked(rows: pa.Table, dim: int) -> pa.Table:
    """The rows in the types above, without columns that say nothing (type null); their checksums are yet to come.

    Raises:
        StoredIndexError: see `VectorIndex.add`.
    """
    rows = rows.drop_columns([CHECKSUM]) if CHECKSUM in rows.column_names else rows
    for name in (PICTURE, CHECKSUM):
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, empty_schema(dim).field(name).type))
    for field in empty_schema(dim):
        if field.name not in rows.column_names:
            raise StoredIndexError(f"rows for an index need a column {field.name!r}; these have {rows.column_names}")
        if field.name != ITEM_ID and rows.schema.field(field.name).type != field.type:
            found = rows.schema.field(field.name).type
            raise StoredIndexError(f"column {field.name!r} of an index of dimension {dim} is {field.type}, not {found}")
    _check_ids(rows.column(ITEM_ID))
    _check_vectors(rows)
    return attributes(rows)


def attributes(table: pa.Table) -> pa.Table:
    """The columns in the types above; those of type null are left out.

    Raises:
        StoredIndexError: a name cannot be stored, or a number does not fit.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        _check_name(name, columns)
        if not pa.types.is_null(column.type):
            columns[name] = _plain(name, column)
    return pa.table(columns)


def widened(schema: pa.Schema, rows: pa.Table) -> pa.Schema:
    """The schema with the columns of `rows` that it lacks, at its end."""
    return pa.schema([*schema, *(field for field in rows.schema if field.name not in schema.names)])


def fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with exactly the columns of the schema, nulls where they have none.

    Raises:
        StoredIndexError: a column has another type.
    """
    return pa.table([_fitted_column(rows, field) for field in schema], schema=schema)


def vectors_of(table: pa.Table) -> np.ndarray:
    """The vectors, float32 [rows, dim]; not copied if they lie in one piece, and then not to be written to."""
    column = table.column(VECTOR)
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0, np.float32)])
    return flat.reshape(table.num_rows, column.type.list_size)


def id_list(item_ids: Sequence[str]) -> list[str]:
    """Ids as a list; a single id is one id and not its letters."""
    return [item_ids] if isinstance(item_ids, str) else list(item_ids)


def places(ids: list[str], rows: pa.Table) -> pa.Array:
    """The row numbers of those of the ids that are there, in their order."""
    wanted, column = pa.array(ids, pa.string()), rows.column(ITEM_ID)
    # Only those that are asked for go into a table of places: a large index is read through and not hashed.
    there = pa.array(np.flatnonzero(pc.is_in(column, value_set=wanted).to_numpy()))
    return there.take(pc.index_in(wanted, value_set=column.take(there)).drop_null())


def spread(rows: int, count: int) -> np.ndarray:
    """Up to `count` row numbers out of so many rows, evenly spread: int64."""
    return np.linspace(0, max(0, rows - 1), min(rows, count)).astype(np.int64)


def _check_ids(ids: pa.ChunkedArray) -> None:
    if ids.null_count:
        raise StoredIndexError("an item_id is empty; every row of an index needs one")
    counts = pc.value_counts(ids)
    if len(counts) < len(ids):
        double = next(entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1)
        raise StoredIndexError(f"item_id {double!r} is given twice in one add; give each item once")


def _check_vectors(rows: pa.Table) -> None:
    if rows.column(VECTOR).null_count:
        raise StoredIndexError("a vector is missing; every row of an index needs one")
    lengths = np.linalg.norm(vectors_of(rows), axis=1)
    # Written so that NaN counts as wrong.
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
    if wrong.size:
        item = rows.column(ITEM_ID)[int(wrong[0])].as_py()
        raise StoredIndexError(
            f"the vector of item {item!r} has length {lengths[wrong[0]]:.4g}, not 1; embeddings must be unit vectors"
        )


def _check_name(name: str, before: dict[str, pa.ChunkedArray]) -> None:
    # A name with a backtick would make every later filter fail, on any column.
    if not name or "." in name or "`" in name or "\\" in name or name in RESERVED or not name.isprintable():
        raise StoredIndexError(
            f"column {name!r} cannot be stored in an index; rename it (no dot, backtick, backslash or control "
            f"character, and none of {', '.join(RESERVED)})"
        )
    if name in before:
        raise StoredIndexError(f"column {name!r} is there twice; rename one")


def _plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            return _plain(name, column.cast(kind.value_type))
        if pa.types.is_integer(kind):
            return column.cast(pa.int64())
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return _plain_float(column.cast(pa.float64()))
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return column.cast(pa.string())
        if pa.types.is_date64(kind):
            return column.cast(pa.date32())
        if pa.types.is_timestamp(kind):  # to the microsecond, in UTC
            return column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(pa.timestamp("us"))
    except pa.ArrowException as error:
        raise StoredIndexError(f"column {name!r} ({kind}) cannot be stored: {error}; convert it first") from None
    return column


def _plain_float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # Databases sort NaN above all numbers and -0.0 below 0.0; here the one is unknown and the other is 0.
    return pc.add(pc.if_else(pc.is_nan(column), None, column), 0.0)


def _fitted_column(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in rows.column_names:
        return pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
    column = rows.column(field.name)
    if column.type == field.type:
        return column
    numbers = (pa.int64(), pa.float64())
    if column.type in numbers and field.type in numbers:
        try:
            return column.cast(field.type)
        except pa.ArrowInvalid:
            pass  # 9.99 into whole numbers: told below
    raise StoredIndexError(
        f"column {field.name!r} is {field.type} in the index and {column.type} in the new items; "
        "convert it, or give it another name"
    )
