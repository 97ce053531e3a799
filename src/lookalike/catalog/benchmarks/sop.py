"""Stanford Online Products: 22,634 products sold on eBay, in 12 super-classes."""

from lookalike.catalog.benchmarks.benchmark import Benchmark, RemoteFile, Row
from lookalike.catalog.benchmarks.layout import Layout, listed, picture, words


def _rows(layout: Layout) -> list[Row]:
    root = layout.need("Ebay_train.txt").parent
    rows = []
    for split in ("train", "test"):
        # image_id class_id super_class_id path
        for _, label, _, path in listed(root / f"Ebay_{split}.txt", 4, skip=1):
            super_class = words(path.partition("/")[0].removesuffix("_final"))
            rows.append(
                {
                    "item_id": path,
                    "image": picture(root, path),
                    "label": label,
                    "text": super_class,
                    "split": split,
                    "super_class": super_class,
                }
            )
    return rows


SOP = Benchmark(
    name="sop",
    title="Stanford Online Products",
    rows=_rows,
    counts={"train": (59551, 11318), "test": (60502, 11316)},
    k=(1, 10, 100, 1000),
    files=(
        RemoteFile(
            "Stanford_Online_Products.zip",
            "7f73d41a2f44250d4779881525aea32e",
            "http://ftp.cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",
        ),
    ),
    how_to_get="Get Stanford_Online_Products.zip from https://cvgl.stanford.edu/projects/lifted_struct/.",
    license="See LICENSE in the archive; the pictures belong to the sellers.",
)
