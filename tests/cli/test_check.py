"""What `check` says of the descriptions, beside what it says of the pictures."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from lookalike import Catalog
from tests.cli.conftest import Command


def test_the_text_part_says_what_the_words_are_worth(lookalike: Command, shop: Path) -> None:
    said = lookalike("check", shop).out
    assert "text: 144 of 144 items (100%) have a usable one" in said
    assert "distinct; words per text: min" in said
    assert "24 classes by text (squared distance, 0 to 4): raw" in said
    assert "nearest:" in said
    assert "farthest:" in said


def test_the_text_part_is_in_the_json(lookalike: Command, shop: Path) -> None:
    found = json.loads(lookalike("check", shop, "--json").out)["text"]
    assert (found["items"], found["usable"]) == (144, 144)
    assert found["classes"]["classes"] == 24
    assert len(found["classes"]["nearest"]) == 5


def test_brands_and_long_texts_are_shown_shortly(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    table = Catalog.read(shop).table
    names = [f"{brand}{row % 12} shirt{row} with buttons" for row, brand in enumerate(["Brand"] * table.num_rows)]
    table = table.set_column(table.column_names.index("text"), "text", [["word " * 40] * 2 + names[2:]])
    pq.write_table(table, tmp_path / "branded.parquet")
    said = lookalike("check", tmp_path / "branded.parquet").out
    assert f"the commonest, of 2 items: {('word ' * 40)[:70]}..." in said
    assert "brands found" not in said  # 12 texts each are too few

    many = [f"Brand{row % 3} shirt{row}" for row in range(table.num_rows)]
    table = table.set_column(table.column_names.index("text"), "text", [many])
    pq.write_table(table, tmp_path / "branded.parquet")
    said = lookalike("check", tmp_path / "branded.parquet").out
    assert "brands found: brand0, brand1, brand2" in said
    assert "a clean-up would change (distinct texts): brands 144" in said


def test_no_text_or_no_words(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    table = Catalog.read(shop).table
    pq.write_table(table.drop_columns("text"), tmp_path / "silent.parquet")
    assert "text:" not in lookalike("check", tmp_path / "silent.parquet").out
    assert json.loads(lookalike("check", tmp_path / "silent.parquet", "--json").out)["text"] is None

    dots = table.set_column(table.column_names.index("text"), "text", [["..."] * table.num_rows])
    pq.write_table(dots, tmp_path / "dots.parquet")
    assert "text: 0 of 144 items (0%) have a usable one" in lookalike("check", tmp_path / "dots.parquet").out


def test_near_duplicates_are_found_and_priced(lookalike: Command, shop: Path, run: Path, tmp_path: Path) -> None:
    drawn = Catalog.read(shop)
    pictures, splits = drawn.column("image"), drawn.column("split")
    train, test = splits.index("train"), splits.index("test")
    pictures[test] = pictures[train]
    place = drawn.table.column_names.index("image")
    path = Catalog(drawn.table.set_column(place, "image", [pictures])).write(tmp_path / "leaky.parquet")

    result = lookalike("check", path, "--near", "--run", run, "--sheet", tmp_path / "near.png")
    assert result.code == 0, result.err
    by_hash, by_embedding = result.out.split("near-duplicates by ")[1:]
    items = drawn.column("item_id")
    for said in (by_hash, by_embedding):
        assert "test pictures are nearly the same as a training picture" in said
    assert f"{items[test]} = {items[train]} (1.000)" in by_hash
    assert "Recall@1 of the " in by_embedding and "Recall@1" not in by_hash
    with Image.open(tmp_path / "near.png") as sheet:
        assert sheet.width > 100

    found = json.loads(lookalike("check", path, "--near", "--json").out)
    assert [items[test], items[train], 1.0] in found["near"]["picture hash"]["across_splits"]
    assert "near" not in json.loads(lookalike("check", path, "--json").out)


def test_near_mistakes(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    assert lookalike("check", shop, "--sheet", tmp_path / "x.png").code == 2
    assert "add --near" in lookalike("check", shop, "--run", tmp_path).err
    refused = lookalike("check", shop, "--near", "--run", tmp_path / "none")
    assert refused.code == 1 and "there is no encoder in" in refused.err
