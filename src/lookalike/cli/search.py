"""`lookalike search`: what looks like this picture, or as these words say."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lookalike.search import Match


def search(
    index: Annotated[Path, typer.Argument(help="Directory of the index.", show_default=False)],
    image: Annotated[Path | None, typer.Option("--image", help="A picture to search with.")] = None,
    item_id: Annotated[
        str | None, typer.Option("--item-id", help="An item of the index to search with instead.")
    ] = None,
    words: Annotated[str | None, typer.Option("--words", help="A description to search with instead.")] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How many matches.")] = 10,
    where: Annotated[str | None, typer.Option("--where", help="Filter, like: price < 50 and color = 'red'")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search an index by picture, by an item it holds, or by words (if its encoder was trained with descriptions).

    \b
    lookalike search products.index --image photo.jpg
    lookalike search products.index --item-id A17 --k 5 --where "price < 50"
    lookalike search products.index --words "red cotton shirt"
    """
    if [image, item_id, words].count(None) != 2:
        raise typer.BadParameter("give one of --image, --item-id and --words")
    from lookalike.cli.tables import print_match
    from lookalike.search import Index

    opened = Index.open(index)
    matches = opened.search(image=image, item_id=item_id, words=words, k=k, where=where)
    if as_json:
        print(json.dumps([_as_dict(match) for match in matches], indent=2, default=str))
        return
    for match in matches:
        print_match(match)
    if not matches:
        print("no match: the filter leaves nothing")


def _as_dict(match: "Match") -> dict[str, object]:
    return {"item_id": match.item_id, "score": match.score, "attributes": match.attributes}
