"""`lookalike duplicates`: items of an index that look the same."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def duplicates(
    index: Annotated[Path, typer.Argument(help="Directory of the index.", show_default=False)],
    above: Annotated[float, typer.Option("--above", help="The least similarity of a pair, 0 to 1.")] = 0.97,
    across: Annotated[
        str | None, typer.Option("--across", help="Only pairs that differ in this column, like seller.")
    ] = None,
    where: Annotated[str | None, typer.Option("--where", help="Filter, like: price < 50 and color = 'red'")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List groups of items that look the same: double entries, or the same picture at several sellers.

    \b
    lookalike duplicates products.index
    lookalike duplicates products.index --above 0.99 --across seller --json
    """
    from lookalike.search import Index

    groups = Index.open(index).duplicates(above, across, where)
    if as_json:
        print(json.dumps([[asdict(item) for item in group] for group in groups], indent=2, default=str))
        return
    for number, group in enumerate(groups, start=1):
        print(f"group {number}: {len(group)} items")
        for item in group:
            value = "" if across is None else f"  {across} {item.attributes[across]}"
            print(f"  {item.score:.4f}  {item.item_id}  like {item.twin}{value}")
    print(f"{sum(map(len, groups)):,} items in {len(groups):,} groups of at least {above} similarity")
