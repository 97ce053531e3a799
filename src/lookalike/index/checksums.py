"""Eight bytes with every row that tell whether a disk has changed it, and a digest of the picture it was made from."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from lookalike.index.inventory import DATA, INDEXES
from lookalike.index.rows import CHECKSUM, ITEM_ID, VECTOR, vectors_of
from lookalike.progress import track


@dataclass(slots=True)
class Verified:
    """What `verify` found."""

    #: rows looked at, and how many of them an earlier version of lookalike stored, without a checksum
    rows: int = 0
    unchecked: int = 0
    #: the item_id, as it is now, of rows that are not as they were stored, or whose item_id is there twice
    damaged: list[str] = field(default_factory=list)
    #: why some rows could not be read at all, if that is so
    unreadable: str | None = None
    #: files of the index that are not as they were stored, by path within its folder: "missing" or "changed"
    files: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found."""
        return not self.damaged and self.unreadable is None and not self.files

    @property
    def are_rows_whole(self) -> bool:
        """Whether nothing but the indexes of vectors or filters is damaged: `optimize` makes these anew."""
        in_indexes = all(f"/{INDEXES}" in name for name in self.files)
        return not self.damaged and self.unreadable is None and in_indexes

    def note_files(self, table: str, wrong: dict[str, str]) -> None:
        """Take up files of the table of that name."""
        # Of data files the rows tell more. Bytes that no row is read from, and rows replaced since, matter to nobody.
        rows_tell = self.unreadable is None and not self.unchecked
        self.files = {
            f"{table}/{name}": how for name, how in wrong.items() if not (rows_tell and name.startswith(DATA))
        }


def with_checksums(rows: pa.Table) -> pa.Table:
    """Rows in the types of an index, their checksums computed."""
    return rows.set_column(rows.column_names.index(CHECKSUM), CHECKSUM, pa.array(checksums(rows), pa.int64()))


def checksums(rows: pa.Table) -> np.ndarray:
    """Of each row BLAKE2b, 64 bits, over all that it holds: int64 [N].

    A column that is null adds nothing, so that an index may get new columns.

    Raises:
        pa.ArrowException, ValueError: a value is none of its type, which happens to rows that were damaged.
    """
    names = sorted(name for name in rows.column_names if name not in (CHECKSUM, VECTOR))
    columns = [(repr(name).encode(), _values(rows.column(name))) for name in names]
    found = np.empty(rows.num_rows, np.int64)
    for row, vector in enumerate(vectors_of(rows)):
        digest = blake2b(vector.tobytes(), digest_size=8)
        for name, values in columns:
            value = values[row]
            if value is not None:
                encoded = value if isinstance(value, bytes) else repr(value).encode()
                digest.update(b"%s %d " % (name, len(encoded)))
                digest.update(encoded)
        found[row] = int.from_bytes(digest.digest(), "little", signed=True)
    return found


def verify_rows(rows: pa.Table, found: Verified, seen: set[int]) -> None:
    """Compare some rows with their checksums and note what is wrong; `seen` holds hashes of the ids of others."""
    if CHECKSUM not in rows.column_names:
        rows = rows.append_column(CHECKSUM, pa.nulls(rows.num_rows, pa.int64()))
    computed = checksums(rows)
    stored = rows.column(CHECKSUM).combine_chunks()
    known = ~np.asarray(stored.is_null())
    wrong = known & (computed != stored.fill_null(0).to_numpy())
    for item_id, is_wrong in zip(rows.column(ITEM_ID).to_pylist(), wrong.tolist(), strict=True):
        if is_wrong or hash(item_id) in seen:
            found.damaged.append(str(item_id))
        seen.add(hash(item_id))
    found.rows += rows.num_rows
    found.unchecked += int((~known).sum())


def verified(batches: Iterable[pa.RecordBatch]) -> Verified:
    """Look at rows, some at a time."""
    found, seen = Verified(), set[int]()
    for batch in track(batches, "verifying"):
        verify_rows(pa.table(batch), found, seen)
    return found


def _values(column: pa.ChunkedArray) -> list[object]:
    kind = column.type
    # Days and times as numbers: Python knows no year above 9999.
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind) or pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_date32(kind) or pa.types.is_time32(kind):
        column = column.cast(pa.int32())
    elif pa.types.is_string(kind):
        column = column.cast(pa.binary())
    return list(column.to_pylist())
