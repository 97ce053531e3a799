"""Cars196 (Stanford Cars): 196 cars by make, model and year; in the official layouts and those of re-uploads."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.catalog.benchmarks.benchmark import Benchmark, RemoteFile, Row
from lookalike.catalog.benchmarks.layout import Layout, picture
from lookalike.catalog.benchmarks.matlab import read_matlab
from lookalike.catalog.images import SUFFIXES
from lookalike.errors import CatalogError
from lookalike.progress import track

#: The official numbers go by make, so that the first 98 classes are those of these makes, and one FIAT. A name says
#: to which half a class belongs also where a re-upload has lost the number.
TRAIN_MAKES = (
    "AM General",
    "Acura",
    "Aston Martin",
    "Audi",
    "BMW",
    "Bentley",
    "Bugatti",
    "Buick",
    "Cadillac",
    "Chevrolet",
    "Chrysler",
    "Daewoo",
    "Dodge",
    "Eagle",
    "FIAT 500 Abarth",
)
TWO_WORD_MAKES = ("AM General", "Aston Martin", "Land Rover")
#: The official lists with every label, each with the folder of its pictures.
DEVKIT = {"cars_train_annos.mat": "cars_train", "cars_test_annos_withlabels.mat": "cars_test"}


def _rows(layout: Layout) -> list[Row]:
    for _ in ("as it lies there", "with all archives unpacked"):
        for reader in (_annotated, _devkit, _folders, _parquet):
            rows = [_row(*item) for item in reader(layout)]
            if rows:
                return rows
        layout.unpack_all()
    raise CatalogError(
        f"{layout.root} holds none of the known layouts of Cars196: cars_annos.mat and car_ims; devkit, cars_train, "
        "cars_test and cars_test_annos_withlabels.mat; train and test with a folder for each class; or Parquet files "
        "with image and label; see docs/datasets.md"
    )


def _row(item: str, image: str | bytes, name: str) -> Row:
    name = " ".join(name.split())
    make = next((two for two in TWO_WORD_MAKES if name.lower().startswith(two.lower())), name.partition(" ")[0])
    model, _, year = name[len(make) :].strip().rpartition(" ")
    is_train = f"{name} ".lower().startswith(tuple(f"{one} ".lower() for one in TRAIN_MAKES))
    return {
        "item_id": item,
        "image": image,
        "label": name,
        "text": name,
        "split": "train" if is_train else "test",
        "make": make,
        "model": model,
        "year": year,
    }


def _annotated(layout: Layout) -> Iterator[tuple[str, str | bytes, str]]:
    """All pictures in car_ims, listed by cars_annos.mat."""
    annotations = layout.look("cars_annos.mat")
    if annotations is None:
        return
    root = layout.need("car_ims").parent
    content = read_matlab(annotations, {"class_names": [], "annotations": ["relative_im_path", "class"]})
    for path, name in _named(annotations, content["annotations"], content["class_names"]):
        yield path, picture(root, path), name


def _devkit(layout: Layout) -> Iterator[tuple[str, str | bytes, str]]:
    """The pictures of the car challenge: cars_train and cars_test, whose names are the same."""
    meta = layout.look("cars_meta.mat")
    if meta is None:
        return
    names = read_matlab(meta, {"class_names": []})["class_names"]
    for annotations, folder in DEVKIT.items():
        listing, root = layout.need(annotations), layout.need(folder)
        # In one re-upload cars_train lies in cars_train.
        root = root / folder if (root / folder).is_dir() else root
        content = read_matlab(listing, {"annotations": ["fname", "class"]})
        for path, name in _named(listing, content["annotations"], names):
            file = path.rpartition("/")[2]
            yield f"{folder}/{file}", picture(root, file), name


def _folders(layout: Layout) -> Iterator[tuple[str, str | bytes, str]]:
    """train/CLASS/picture.jpg and test/CLASS/picture.jpg, a slash in a class's name turned into a hyphen."""
    train = layout.look("train")
    if train is None:
        return
    for split in ("train", "test"):
        for path in sorted((train.parent / split).glob("*/*")):
            if path.suffix.lower() in SUFFIXES:
                name = path.parent.name.replace("Ram C-V", "Ram C/V")  # the one class with a slash
                yield f"{split}/{path.parent.name}/{path.name}", str(path), name


def _parquet(layout: Layout) -> Iterator[tuple[str, str | bytes, str]]:
    """Parquet files with image {bytes, path} and label, whose names are in the file, as the Hugging Face Hub has it."""
    first = layout.look("*.parquet")
    for path in track(sorted(first.parent.glob("*.parquet")) if first else (), "reading Parquet files"):
        try:
            table = pq.read_table(path, columns=["image", "label"])
            features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
            names = features["label"]["names"]
            pictures, labels = table.column("image").to_pylist(), table.column("label").to_pylist()
            for number, (image, label) in enumerate(zip(pictures, labels, strict=True)):
                yield f"{path.stem}/{number}", image["bytes"], names[label]
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError) as error:
            raise CatalogError(
                f"{path} is not Cars196 as the Hub has it (image, label, and the names of the labels): {error}"
            ) from None


def _named(path: Path, listed: list[list[str]], names: list[str]) -> Iterator[tuple[str, str]]:
    """The path of each picture that a MATLAB file lists with the number of its class, and the name of the class.

    Raises:
        CatalogError: a class has no name.
    """
    for file, number in listed:
        if not number.isdecimal() or not 1 <= int(number) <= len(names):
            raise CatalogError(f"{path}: there is no class {number}; there are {len(names)}")
        yield file, names[int(number) - 1]


CARS196 = Benchmark(
    name="cars196",
    title="Cars196",
    rows=_rows,
    counts={"train": (8054, 98), "test": (8131, 98)},
    files=(
        RemoteFile("car_ims.tgz", "d5c8f0aa497503f355e17dc7886c3f14"),
        RemoteFile("cars_annos.mat", "b407c6086d669747186bd1d764ff9dbc"),
    ),
    how_to_get=(
        "Its official address (ai.stanford.edu/~jkrause/cars) is dead. Get a re-upload: on Kaggle "
        "jutrera/stanford-car-dataset-by-classes-folder or rickyyyyyyy/torchvision-stanford-cars, on the Hugging Face "
        "Hub one with image and label like tanganke/stanford_cars; or name a --mirror that has car_ims.tgz and "
        "cars_annos.mat."
    ),
    license="For non-commercial research; the pictures belong to their owners.",
)
