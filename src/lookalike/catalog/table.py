"""Catalog: one Arrow table of items, each with a picture and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from lookalike.catalog import sources
from lookalike.catalog.images import decode, describe_source
from lookalike.errors import CatalogError, ImageError, did_you_mean
from lookalike.files import written_whole

if TYPE_CHECKING:
    from lookalike.catalog.check import CatalogReport


@dataclass(frozen=True)
class Catalog:
    """Items with pictures.

    The table has `item_id` (string, unique), `image` (a path or encoded bytes) and, where known, `label`, `text`,
    `domain`, `split` (strings) and any other attributes.
    """

    table: pa.Table
    name: str = "catalog"
    #: Which column of the source each of ours was read from: what was understood.
    understood: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sources.check_table(self.table, self.name)

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        item_id: str | None = None,
        image: str | None = None,
        label: str | None = None,
        text: str | None = None,
        domain: str | None = None,
        split: str | None = None,
    ) -> "Catalog":
        """Read a folder of folders of pictures, or a CSV, TSV, Parquet or JSONL file.

        Of a `path` like `cub200:FOLDER` a published data set is read from its archives (see docs/datasets.md);
        `half:PATH` gives the first half of the classes of any catalog to training and the later half to the test.

        The arguments name the source's columns; one not named is looked for under its own and usual names. Relative
        picture paths are resolved against the file.

        Raises:
            CatalogError: the file or a named column is missing, an item_id is double, or there are no pictures.
        """
        columns = {"item_id": item_id, "image": image, "label": label, "text": text, "domain": domain, "split": split}
        table, understood = sources.read(Path(path), columns)
        return cls(table, str(path), understood)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __contains__(self, column: str) -> bool:
        return column in self.table.column_names

    def column(self, name: str) -> list[Any]:
        """The values of a column.

        Raises:
            CatalogError: there is no such column.
        """
        if name not in self:
            raise CatalogError(f"{self.name} has no column {name!r}.{did_you_mean(name, self.table.column_names)}")
        return list(self.table.column(name).to_pylist())

    def where(self, **equals: str | Sequence[str]) -> "Catalog":
        """The items whose columns have the values given, e.g. `where(split="train", domain=["studio", "street"])`.

        Raises:
            CatalogError: there is no such column, or no item has such a value.
        """
        table = self.table
        for column, wanted in equals.items():
            if column not in self:
                raise CatalogError(f"{self.name} has no column {column!r}.{did_you_mean(column, table.column_names)}")
            values = [wanted] if isinstance(wanted, str) else list(wanted)
            value_set = pa.array(values, None if values else pa.string())
            found = table.filter(pc.is_in(table.column(column), value_set=value_set))
            if not found.num_rows:
                raise CatalogError(self._nothing_found(table.column(column), column, values))
            table = found
        return self._with(table)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Catalog":
        """The items at these row numbers, in this order."""
        return self._with(self.table.take(pa.array(np.asarray(rows, dtype=np.int64))))

    def image(self, row: int, short_side_px: int | None = None) -> Image.Image:
        """Decode the picture of a row; see `images.decode`.

        Raises:
            ImageError: it cannot be decoded; the sentence names row, item and file.
        """
        source = self.table.column("image")[row].as_py()
        try:
            return decode(source, short_side_px)
        except ImageError as error:
            item = self.table.column("item_id")[row].as_py()
            raise ImageError(f"{self.name}, item {item!r} ({describe_source(source)}): {error}") from None

    def label_numbers(self) -> tuple[np.ndarray, list[str]]:
        """Labels as class numbers 0..C-1 (int64 [N]) and the C class names, sorted; -1 where there is no label.

        Raises:
            CatalogError: the catalog has no labels.
        """
        labels = self.column("label")
        classes = sorted({label for label in labels if label is not None})
        numbers = {label: number for number, label in enumerate(classes)}
        return np.array([numbers.get(label, -1) for label in labels], dtype=np.int64), classes

    def write(self, path: str | Path) -> Path:
        """Write the catalog as Parquet, whole or not at all."""
        path = Path(path)
        with written_whole(path) as temporary:
            pq.write_table(self.table, temporary)
        return path

    def check(self) -> "CatalogReport":
        """What is in it and what is wrong with it; reads every picture."""
        from lookalike.catalog.check import check

        return check(self)

    def _nothing_found(self, column: pa.ChunkedArray, name: str, wanted: list[str]) -> str:
        known = [str(value) for value in column.unique().to_pylist()]
        # Among thousands of names (ids, texts) no suggestion is worth its time.
        hint = did_you_mean(str(wanted[0]), known) if wanted and len(known) <= 100 else ""
        return f"{self.name} has no items with {name} = {' or '.join(map(repr, wanted)) or 'nothing'}.{hint}"

    def _with(self, table: pa.Table) -> "Catalog":
        return Catalog(table, self.name, self.understood)
