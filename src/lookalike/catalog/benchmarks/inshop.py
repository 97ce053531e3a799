"""DeepFashion In-Shop: 7,982 garments of one shop, with descriptions; some pictures of a garment query the others."""

from pathlib import Path
from typing import Any

from lookalike.catalog.benchmarks.benchmark import Benchmark, RemoteFile, Row
from lookalike.catalog.benchmarks.layout import Layout, json_of, listed, picture, words
from lookalike.errors import CatalogError
from lookalike.progress import note

STATUSES = ("train", "query", "gallery")


def _rows(layout: Layout) -> list[Row]:
    partition = layout.need("list_eval_partition.txt")
    root = layout.need("img").parent
    items = layout.look("list_item_inshop.txt")
    known = {item for (item,) in listed(items, 1, skip=1)} if items else None
    descriptions = layout.look("list_description_inshop.json")
    told = _descriptions(descriptions) if descriptions else {}
    if not told:
        note(f"{layout.root} holds no list_description_inshop.json: the text is the category alone")
    rows = []
    # The first line counts the pictures, the second names the columns.
    for path, item, status in listed(partition, 3, skip=2):
        if status not in STATUSES:
            raise CatalogError(f"{partition}: {path} is {status!r}, which is none of {', '.join(STATUSES)}")
        if known is not None and item not in known:
            raise CatalogError(f"{partition}: {path} shows {item}, which {items} does not list")
        # img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg
        gender, category = ([*path.split("/")[1:-2], "", ""])[:2]
        color, description = told.get(item, ("", ""))
        about = ". ".join(part for part in (words(category), color, description) if part)
        rows.append(
            {
                "item_id": path,
                "image": picture(root, path),
                "label": item,
                "text": about or None,
                "split": "train" if status == "train" else "test",
                "role": None if status == "train" else status,
                "gender": gender.lower(),
                "category": words(category),
                "color": color or None,
            }
        )
    return rows


def _descriptions(path: Path) -> dict[str, tuple[str, str]]:
    """Color and description of each garment; the first where there are several colors."""
    entries = json_of(path)
    found: dict[str, tuple[str, str]] = {}
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "item" in entry for entry in entries):
        raise CatalogError(f"{path} must be a list of {{item, color, description}}; download it again")
    for entry in entries:
        found.setdefault(str(entry["item"]), (_text(entry.get("color")), _text(entry.get("description"))))
    return found


def _text(value: Any) -> str:
    """A text, or a list of its paragraphs, in one line."""
    paragraphs = value if isinstance(value, list) else [value or ""]
    return " ".join(" ".join(map(str, paragraphs)).split())


INSHOP = Benchmark(
    name="inshop",
    title="DeepFashion In-Shop",
    rows=_rows,
    counts={"train": (25882, 3997), "query": (14218, 3985), "gallery": (12612, 3985)},
    k=(1, 10, 20, 30),
    files=tuple(
        RemoteFile(name)
        for name in (
            "img.zip",
            "list_eval_partition.txt",
            "list_description_inshop.json",
            "list_item_inshop.txt",
        )
    ),
    how_to_get=(
        "Open https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html, accept the agreement, and get "
        "from its In-shop folder Img/img.zip, Eval/list_eval_partition.txt, Anno/list_description_inshop.json and "
        "Anno/list_item_inshop.txt."
    ),
    license="For non-commercial research only, after an agreement with the Chinese University of Hong Kong.",
    must_accept=True,
)
