"""`lookalike index`: a catalog into a searchable index, and the care of one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options

if TYPE_CHECKING:
    from lookalike.index import Verified
    from lookalike.search import AddReport, Index


def index(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CATALOG",
            help="A folder of folders of pictures, or a CSV, TSV, Parquet or JSONL file; an index with --versions, "
            "--rollback or --verify, or with --ann or --exact alone.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path | None, typer.Option("--to", help="Directory of the index; made if it is not there.", show_default=False)
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="The run whose encoder makes it; not needed to add to an index.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Index with another encoder beside the old one, then switch to it.")
    ] = False,
    versions: Annotated[bool, typer.Option("--versions", help="List what the index can be rolled back to.")] = False,
    rollback: Annotated[
        int | None, typer.Option("--rollback", help="Go back to this version of the index.", show_default=False)
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Look for what the disk has changed or lost.")] = False,
    approximate: Annotated[
        bool | None,
        typer.Option(
            "--ann/--exact", help="With a vector index or without; by default with one if they are too many for memory."
        ),
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
    lookalike index products.parquet --run runs/second --to products.index --replace
    lookalike index products.index --versions
    lookalike index products.index --rollback 2
    lookalike index products.index --verify
    lookalike index products.index --ann
    """
    if versions or rollback is not None or verify:
        _care(source, versions, rollback, verify)
        return
    if approximate is not None and to is None and _is_index(source):
        from lookalike.search import Index

        _optimize(Index.open(source), recall_target, approximate)
        return
    if to is None:
        raise typer.BadParameter("name the index to make or to add to: --to INDEX")
    if replace and run is None:
        raise typer.BadParameter("--replace needs the run of the new encoder: --run RUN")
    data = options.read_catalog(
        source, item_id=item_id, image=image, label=label, text=text, domain=domain, split=split
    )
    from lookalike.encoders import Encoder
    from lookalike.errors import StoredIndexError
    from lookalike.search import Index

    encoder = None if run is None else Encoder.load(run)
    if replace and encoder is not None:
        report = Index.replace(to, encoder, data)
        opened = Index.open(to, encoder)
    else:
        if encoder is None and not to.exists():
            raise StoredIndexError(
                f"there is no index at {to}; to make one, name the run whose encoder it gets: --run RUN"
            )
        opened = Index.open(to, encoder) if to.exists() or encoder is None else Index.create(to, encoder)
        report = opened.add(data)
    if approximate is not None:
        _optimize(opened, recall_target, approximate)
    _tell(report, to, opened)


def _tell(report: "AddReport", to: Path, opened: "Index") -> None:
    from lookalike.progress import note

    for item, reason in report.broken:
        note(f"left out {item!r}: {reason}")
    unchanged = f", {report.unchanged:,} with the picture that was there" if report.unchanged else ""
    print(f"{report.added:,} items added{unchanged}; {to} holds {len(opened):,}")


def _is_index(path: Path) -> bool:
    from lookalike.index.manifest import NAME

    return (path / NAME).exists()


def _optimize(opened: "Index", recall_target: float, approximate: bool) -> None:
    from lookalike.progress import note

    plan = opened.optimize(recall_target, approximate)
    note("searches read every item" if plan is None else f"vector index: {100 * plan.recall:.1f} % of the ten best")


def _care(path: Path, versions: bool, rollback: int | None, verify: bool) -> None:
    from lookalike.errors import StoredIndexError
    from lookalike.search import Index

    opened = Index.open(path)
    if rollback is not None:
        opened.rollback(rollback)
        print(f"{path} holds the {len(opened):,} items of version {rollback}")
    if versions:
        for version in opened.versions:
            print(f"{version.number:>4}  {version.rows:,} items, kept {version.kept}")
        print(f" now  {len(opened):,} items")
    if verify:
        found = opened.verify()
        for item in found.damaged:
            print(f"damaged: {item}")
        for file, how in found.files.items():
            print(f"{how}: {file}")
        if not found.is_whole:
            raise StoredIndexError(f"{path} is damaged: {_what(found)}; {_remedy(path, found)}")
        without = f", {found.unchecked:,} of them stored before there were checksums" if found.unchecked else ""
        print(f"{found.rows:,} items are as they were stored{without}")


def _what(found: "Verified") -> str:
    counts = {"items": len(found.damaged), "files": len(found.files)}
    return found.unreadable or ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _remedy(path: Path, found: "Verified") -> str:
    if found.are_rows_whole:
        return f"lookalike index {path} --ann builds its indexes again, and --exact does without"
    again = f"lookalike index CATALOG --to {path}"
    if found.unreadable is None and not found.files:
        return f"index its catalog again ({again}), which mends damaged items, or with --run RUN --replace all"
    return (
        "items may be missing, or be there again that were removed: go back to a version "
        f"(lookalike index {path} --rollback NUMBER) and index the catalog again ({again}), "
        "or index it anew with --run RUN --replace"
    )
