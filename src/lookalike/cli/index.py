"""`lookalike index`: a catalog into a searchable index."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import options


def index(
    catalog: options.CatalogArgument,
    to: Annotated[
        Path, typer.Option("--to", help="Directory of the index; made if it is not there.", show_default=False)
    ],
    run: Annotated[
        Path | None, typer.Option("--run", help="The run whose encoder makes it; not needed to add to an index.")
    ] = None,
    approximate: Annotated[
        bool | None,
        typer.Option("--ann/--exact", help="With a vector index or without; by default from 50,000 items on."),
    ] = None,
    recall_target: Annotated[
        float, typer.Option("--recall-target", min=0.01, max=1, help="With --ann: share of the ten best to be found.")
    ] = 0.99,
    item_id: options.ItemId = None,
    image: options.Image = None,
    label: options.Label = None,
    text: options.Text = None,
    domain: options.Domain = None,
    split: options.Split = None,
) -> None:
    """Embed a catalog into an index, or add to one. An item_id that is there already is replaced.

    \b
    lookalike index products.parquet --run runs/first --to products.index
    lookalike index new_products.parquet --to products.index
    """
    data = options.read_catalog(
        catalog, item_id=item_id, image=image, label=label, text=text, domain=domain, split=split
    )
    from lookalike.encoders import Encoder
    from lookalike.errors import StoredIndexError
    from lookalike.progress import note
    from lookalike.search import Index

    encoder = None if run is None else Encoder.load(run)
    if to.exists():
        opened = Index.open(to, encoder)
    elif encoder is None:
        raise StoredIndexError(f"there is no index at {to}; to make one, name the run whose encoder it gets: --run RUN")
    else:
        opened = Index.create(to, encoder)
    report = opened.add(data)
    for item, reason in report.broken:
        note(f"left out {item!r}: {reason}")
    if approximate is not None:
        plan = opened.optimize(recall_target, approximate)
        note("searches read every item" if plan is None else f"vector index: {100 * plan.recall:.1f} % of the ten best")
    print(f"{report.added:,} items added; {to} holds {len(opened):,}")
