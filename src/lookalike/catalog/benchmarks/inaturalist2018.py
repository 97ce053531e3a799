"""iNaturalist 2018 in the split of metric learning: 8,142 species of plants, animals and fungi."""

from pathlib import Path
from typing import Any

from lookalike.catalog.benchmarks.benchmark import Benchmark, RemoteFile, Row
from lookalike.catalog.benchmarks.layout import Layout, json_of, listed, picture
from lookalike.errors import CatalogError
from lookalike.progress import track

ADDRESS = "https://ml-inat-competition-datasets.s3.amazonaws.com/2018"
TRAIN_CLASSES = 5690
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "name")


def _rows(layout: Layout) -> list[Row]:
    labels = _labels(layout)
    root = layout.need("train_val2018").parent
    splits = _splits(layout, labels)
    texts = _texts(layout)
    return [
        {
            "item_id": path,
            "image": picture(root, path),
            "label": str(labels[path]),
            # train_val2018/Plantae/7477/picture.jpg: without names, the kingdom at least.
            "text": texts.get(labels[path]) or "".join(path.split("/")[1:2]),
            "split": split,
        }
        for path, split in splits.items()
    ]


def _labels(layout: Layout) -> dict[str, int]:
    """The class of each picture, by its path."""
    labels: dict[str, int] = {}
    for name in track(("train2018.json", "val2018.json"), "reading lists"):
        path = layout.need(name)
        content = json_of(path)
        try:
            classes = {entry["image_id"]: int(entry["category_id"]) for entry in content["annotations"]}
            labels |= {entry["file_name"]: classes[entry["id"]] for entry in content["images"]}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CatalogError(f"{path} lacks images or annotations ({error}); download it again") from None
    return labels


def _splits(layout: Layout, labels: dict[str, int]) -> dict[str, str]:
    """The published split, which lists the pictures; without the lists, the first classes train."""
    lists = {split: layout.look(f"Inaturalist_{split}_set1.txt") for split in ("train", "test")}
    if None in lists.values():
        return {path: "train" if label < TRAIN_CLASSES else "test" for path, label in labels.items()}
    splits = {path: split for split, file in lists.items() if file for (path,) in listed(file, 1)}
    unknown = next((path for path in splits if path not in labels), None)
    if unknown is not None:
        raise CatalogError(f"{lists['train']}: {unknown} is in none of train2018.json, val2018.json")
    return splits


def _texts(layout: Layout) -> dict[int, str]:
    """The species in words: categories.json has all ranks; the first release has numbers for names."""
    path: Path | None = layout.look("categories.json") or layout.look("train2018.json")
    content: Any = json_of(path) if path else []
    try:
        entries = content if isinstance(content, list) else content.get("categories", [])
        return {int(entry["id"]): " ".join(str(entry[rank]) for rank in RANKS if rank in entry) for entry in entries}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(f"{path} does not name the species ({error}); download it again") from None


INATURALIST2018 = Benchmark(
    name="inaturalist2018",
    title="iNaturalist-2018",
    rows=_rows,
    counts={"train": (325846, TRAIN_CLASSES), "test": (136093, 2452)},
    k=(1, 4, 16, 32),
    files=tuple(
        RemoteFile(name, md5, f"{ADDRESS}/{name}")
        for name, md5 in (
            ("train2018.json.tar.gz", "bfa29d89d629cbf04d826a720c0a68b0"),
            ("val2018.json.tar.gz", "f2ed8bfe3e9901cdefceb4e53cd3775d"),
            ("categories.json.tar.gz", None),
            ("train_val2018.tar.gz", "b1c6952ce38f31868cc50ea72d066cc3"),
        )
    ),
    how_to_get=(
        "Read the terms at https://github.com/visipedia/inat_comp/tree/master/2018. The pictures are 120 GB. The split "
        "of metric learning is in two lists, Inaturalist_train_set1.txt and Inaturalist_test_set1.txt, which the page "
        "of Smooth-AP (github.com/Andrew-Brown1/Smooth_AP) links to; put them into the folder too."
    ),
    license="For non-commercial research and education; each picture has its own license.",
    must_accept=True,
)
