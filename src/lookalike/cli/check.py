"""`lookalike check`: what is in a catalog and what is wrong with it."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options

if TYPE_CHECKING:
    from lookalike.catalog.check import CatalogReport

SHOWN = 10


def check(
    catalog: options.CatalogArgument,
    item_id: options.ItemId = None,
    image: options.Image = None,
    label: options.Label = None,
    text: options.Text = None,
    domain: options.Domain = None,
    split: options.Split = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Say what is in a catalog and what is wrong with it. Exits with 1 if a picture cannot be read.

    \b
    lookalike check pictures/
    lookalike check products.csv --image file --label product --text title
    """
    found = options.read_catalog(
        catalog, item_id=item_id, image=image, label=label, text=text, domain=domain, split=split
    ).check()
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        print("\n".join(_lines(found)))
    if not found.usable:
        raise typer.Exit(1)


def _lines(found: "CatalogReport") -> list[str]:
    lines = [f"{found.rows:,} items"]
    if found.images_per_class:
        spread = ", ".join(f"{name} {count:g}" for name, count in found.images_per_class.items())
        lines.append(
            f"{found.classes:,} classes; images per class: {spread}; {found.classes_with_one_image:,} with one"
        )
    else:
        lines.append("no labels")
    if found.missing_text is not None:
        lines.append(f"{found.rows - found.missing_text:,} items have a text")
    for name, counts in (("splits", found.splits), ("domains", found.domains)):
        if counts:
            lines.append(f"{name}: " + ", ".join(f"{value} {count:,}" for value, count in counts.items()))
    for heading, items in (
        ("cannot be read", [f"{item}: {reason}" for item, reason in found.unreadable]),
        ("tiny", found.tiny),
        ("the same picture", [" = ".join(group) for group in found.duplicates]),
    ):
        if items:
            lines.append(f"{heading}:")
            lines += [f"  {item}" for item in items[:SHOWN]]
            lines += [f"  ... and {len(items) - SHOWN:,} more (--json lists all)"] if len(items) > SHOWN else []
    if found.problems:
        return [*lines, "problems:", *(f"  {problem}" for problem in found.problems)]
    return [*lines, "no problems found"]
