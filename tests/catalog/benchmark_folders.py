"""Tiny data sets in the exact layouts of the published ones: a few classes, two to four JPEGs each."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat

from tests.pictures import encoded

Files = dict[str, bytes]

CARS = [
    "AM General Hummer SUV 2000",
    "Audi R8 Coupe 2012",
    "FIAT 500 Abarth 2012",
    "FIAT 500 Convertible 2012",
    "Ram C/V Cargo Van Minivan 2012",
    "Land Rover Range Rover SUV 2012",
]


def jpeg(kind: int, number: int, side: int = 40) -> bytes:
    """A JPEG in the color of its kind, with a mark whose place is the number."""
    pixels = np.full((side, side, 3), 110, dtype=np.uint8)
    pixels[5:30, 5:30] = [(37 * kind) % 256, (91 * kind + 60) % 256, (53 * kind + 120) % 256]
    pixels[32:38, 2 + 6 * (number % 6) : 6 + 6 * (number % 6)] = 240
    return encoded(Image.fromarray(pixels), "JPEG", quality=90)


def lines(*rows: object) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


def cub(images: int = 3, numbers: tuple[int, ...] = (1, 2, 100, 101, 150, 200)) -> Files:
    """CUB_200_2011.tgz: the species that are not in `numbers` have no pictures."""
    names = {number: f"{number:03d}.Bird_of_{number}" for number in range(1, 201)} | {1: "001.Black_footed_Albatross"}
    pictures = [(f"{names[number]}/{number}_{i}.jpg", number, i) for number in numbers for i in range(images)]
    attributes = ["has_bill_shape::curved_(up_or_down)", "has_bill_shape::cone", "has_wing_color::grey"]
    table = [f"{70 if n % 2 else 10}.5 {20 if n % 2 else 60} {'39.9' if n == 2 else '80'}" for n in range(1, 201)]
    root = "CUB_200_2011"
    return {
        "attributes.txt": lines(*(f"{n} {name}" for n, name in enumerate(attributes, 1))),
        f"{root}/README": b"birds\n",
        f"{root}/._README": b"left by a Mac",
        f"{root}/classes.txt": lines(*(f"{n} {name}" for n, name in names.items())),
        f"{root}/images.txt": lines(*(f"{n} {name}" for n, (name, _, _) in enumerate(pictures, 1))),
        f"{root}/image_class_labels.txt": lines(*(f"{n} {label}" for n, (_, label, _) in enumerate(pictures, 1))),
        f"{root}/attributes/class_attribute_labels_continuous.txt": lines(*table),
        **{f"{root}/images/{name}": jpeg(kind, i) for name, kind, i in pictures},
    }


CUB_COUNTS = {"train": (9, 3), "test": (9, 3)}


def sop() -> Files:
    """Stanford_Online_Products.zip."""
    header = "image_id class_id super_class_id path"
    root, files = "Stanford_Online_Products", {}
    for split, labels, super_class in (("train", (1, 2), "bicycle"), ("test", (11319, 11320, 11321), "coffee_maker")):
        rows = [header]
        for label in labels:
            for i in range(2):
                name = f"{super_class}_final/{label}_{i}.JPG"
                rows.append(f"{len(rows)} {label} 1 {name}")
                files[f"{root}/{name}"] = jpeg(label, i)
        files[f"{root}/Ebay_{split}.txt"] = lines(*rows)
    return files


SOP_COUNTS = {"train": (4, 2), "test": (6, 3)}


def inshop() -> Files:
    """The folder as the agreement's owner shares it, but for Img/img.zip, which is what `img/` is in."""
    rows, files = [], {}
    for number in range(1, 6):
        item = f"id_{number:08d}"
        folder = f"img/{'WOMEN/Blouses_Shirts' if number % 2 else 'MEN/Denim'}/{item}"
        for i, status in enumerate(("train",) * 3 if number <= 3 else ("query", "query", "gallery", "gallery")):
            rows.append(f"{folder}/0{i}_1_front.jpg     {item}     {status}")
            files[f"{folder}/0{i}_1_front.jpg"] = jpeg(number, i)
    told = [
        {"item": "id_00000001", "color": "Sea green", "description": ["A woven blouse.", "Concealed  placket"]},
        {"item": "id_00000001", "color": "Black", "description": ["The same in black."]},
        {"item": "id_00000004", "color": "Medium denim", "description": ["Slim jeans."]},
    ]
    return files | {
        "Eval/list_eval_partition.txt": lines(len(rows), "image_name item_id evaluation_status", *rows),
        "Anno/list_item_inshop.txt": lines(5, *(f"id_{n:08d}" for n in range(1, 6))),
        "Anno/list_description_inshop.json": json.dumps(told).encode(),
    }


INSHOP_COUNTS = {"train": (9, 3), "query": (4, 2), "gallery": (4, 2)}


