"""What a benchmark is: how it is read, what it must hold, where it comes from."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from lookalike.catalog.benchmarks.layout import Layout
from lookalike.errors import CatalogError
from lookalike.progress import note, track

Row = dict[str, Any]
#: Part of the set -> its pictures and classes. The parts are the splits; with roles, "query" and "gallery" for "test".
Counts = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class RemoteFile:
    """A file to download.

    Attributes:
        name: of the file, here and on a mirror.
        md5: of its content, where it is known.
        url: its official address; None where there is none (any more).
    """

    name: str
    md5: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """A published data set.

    Attributes:
        name: as in `cub200:FOLDER`.
        title: its full name.
        rows: reads the rows of a catalog: item_id, image, label, text, split and more.
        counts: the published numbers of pictures and classes; empty where there are none.
        k: the K of Recall@K that are published.
        files: what can be downloaded.
        how_to_get: what a person has to do where a program cannot, in whole sentences.
        license: a note on the terms.
        must_accept: whether the terms must be accepted before its official address is asked.
    """

    name: str
    title: str
    rows: Callable[[Layout], list[Row]]
    how_to_get: str
    license: str
    counts: Counts = field(default_factory=dict)
    k: tuple[int, ...] = (1, 2, 4, 8)
    files: tuple[RemoteFile, ...] = ()
    must_accept: bool = False

    def read(self, root: str | Path, *, counts: Counts | None = None, partial: bool = False) -> pa.Table:
        """Read it from a folder with its archives, or with what was in them.

        Args:
            root: the folder, or the one archive.
            counts: what it must hold instead of the published numbers.
            partial: go on with what is there: the numbers are not checked, and pictures that are missing are left out.

        Raises:
            CatalogError: something is missing or damaged, or the numbers are not the published ones.
        """
        rows = self.rows(Layout(Path(root)))
        missing = {row["item_id"] for row in track(rows, "looking for the pictures") if not _is_there(row["image"])}
        go_on = f"to go on with what is there, name it {self.name}-part:{root}"
        if missing and not partial:
            raise CatalogError(
                f"{root}: {len(missing):,} of {len(rows):,} pictures of {self.title} are missing, {min(missing)!r} "
                f"first; put the rest there, or {go_on}"
            )
        if missing:
            note(f"{root}: {len(missing):,} of {len(rows):,} pictures are missing and left out")
            rows = [row for row in rows if row["item_id"] not in missing]
        wrong = [] if partial else _differences(rows, self.counts if counts is None else counts)
        if wrong:
            raise CatalogError(f"{root} does not hold all of {self.title}: {'; '.join(wrong)}; mend it, or {go_on}")
        if not rows:
            raise CatalogError(f"{root} holds no pictures of {self.title}")
        return pa.Table.from_pylist(rows)


def _is_there(image: str | bytes) -> bool:
    return isinstance(image, bytes) or os.path.isfile(image)


def _differences(rows: list[Row], counts: Counts) -> list[str]:
    """A sentence for each part whose numbers are not those."""
    pictures: Counter[str] = Counter()
    classes: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        part = row.get("role") or row["split"]
        pictures[part] += 1
        classes[part].add(row["label"])
    return [
        f"{part} has {pictures[part]:,} pictures of {len(classes[part]):,} classes instead of {images:,} of {labels:,}"
        for part, (images, labels) in counts.items()
        if (pictures[part], len(classes[part])) != (images, labels)
    ]
