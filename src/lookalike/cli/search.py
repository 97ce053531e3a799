"""`lookalike search`: what looks like this picture, or as these words say."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lookalike.search import Match


def search(
    index: Annotated[Path, typer.Argument(help="Directory of the index.", show_default=False)],
    image: Annotated[
        list[Path] | None, typer.Option("--image", help="A picture to search with; again for several.")
    ] = None,
    item_id: Annotated[
        list[str] | None, typer.Option("--item-id", help="An item of the index to search with; again for several.")
    ] = None,
    words: Annotated[str | None, typer.Option("--words", help="A description, instead or beside pictures.")] = None,
    words_weight: Annotated[
        float, typer.Option("--words-weight", min=0, max=1, help="How much the words count beside pictures.")
    ] = 0.5,
    region: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--region", help="Part of the picture: left top right bottom, 0 to 1.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How many matches.")] = 10,
    offset: Annotated[int, typer.Option("--offset", min=0, help="How many of the best to pass over.")] = 0,
    where: Annotated[str | None, typer.Option("--where", help="Filter, like: price < 50 and color = 'red'")] = None,
    group_by: Annotated[str | None, typer.Option("--group-by", help="Only the best match of each value.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search an index by picture, by an item it holds, or by words (if its encoder was trained with descriptions).

    \b
    lookalike search products.index --image photo.jpg
    lookalike search products.index --item-id A17 --k 5 --where "price < 50"
    lookalike search products.index --words "red cotton shirt"
    lookalike search products.index --image photo.jpg --words red --group-by product
    """
    if not image and not item_id and words is None:
        raise typer.BadParameter("give --image, --item-id or --words")
    from lookalike.cli.tables import print_match
    from lookalike.search import Index

    opened = Index.open(index)
    matches = opened.search(
        image=image,
        item_id=item_id,
        words=words,
        region=region,
        words_weight=words_weight,
        k=k,
        offset=offset,
        where=where,
        group_by=group_by,
    )
    if as_json:
        print(json.dumps([_as_dict(match) for match in matches], indent=2, default=str))
        return
    for match in matches:
        print_match(match)
    if not matches:
        print("no match: no more items, or the filter leaves nothing")


def _as_dict(match: "Match") -> dict[str, object]:
    return {
        "item_id": match.item_id,
        "score": match.score,
        "probability": match.probability,
        "attributes": match.attributes,
    }
