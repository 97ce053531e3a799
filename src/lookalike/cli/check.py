"""`lookalike check`: what is in a catalog and what is wrong with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options

if TYPE_CHECKING:
    from lookalike.catalog import Catalog
    from lookalike.catalog.check import CatalogReport
    from lookalike.evaluation.leaks import Cost, Leaks
    from lookalike.side.text_report import ClassDistances, TextReport

SHOWN = 10
#: Characters of a text shown.
WIDTH = 70
#: Pairs on a sheet, of each kind of vectors.
PICTURED = 40


def check(
    catalog: options.CatalogArgument,
    item_id: options.ItemId = None,
    image: options.Image = None,
    label: options.Label = None,
    text: options.Text = None,
    domain: options.Domain = None,
    split: options.Split = None,
    near: Annotated[
        bool, typer.Option("--near", help="Also look for near-duplicates between train and test, and between labels.")
    ] = False,
    run: Annotated[
        Path | None, typer.Option("--run", help="With --near: by this run's encoder too, and what they cost.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="With --near: a PNG file for pictures of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Say what is in a catalog and what is wrong with it. Exits with 1 if a picture cannot be read.

    \b
    lookalike check pictures/
    lookalike check products.csv --image file --label product --text title
    lookalike check products.parquet --near --run runs/first --sheet near.png
    """
    if not near and (run or sheet):
        raise typer.BadParameter("--run and --sheet are for near-duplicates: add --near")
    from lookalike.side import text_report

    read = options.read_catalog(
        catalog, item_id=item_id, image=image, label=label, text=text, domain=domain, split=split
    )
    found, described = read.check(), text_report(read)
    leaks = _find_leaks(read, run, sheet) if near else {}
    if as_json:
        everything = found.to_dict() | {"text": described and described.to_dict()}
        everything |= {"near": {how: one.to_dict(read) for how, one in leaks.items()}} if near else {}
        print(json.dumps(everything, indent=2))
    else:
        print("\n".join([*_lines(found), *(_text_lines(described) if described else [])]))
        for how, one in leaks.items():
            print("\n".join(_leak_lines(how, one, read)))
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


def _text_lines(found: "TextReport") -> list[str]:
    """What the descriptions are worth, so that a person can see whether to use them."""
    lines = [f"text: {found.usable:,} of {found.items:,} items ({found.usable / found.items:.0%}) have a usable one"]
    if found.commonest is None:
        return lines
    spread = ", ".join(f"{name} {count:g}" for name, count in found.words_per_text.items())
    lines.append(f"  {found.distinct:,} distinct; words per text: {spread}")
    text, count = found.commonest
    lines.append(f"  the commonest, of {count:,} items: {text if len(text) <= WIDTH else text[:WIDTH] + '...'}")
    changed = [f"{step} {count:,}" for step, count in found.cleaning.items() if count]
    if changed:
        lines.append(f"  a clean-up would change (distinct texts): {', '.join(changed)}")
    if found.brands:
        more = f" and {len(found.brands) - SHOWN:,} more" if len(found.brands) > SHOWN else ""
        lines.append(f"  brands found: {', '.join(found.brands[:SHOWN])}{more}")
    return lines + (_class_lines(found.classes) if found.classes else [])


def _class_lines(found: "ClassDistances") -> list[str]:
    lines = [
        f"  {found.classes:,} classes by text (squared distance, 0 to 4): "
        + "; ".join(
            f"{name} {found.mean[name]:.2f} ± {found.deviation[name]:.2f}, hubness {found.hubness[name]:.1f}"
            for name in found.mean
        )
    ]
    if found.alike:
        lines.append(f"  {found.alike:,} classes have another one that the text hardly tells apart")
    for heading, pairs in (("nearest", found.nearest), ("farthest", found.farthest)):
        lines.append(f"  {heading}:")
        lines += [f"    {distance:.2f}  {one} - {other}" for one, other, distance in pairs]
    return lines


def _find_leaks(catalog: "Catalog", run: Path | None, sheet: Path | None) -> "dict[str, Leaks]":
    from lookalike.encoders import Encoder
    from lookalike.evaluation.figures import neighbor_sheet
    from lookalike.evaluation.leaks import leaks_by_embedding, leaks_by_hash
    from lookalike.files import written_whole

    encoder = None if run is None else Encoder.load(run)  # refused before the long work
    leaks = {"picture hash": leaks_by_hash(catalog)}
    if encoder is not None:
        leaks["embedding"] = leaks_by_embedding(catalog, encoder)
    rows = [row for one in leaks.values() for row in one.figures()[:PICTURED]]
    if sheet is not None and rows:
        with written_whole(sheet) as temporary:
            neighbor_sheet(catalog, rows).save(temporary, "PNG")
    return leaks


def _leak_lines(how: str, found: "Leaks", catalog: "Catalog") -> list[str]:
    items, lines = catalog.column("item_id"), [f"near-duplicates by {how}:"]
    for name, said, pairs in (
        ("across_splits", "test pictures are nearly the same as a training picture", found.across_splits),
        ("across_labels", "pairs of nearly the same picture carry different labels", found.across_labels),
    ):
        if pairs is None:
            continue
        lines.append(f"  {len(pairs):,} {said}")
        nearest = sorted(pairs, key=lambda pair: -pair.cosine)
        lines += [f"    {items[pair.row]} = {items[pair.other]} ({pair.cosine:.3f})" for pair in nearest[:SHOWN]]
        lines += [f"    ... and {len(pairs) - SHOWN:,} more (--json lists all)"] if len(pairs) > SHOWN else []
        if name in found.costs:
            lines.append(_cost_line(found.costs[name]))
    return lines


def _cost_line(cost: "Cost") -> str:
    def percent(value: float | None, interval: tuple[float, float] | None) -> str:
        bounds = "" if interval is None else f" ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})"
        return "nothing" if value is None else f"{100 * value:.1f} %{bounds}"

    return (
        f"  Recall@1 of the {cost.queries:,} test queries: {percent(cost.recall_at_1, cost.interval)}; without the "
        f"{cost.leaked:,} of these pairs: {percent(cost.recall_at_1_without, cost.interval_without)}"
    )