def inaturalist() -> Files:
    """train2018.json, val2018.json, categories.json, the lists of the split, and the pictures."""
    files: Files = {}
    parts: dict[str, list[tuple[str, int]]] = {"train": [], "val": []}
    for label in (0, 1, 6000, 6001):
        for i in range(3):
            name = f"train_val2018/{'Plantae' if label % 2 else 'Aves'}/{label}/{label}_{i}.jpg"
            files[name] = jpeg(label, i)
            parts["val" if i == 2 else "train"].append((name, label))
    for part, members in parts.items():
        content = {
            "images": [{"id": n, "file_name": name} for n, (name, _) in enumerate(members)],
            "annotations": [{"id": n, "image_id": n, "category_id": label} for n, (_, label) in enumerate(members)],
            "categories": [{"id": 0, "name": "0", "supercategory": "Aves"}],
        }
        files[f"{part}2018.json"] = json.dumps(content).encode()
    ranks = {"kingdom": "Animalia", "family": "Corvidae", "genus": "Corvus", "name": "Corvus corax"}
    files["categories.json"] = json.dumps([{"id": 0, "supercategory": "Aves", **ranks}]).encode()
    everything = [*parts["train"], *parts["val"]]
    for split, wanted in (("train", (0, 6000)), ("test", (1, 6001))):
        listed = [name for name, label in everything if label in wanted]
        files[f"Inat_dataset_splits/Inaturalist_{split}_set1.txt"] = lines(*listed)
    return files


INATURALIST_COUNTS = {"train": (6, 2), "test": (6, 2)}


def matlab(**variables: object) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


def _annotations(rows: list[tuple[str, int]], path: str) -> np.ndarray:
    """A 1 x N struct array, as MATLAB writes it: relative_im_path or fname, a box, class."""
    kinds = [(path, object), ("bbox_x1", object), ("class", object), ("test", object)]
    found = np.empty((1, len(rows)), dtype=kinds)
    for number, (name, label) in enumerate(rows):
        found[0, number] = (name, np.uint8(3), np.uint8(label), np.uint8(0))
    return found


def _class_names(names: list[str]) -> np.ndarray:
    return np.array([names], dtype=object)


def cars() -> Files:
    """car_ims.tgz and cars_annos.mat: each of the six classes has two pictures."""
    rows = [(f"car_ims/{2 * label + i:06d}.jpg", label + 1) for label in range(6) for i in range(2)]
    content = matlab(annotations=_annotations(rows, "relative_im_path"), class_names=_class_names(CARS))
    return {"cars_annos.mat": content} | {name: jpeg(label - 1, n) for n, (name, label) in enumerate(rows)}


def cars_devkit() -> Files:
    """The challenge's folders, in which a train and a test picture have the same name."""
    files = {"devkit/cars_meta.mat": matlab(class_names=_class_names(CARS))}
    for part, listing in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = [(f"{label + 1:05d}.jpg", label + 1) for label in range(6)]
        files[listing] = matlab(annotations=_annotations(rows, "fname"))
        files |= {f"cars_{part}/{name}": jpeg(label - 1, len(part)) for name, label in rows}
    return files


def cars_by_class() -> Files:
    """The Kaggle re-upload: car_data/car_data/{train,test}/CLASS."""
    return {
        f"car_data/car_data/{split}/{name.replace('/', '-')}/{number:05d}.jpg": jpeg(number, len(split))
        for split in ("train", "test")
        for number, name in enumerate(CARS)
    }


def cars_parquet() -> Files:
    """The Hub's re-upload: data/train-*.parquet and data/test-*.parquet with the names of the labels."""
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": CARS, "_type": "ClassLabel"}}}}
    files = {}
    for split in ("train", "test"):
        images = [{"bytes": jpeg(number, len(split)), "path": f"{number}.jpg"} for number in range(6)]
        table = pa.table({"image": images, "label": pa.array(range(6))})
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), buffer)
        files[f"data/{split}-00000-of-00001.parquet"] = buffer.getvalue()
    return files


CARS_COUNTS = {"train": (6, 3), "test": (6, 3)}


def studio_street() -> Files:
    """studio/PRODUCT and street/PRODUCT."""
    return {
        f"{domain}/{product}/{i}.jpg": jpeg(kind, i + 3 * (domain == "street"))
        for domain in ("studio", "street")
        for kind, product in enumerate(("felt_hat", "long_coat", "red_bag", "wool_sock"))
        for i in range(2)
    }


def laid_out(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def as_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def as_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def under(files: Files, *prefixes: str) -> Files:
    """Those whose path begins so."""
    return {name: content for name, content in files.items() if name.startswith(prefixes)}


MAKERS: dict[str, tuple[Callable[[], Files], dict[str, tuple[int, int]]]] = {
    "cub200": (cub, CUB_COUNTS),
    "cars196": (cars, CARS_COUNTS),
    "sop": (sop, SOP_COUNTS),
    "inshop": (inshop, INSHOP_COUNTS),
    "inaturalist2018": (inaturalist, INATURALIST_COUNTS),
    "studio_street": (studio_street, {}),
}
