"""`lookalike embed`: a catalog to a file of embeddings."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import options


def embed(
    catalog: options.CatalogArgument,
    run: options.RunOption,
    to: Annotated[Path, typer.Option("--to", help="Parquet file to write: item_id, embedding.", show_default=False)],
    item_id: options.ItemId = None,
    image: options.Image = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pictures at a time.")] = 64,
) -> None:
    """Write the embedding of every picture to a Parquet file. Call it again after a stop: it goes on where it was.

    \b
    lookalike embed products.parquet --run runs/first --to embeddings.parquet
    """
    data = options.read_catalog(catalog, item_id=item_id, image=image)
    from lookalike.encoders import Encoder
    from lookalike.encoders.embed import embed_to_file
    from lookalike.progress import note

    broken = embed_to_file(Encoder.load(run), data, to, batch_size)
    for item, reason in broken:
        note(f"left out {item!r}: {reason}")
    print(f"{len(data) - len(broken):,} embeddings in {to}" + (f"; {len(broken):,} left out" if broken else ""))
