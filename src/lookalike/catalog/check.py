"""What is in a catalog and what is wrong with it, before any long work."""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from lookalike.catalog.images import decode, describe_source, read_bytes
from lookalike.catalog.table import Catalog
from lookalike.errors import ImageError
from lookalike.files import sha256
from lookalike.progress import track

TINY_SIDE_PX = 32


@dataclass(frozen=True)
class CatalogReport:
    """What was found. Items are named by item_id; `duplicates` are groups of items whose picture bytes are equal."""

    name: str
    rows: int
    understood: dict[str, str]
    classes: int | None
    images_per_class: dict[str, float] | None
    classes_with_one_image: int
    splits: dict[str, int]
    domains: dict[str, int]
    classes_in_train_and_test: list[str]
    missing_text: int | None
    missing_label: int | None
    unreadable: list[tuple[str, str]]
    tiny: list[str]
    duplicates: list[list[str]]
    duplicates_across_labels: int
    duplicates_across_splits: int
    problems: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether every picture can be read."""
        return not self.unreadable

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self) | {"usable": self.usable}


def check(catalog: Catalog) -> CatalogReport:
    """Read every picture and count what there is; nothing is changed."""
    pictures = _check_pictures(catalog)
    labels = catalog.column("label") if "label" in catalog else None
    sizes = Counter(label for label in labels if label is not None) if labels else Counter[str]()
    report = CatalogReport(
        name=catalog.name,
        rows=len(catalog),
        understood=catalog.understood,
        classes=len(sizes) if labels else None,
        images_per_class=_spread(sizes) if sizes else None,
        classes_with_one_image=sum(size == 1 for size in sizes.values()),
        splits=_counts(catalog, "split"),
        domains=_counts(catalog, "domain"),
        classes_in_train_and_test=_shared_classes(catalog),
        missing_text=_missing(catalog, "text"),
        missing_label=_missing(catalog, "label"),
        unreadable=pictures.unreadable,
        tiny=pictures.tiny,
        duplicates=pictures.duplicates,
        duplicates_across_labels=_differing(catalog, "label", pictures.duplicates),
        duplicates_across_splits=_differing(catalog, "split", pictures.duplicates),
    )
    report.problems.extend(_problems(report))
    return report


@dataclass(frozen=True)
class _Pictures:
    unreadable: list[tuple[str, str]]
    tiny: list[str]
    duplicates: list[list[str]]


def _check_pictures(catalog: Catalog) -> _Pictures:
    unreadable, tiny, by_content = [], [], defaultdict(list)
    items = zip(catalog.column("item_id"), catalog.table.column("image"), strict=True)
    for item, scalar in track(items, "reading pictures", total=len(catalog)):
        source = scalar.as_py()
        try:
            encoded = read_bytes(source)
            by_content[sha256(encoded)].append(item)
            picture = decode(encoded)
        except ImageError as error:
            unreadable.append((item, f"{describe_source(source)}: {error}"))
            continue
        if min(picture.size) < TINY_SIDE_PX:
            tiny.append(item)
    return _Pictures(unreadable, tiny, [group for group in by_content.values() if len(group) > 1])


def _counts(catalog: Catalog, column: str) -> dict[str, int]:
    return dict(Counter(str(value) for value in catalog.column(column))) if column in catalog else {}


def _missing(catalog: Catalog, column: str) -> int | None:
    return sum(value is None for value in catalog.column(column)) if column in catalog else None


def _spread(sizes: Counter[str]) -> dict[str, float]:
    return {"min": min(sizes.values()), "median": median(sizes.values()), "max": max(sizes.values())}


def _shared_classes(catalog: Catalog) -> list[str]:
    if "split" not in catalog or "label" not in catalog:
        return []
    labels = defaultdict(set)
    for split, label in zip(catalog.column("split"), catalog.column("label"), strict=True):
        labels[split].add(label)
    return sorted((labels["train"] & labels["test"]) - {None})


def _differing(catalog: Catalog, column: str, groups: list[list[str]]) -> int:
    if column not in catalog:
        return 0
    values = dict(zip(catalog.column("item_id"), catalog.column(column), strict=True))
    return sum(len({values[item] for item in group} - {None}) > 1 for group in groups)


def _problems(report: CatalogReport) -> list[str]:
    """One sentence for each thing that would make a run fail or its figures lie."""
    candidates = [
        (len(report.unreadable), "{} pictures cannot be read; they are left out of training and of an index"),
        (len(report.tiny), f"{{}} pictures have a side under {TINY_SIDE_PX} px"),
        (len(report.duplicates), "{} groups of items share the very same picture"),
        (report.duplicates_across_labels, "{} of these groups carry different labels: label noise"),
        (
            report.duplicates_across_splits,
            "{} of these groups are in train and in test: the test figures will be too good",
        ),
        (
            len(report.classes_in_train_and_test),
            "{} classes are both in train and in test: metric learning is judged on classes never seen in training",
        ),
        (report.missing_text or 0, "{} items have no text"),
        (report.missing_label or 0, "{} items have no label"),
    ]
    problems = [sentence.format(count) for count, sentence in candidates if count]
    if report.classes == 1:
        problems.append("there is one class only: a loss needs at least two")
    if report.classes and report.classes_with_one_image == report.classes:
        problems.append("every class has one picture: retrieval cannot be judged, since no query has a match")
    return problems
