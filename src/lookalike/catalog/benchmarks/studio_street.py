"""Pictures of products from the studio and from the street: the layout of cross-domain fashion sets, for your own."""

from pathlib import Path

from lookalike.catalog import sources
from lookalike.catalog.benchmarks.benchmark import Benchmark, Row
from lookalike.catalog.benchmarks.layout import Layout, words
from lookalike.catalog.images import SUFFIXES
from lookalike.catalog.splits import later_half
from lookalike.errors import CatalogError

DOMAINS = ("studio", "street")


def _rows(layout: Layout) -> list[Row]:
    rows = _tabled(layout.root) if _tables(layout.root) else _folders(layout)
    domains = {row["domain"] for row in rows}
    if not domains >= set(DOMAINS):
        raise CatalogError(
            f"{layout.root}: the domains must be {' and '.join(DOMAINS)}, not {sorted(map(str, domains))}"
        )
    if any(row.get("split") is None for row in rows):
        test = later_half([row["label"] for row in rows])
        rows = [row | {"split": "test" if is_test else "train"} for row, is_test in zip(rows, test, strict=True)]
    return rows


def _folders(layout: Layout) -> list[Row]:
    """studio/PRODUCT/picture.jpg and street/PRODUCT/picture.jpg."""
    root = layout.need(DOMAINS[0]).parent
    return [
        {
            "item_id": str(path.relative_to(root)),
            "image": str(path),
            "label": path.parent.name,
            "text": words(path.parent.name),
            "domain": domain,
        }
        for domain in DOMAINS
        for path in sorted((root / domain).glob("*/*"))
        if path.suffix.lower() in SUFFIXES
    ]


def _tables(root: Path) -> list[Path]:
    return sorted(path for suffix in sources.READERS for path in root.glob(f"*{suffix}"))


def _tabled(root: Path) -> list[Row]:
    """A table with the columns image, label and domain, and text and split if there are any."""
    tables = _tables(root)
    if len(tables) > 1:
        raise CatalogError(f"{root} holds {len(tables)} tables; keep one, or read it as a catalog: {tables[0]}")
    table, found = sources.read(tables[0], dict.fromkeys(sources.USUAL_NAMES))
    missing = [name for name in ("label", "domain") if name not in found]
    if missing:
        raise CatalogError(f"{tables[0]} has no column {' and no column '.join(missing)}")
    rows: list[Row] = table.to_pylist()
    return rows


STUDIO_STREET = Benchmark(
    name="studio_street",
    title="studio and street",
    rows=_rows,
    how_to_get=(
        "This is a layout, not a data set: the Amazon fashion data of the papers is not public. Lay out your own "
        "pictures as studio/PRODUCT/picture.jpg and street/PRODUCT/picture.jpg, or list them in a table."
    ),
    license="That of your pictures.",
)
