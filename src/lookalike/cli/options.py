"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lookalike.catalog import Catalog

CatalogArgument = Annotated[
    Path,
    typer.Argument(
        help="A folder of folders of pictures, a CSV, TSV, Parquet or JSONL file, or cub200:FOLDER.", show_default=False
    ),
]
RunOption = Annotated[Path, typer.Option("--run", help="The run directory that train made.", show_default=False)]
ItemId = Annotated[str | None, typer.Option("--item-id", help="Column with the item ids; row_number counts the rows.")]
Image = Annotated[str | None, typer.Option("--image", help="Column with picture paths or bytes.")]
Label = Annotated[str | None, typer.Option("--label", help="Column with the class of each item.")]
Text = Annotated[str | None, typer.Option("--text", help="Column with the descriptions.")]
Domain = Annotated[str | None, typer.Option("--domain", help="Column with the kind of picture, like studio or street.")]
Split = Annotated[str | None, typer.Option("--split", help="Column with train, validation or test.")]


def read_catalog(path: Path, **columns: str | None) -> "Catalog":
    """The catalog, and a line on stderr that says what was understood."""
    from lookalike.catalog import Catalog
    from lookalike.progress import note

    catalog = Catalog.read(path, **columns)
    read_as = ", ".join(
        name if name == theirs else f"{name} from {theirs}" for name, theirs in catalog.understood.items()
    )
    note(f"{path}: {len(catalog):,} items; read {read_as}")
    return catalog
