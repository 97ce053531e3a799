"""Catalog: choosing items, numbering labels, and the way to disk and back."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.catalog import Catalog
from lookalike.errors import CatalogError, ImageError
from tests.pictures import draw, encoded


def items(**columns: object) -> Catalog:
    table = {"item_id": ["a", "b", "c", "d"], "image": [b"1", b"2", b"3", b"4"], **columns}
    return Catalog(pa.table(table), "shop.csv")


def test_where_keeps_order_and_combines() -> None:
    catalog = items(split=["test", "train", "test", "test"], domain=["x", "y", None, "y"])
    assert catalog.where(split="test").column("item_id") == ["a", "c", "d"]
    assert catalog.where(split="test", domain=["y", "z"]).column("item_id") == ["d"]
    assert catalog.where(domain=("x", "y")).column("item_id") == ["a", "b", "d"]
    assert catalog.where().column("item_id") == ["a", "b", "c", "d"]
    assert catalog.where(split="test").name == "shop.csv"


def test_where_of_a_misspelt_column_or_value() -> None:
    catalog = items(split=["test", "train", "test", "test"], label=list("wxyz"))
    with pytest.raises(CatalogError, match=r"shop.csv has no column 'spilt'. Did you mean 'split'\?"):
        catalog.where(spilt="test")
    with pytest.raises(CatalogError, match=r"shop.csv has no items with split = 'tset'. Did you mean 'test'\?"):
        catalog.where(split="tset")
    with pytest.raises(CatalogError, match="no items with label = 'w'"):
        catalog.where(split="train").where(label="w")
    with pytest.raises(CatalogError, match="no items with split = nothing"):
        catalog.where(split=[])


def test_take_follows_the_order_given() -> None:
    catalog = items(label=list("wxyz"))
    assert catalog.take([2, 0]).column("label") == ["y", "w"]
    assert catalog.take(np.array([3])).column("item_id") == ["d"]
    with pytest.raises(CatalogError, match=r"shop.csv has no items"):
        catalog.take([])
    with pytest.raises(CatalogError, match=r"item_id must be unique.*'a' \(2 times\)"):
        catalog.take([0, 0])


def test_a_missing_column_names_the_nearest() -> None:
    with pytest.raises(CatalogError, match=r"shop.csv has no column 'lable'. Did you mean 'label'\?"):
        items(label=list("wxyz")).column("lable")


def test_label_numbers_follow_the_sorted_names() -> None:
    numbers, classes = items(label=["shoe", None, "Bag", "shoe"]).label_numbers()
    assert classes == ["Bag", "shoe"]
    assert numbers.tolist() == [1, -1, 0, 1]
    assert numbers.dtype == np.int64


@pytest.mark.parametrize("missing", ["item_id", "image"])
def test_a_table_needs_ids_and_pictures(missing: str) -> None:
    columns = {"item_id": ["a"], "image": [b"1"]}
    with pytest.raises(CatalogError, match=f"mine has no column '{missing}'"):
        Catalog(pa.table({name: value for name, value in columns.items() if name != missing}), "mine")
    with pytest.raises(CatalogError, match=f"mine, row 2: {missing} is empty"):
        Catalog(pa.table({"item_id": ["a", "b"], "image": [b"1", b"2"]} | {missing: pa.array(["a", None])}), "mine")


def test_a_broken_picture_is_named_by_item_and_source() -> None:
    with pytest.raises(ImageError, match=r"shop.csv, item 'b' \(<1 bytes>\): this is not a picture we can read"):
        items().image(1)
    lost = Catalog(pa.table({"item_id": ["x"], "image": ["shop/lost.png"]}), "shop.csv")
    with pytest.raises(ImageError, match=r"shop.csv, item 'x' \(shop/lost.png\): there is no such file"):
        lost.image(0)


def test_an_image_can_be_decoded_at_a_reduced_size() -> None:
    picture = encoded(draw("bag").resize((800, 640)), "JPEG")
    catalog = Catalog(pa.table({"item_id": ["x"], "image": [picture]}))
    assert catalog.image(0).size == (800, 640)
    assert catalog.image(0, 50).size == (200, 160)


def test_written_catalogs_of_paths_are_read_from_anywhere(shop: Catalog, tmp_path: Path) -> None:
    again = Catalog.read(shop.write(tmp_path / "deep" / "shop.parquet"))
    assert again.table.equals(shop.table)
    assert again.image(3).size == (40, 32)


# What a column of ours holds: any text but the blank ones, which are "missing" in every format.
TEXTS = st.text(max_size=20).filter(lambda text: text.strip() != "") | st.sampled_from(["a\0b", "\U0001f45c", "007"])
#: Arrow's idea of white space and Python's differ in a few control signs, so blank is asked of Arrow itself.
KEPT = TEXTS.filter(lambda text: pa.compute.utf8_trim_whitespace(pa.scalar(text)).as_py() != "")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_write_then_read_keeps_everything(data: st.DataObject) -> None:
    ids = data.draw(st.lists(KEPT, min_size=1, max_size=8, unique=True))
    column = st.lists(st.none() | KEPT, min_size=len(ids), max_size=len(ids))
    table = pa.table(
        {
            "item_id": pa.array(ids, pa.string()),
            "image": pa.array(
                data.draw(st.lists(st.binary(min_size=1), min_size=len(ids), max_size=len(ids))), pa.binary()
            ),
            "label": pa.array(data.draw(column), pa.string()),
            "text": pa.array(data.draw(column), pa.string()),
            "price": pa.array(data.draw(st.lists(st.integers(0, 9), min_size=len(ids), max_size=len(ids)))),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        again = Catalog.read(Catalog(table).write(Path(folder) / "a.parquet"))
    assert again.table.equals(table)
