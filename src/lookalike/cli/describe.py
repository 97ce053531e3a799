"""`lookalike describe`: the classes that the descriptions alone would give."""

import json
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli import options
from lookalike.cli.train import Setting, load_recipe, parse_settings

if TYPE_CHECKING:
    from lookalike.side.weak_labels import WeakLabels

COLUMN = "weak_label"
LONGEST_TEXT = 100


def describe(
    catalog: options.CatalogArgument,
    how: Annotated[
        str, typer.Option("--how", help="same_text, near (texts alike enough) or clusters (k-means).")
    ] = "same_text",
    to: Annotated[
        Path | None, typer.Option("--to", help=f"Write the catalog with a column {COLUMN} to this Parquet file.")
    ] = None,
    setting: Setting = None,
    item_id: options.ItemId = None,
    image: options.Image = None,
    text: options.Text = None,
    split: options.Split = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the weak labels that the descriptions of a catalog give: how many classes, how large, and examples.

    A run learns from the same classes with --set weak_labels.how=HOW. Test items are left out, as in a run.

    \b
    lookalike describe products.parquet
    lookalike describe products.csv --image file --text title --how near --set weak_labels.similarity=0.8
    lookalike describe products.parquet --how clusters --to labeled.parquet
    """
    recipe = load_recipe("default", parse_settings(setting or []) | {"weak_labels.how": how})
    data = options.read_catalog(catalog, item_id=item_id, image=image, text=text, split=split)
    from lookalike.recipes.weak_labels import describe_catalog, with_column

    learned, rows = describe_catalog(recipe, data)
    found = learned.to_dict()
    print(json.dumps(found, indent=2) if as_json else "\n".join(_lines(found, learned)))
    if to is not None:
        with_column(data, COLUMN, learned, rows).write(to)
        if not as_json:
            print(f"written to {to}, column {COLUMN}")


def _lines(found: dict[str, Any], learned: "WeakLabels") -> list[str]:
    sizes = found["sizes"]
    lines = [
        f"{found['labeled']:,} of {found['items']:,} items ({100 * learned.share_labeled:.0f} %) "
        f"in {found['classes']:,} classes",
        f"items per class: min {sizes['min']}, median {sizes['median']:g}, max {sizes['max']:,}",
        "from the largest to the smallest:",
    ]
    for example in found["examples"]:
        lines.append(f"  class {example['class']}: {example['items']:,} items")
        lines += [
            f"    {count:>5,}  {shorten(text, LONGEST_TEXT, placeholder=' ...')}"
            for text, count in example["texts"].items()
        ]
    return lines
