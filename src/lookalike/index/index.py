"""The protocol of an index: rows in by item_id, nearest rows out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from lookalike.index.checksums import Verified
from lookalike.index.plan import Plan
from lookalike.index.versions import Version


@dataclass(frozen=True, slots=True)
class Hit:
    """One row found: `score` is the cosine similarity to the query, -1..1."""

    item_id: str
    score: float
    attributes: dict[str, Any]
    thumbnail: bytes | None


class VectorIndex(Protocol):
    """Unit vectors with a thumbnail and attributes, one row per item_id.

    `ExactIndex` is the reference; every other index gives the same hits for the same calls (tests/index/congruence).
    """

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def schema(self) -> pa.Schema:
        """The stored columns: item_id, vector, thumbnail, what is hidden (`rows.HIDDEN`) and the attributes."""

    def __len__(self) -> int: ...

    def add(self, rows: pa.Table) -> None:
        """Store rows; a row whose item_id is known replaces the old row, whole. All rows or none; no rows, no change.

        Args:
            rows: item_id (string), vector (fixed_size_list<float32>[dim], unit length), thumbnail (binary), if known
                `_picture` (binary, a digest of the picture they are of), and any attributes. A column the index lacks
                is added and is null for older items; one the rows lack is null for them.

        Raises:
            StoredIndexError: a column is missing, has another type than in the index or a name that cannot be stored,
                an item_id is empty or double, a vector is not a unit vector of `dim`, or the disk is full.
        """

    def remove(self, item_ids: Sequence[str]) -> int:
        """Forget these items; unknown ids are passed over. Returns how many there were."""

    def get(self, item_ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of these items that are in the index, in the order asked for; these columns, or all.

        Few columns are faster: vectors and attributes may be in memory, when thumbnails are not.
        """

    def scan(self, columns: Sequence[str], where: str | None = None) -> pa.Table:
        """These columns of all rows that fulfil `where`, in any order.

        Raises:
            FilterError: `where` cannot be understood.
        """

    def sample(self, count: int) -> np.ndarray:
        """The vectors of up to `count` rows from all over the index, float32 [rows, dim]."""

    def search(
        self,
        vectors: np.ndarray,
        k: int,
        where: str | None = None,
        *,
        group_by: str | None = None,
        without: Sequence[str] = (),
    ) -> list[list[Hit]]:
        """The `k` rows of highest cosine similarity to each query, best first; equal scores in the order of item_id.

        Args:
            vectors: float32 [queries, dim], any length but zero.
            k: at least 1; with fewer rows there are fewer hits.
            where: only rows that fulfil this, e.g. "price < 50 and color in ('red', 'blue')"; see `filters`.
            group_by: a column; of the rows with the same value only the best. A row without one is its own group.
            without: items that are passed over.

        Raises:
            StoredIndexError: a vector is zero, not finite or of another dimension, k < 1, or nothing can be grouped by
                that column.
            FilterError: `where` cannot be understood.
        """

    def optimize(self, recall_target: float = 0.99, approximate: bool | None = None) -> Plan | None:
        """Make searches fast and the files few; an index in memory has nothing to do. What is found stays the same, but
        for the share of nearest rows that a vector index may miss.

        Args:
            recall_target: share of the ten nearest rows that a vector index must find.
            approximate: with a vector index or without; unless said, as it is, and with one as soon as there are many
                rows and too much to be kept in memory.

        Returns:
            The `Plan` of the vector index with the recall that was measured, None if every row is read.

        Raises:
            StoredIndexError: the target is no share, or the disk is full.
        """

    def keep(self) -> None:
        """Keep the rows as they are now, as a version to go back to; of these the last few (`versions.KEPT`) stay.

        Raises:
            StoredIndexError: the disk is full.
        """

    @property
    def versions(self) -> list[Version]:
        """What can be gone back to, oldest first."""

    def rollback(self, number: int) -> None:
        """Make the rows and columns what they were when this version was kept. What was there is kept as the newest.

        Raises:
            StoredIndexError: this version is not kept, or the disk is full.
        """

    def verify(self) -> Verified:
        """Read every row and compare it with its checksum, and each file with what is known of it: has a disk changed
        or lost what was stored? An index in memory has no files.

        Raises:
            StoredIndexError: a file seems lost, and another process writes all the time so that it cannot be told.
        """

    @property
    def is_optimizing_due(self) -> bool:
        """Whether `optimize` would make searches much faster."""
