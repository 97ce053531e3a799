"""Caltech-UCSD Birds 200-2011: 200 species of birds, with attributes of each and, from others, captions."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from lookalike.catalog.benchmarks.benchmark import Benchmark, RemoteFile, Row
from lookalike.catalog.benchmarks.layout import Layout, listed, picture, text_of, words
from lookalike.errors import CatalogError

TRAIN_CLASSES = 100
#: An attribute describes a species if at least so many of 100 people saw it. [ours]
SEEN_PERCENT = 40.0


def _rows(layout: Layout) -> list[Row]:
    root = layout.need("images.txt").parent
    classes = {number: words(name.partition(".")[2] or name) for number, name in listed(root / "classes.txt", 2)}
    labels = dict(listed(root / "image_class_labels.txt", 2))
    attributes = _attributes(layout, list(classes))
    captions = layout.look("text_c10")
    rows = []
    for number, name in listed(root / "images.txt", 2):
        if labels.get(number) not in classes or not labels[number].isdecimal():
            raise CatalogError(f"{root}: picture {number} ({name}) has no class in image_class_labels.txt, classes.txt")
        label = labels[number]
        told = _captions(captions, name) if captions else None
        about = attributes.get(label)
        rows.append(
            {
                "item_id": name,
                "image": picture(root / "images", name),
                "label": f"{int(label):03d} {classes[label]}",
                "text": told or ". ".join(part for part in (classes[label], about) if part),
                "split": "train" if int(label) <= TRAIN_CLASSES else "test",
                "class_name": classes[label],
                "attributes": about,
                "captions": told,
            }
        )
    return rows


def _attributes(layout: Layout, classes: list[str]) -> dict[str, str]:
    """What people see on most birds of a species, in words; the most common value of each part.

    The table has a row per class and a column per attribute: how many of 100 people saw it. An attribute is named
    like `has_bill_shape::curved_(up_or_down)`.
    """
    names, table = layout.look("attributes.txt"), layout.look("class_attribute_labels_continuous.txt")
    if names is None or table is None:
        return {}
    parts = [name.removeprefix("has_").partition("::") for _, name in listed(names, 2)]
    try:
        percent = np.array([line.split() for line in text_of(table).splitlines() if line.strip()], dtype=np.float64)
    except ValueError:
        percent = np.empty((0, 0))
    if percent.shape != (len(classes), len(parts)):
        raise CatalogError(f"{table} must have {len(classes)} rows of {len(parts)} numbers, as {names} says")
    columns = defaultdict(list)
    for column, (part, _, _) in enumerate(parts):
        columns[part].append(column)
    described = {}
    for number, row in zip(classes, percent, strict=True):
        best = [max(group, key=row.__getitem__) for group in columns.values()]
        seen = [f"{words(parts[one][0])} {_value(parts[one][2])}" for one in best if row[one] >= SEEN_PERCENT]
        described[number] = ", ".join(seen)
    return described


def _value(name: str) -> str:
    return words(name.replace("(", " ").replace(")", " "))


def _captions(folder: Path, name: str) -> str | None:
    """The captions of Reed et al.: text_c10/CLASS/PICTURE.txt, one a line."""
    file = Path(picture(folder, name)).with_suffix(".txt")
    return " ".join(text_of(file).split()) or None if file.is_file() else None


CUB200 = Benchmark(
    name="cub200",
    title="CUB-200-2011",
    rows=_rows,
    counts={"train": (5864, 100), "test": (5924, 100)},
    files=(
        RemoteFile(
            "CUB_200_2011.tgz",
            "97eceeb196236b17998738112f37df78",
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
        ),
    ),
    how_to_get="Get CUB_200_2011.tgz from https://data.caltech.edu/records/65de6-vp158.",
    license="For non-commercial research and education; the pictures belong to their photographers.",
)
