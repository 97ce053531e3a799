"""Versions, verification and replacement of an index by the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookalike import Catalog, Index

Command = Callable[..., Any]


def test_versions_and_rollback(lookalike: Command, shop: Path, index: Path, tmp_path: Path) -> None:
    few = Catalog.read(shop).take(range(10))
    more = Catalog(few.table.set_column(0, "item_id", [[f"new {n}" for n in range(10)]])).write(
        tmp_path / "more.parquet"
    )
    assert "10 items added" in lookalike("index", more, "--to", index).out
    listed = lookalike("index", index, "--versions").out.splitlines()
    assert [line.split()[:2] for line in listed] == [["1", "0"], ["2", "144"], ["now", "154"]]
    back = lookalike("index", index, "--rollback", "2")
    assert (back.code, back.out) == (0, f"{index} holds the 144 items of version 2\n")
    refused = lookalike("index", index, "--rollback", "9")
    assert (refused.code, refused.err) == (1, "Error: version 9 is not kept; kept: 1, 2, 3\n")


def test_verify(lookalike: Command, shop: Path, run: Path, index: Path) -> None:
    whole = lookalike("index", index, "--verify")
    assert (whole.code, whole.out) == (0, "144 items are as they were stored\n")
    (file,) = (index / "items.lance" / "data").iterdir()
    content = bytearray(file.read_bytes())
    place = content.index(b"\xff\xd8\xff\xe0") + 200  # in the first thumbnail
    content[place] ^= 1
    file.write_bytes(content)
    damaged = lookalike("index", index, "--verify")
    assert damaged.code == 1
    (line,) = damaged.out.splitlines()
    item = line.removeprefix("damaged: ")
    assert item in Catalog.read(shop).column("item_id")
    assert f"{index} is damaged: 1 items; index its catalog again (lookalike index CATALOG --to {index})" in damaged.err
    mended = lookalike("index", shop, "--to", index)
    assert f"1 items added, 143 with the picture that was there; {index} holds 144" in mended.out
    assert lookalike("index", index, "--verify").code == 0


def test_damaged_indexes_are_built_again(lookalike: Command, index: Path) -> None:
    assert "vector index: 100.0 % of the ten best" in lookalike("index", index, "--ann").err
    (file,) = (index / "items.lance" / "_indices").glob("*/auxiliary.idx")
    file.write_bytes(file.read_bytes()[:-1])
    damaged = lookalike("index", index, "--verify")
    assert (damaged.code, damaged.out) == (1, f"changed: {file.relative_to(index)}\n")
    assert damaged.err == (
        f"Error: {index} is damaged: 1 files; lookalike index {index} --ann builds its indexes again, "
        "and --exact does without\n"
    )
    assert lookalike("index", index, "--ann").code == 0
    assert lookalike("index", index, "--verify").out == "144 items are as they were stored\n"


def test_a_lost_change(lookalike: Command, shop: Path, index: Path) -> None:
    opened = Index.open(index)
    opened.remove(Catalog.read(shop).column("item_id")[0])
    newest = min((index / "items.lance" / "_versions").glob("*.manifest"))  # their names count down
    newest.unlink()  # the removed item is there again
    damaged = lookalike("index", index, "--verify")
    assert (damaged.code, damaged.out) == (1, f"missing: {newest.relative_to(index)}\n")
    assert f"{index} is damaged: 1 files; items may be missing, or be there again that were removed" in damaged.err
    assert f"go back to a version (lookalike index {index} --rollback NUMBER)" in damaged.err
    number = opened.versions[-1].number
    assert lookalike("index", index, "--rollback", str(number)).code == 0
    assert lookalike("index", index, "--verify").out == "144 items are as they were stored\n"


def test_replace(lookalike: Command, shop: Path, run: Path, index: Path, tmp_path: Path) -> None:
    from lookalike import Encoder

    Encoder.create("test_resnet", dim=8, pretrained=False, image_size=32).save(tmp_path / "other")
    replaced = lookalike("index", shop, "--run", tmp_path / "other", "--to", index, "--replace")
    assert (replaced.code, replaced.out) == (0, f"144 items added; {index} holds 144\n")
    assert sorted(path.name for path in index.iterdir()) == ["manifest.json", "model-1"]
    item = Catalog.read(shop).column("item_id")[0]
    matches = json.loads(lookalike("search", index, "--item-id", item, "--json").out)
    assert len(matches) == 10
    assert matches[0]["probability"] is None  # this encoder knows no calibration
    for arguments in (["--replace"], ["--replace", "--to", index]):
        assert lookalike("index", shop, *arguments).code == 2


def test_search_shows_how_sure_it_is(lookalike: Command, shop: Path, index: Path) -> None:
    item = Catalog.read(shop).column("item_id")[0]
    matches = json.loads(lookalike("search", index, "--item-id", item, "--json").out)
    likely = [match["probability"] for match in matches]
    assert likely == sorted(likely, reverse=True)
    assert 0 < likely[-1] <= likely[0] < 1
    first = lookalike("search", index, "--item-id", item).out.splitlines()[0]
    assert f"{matches[0]['score']:.4f} {100 * likely[0]:.0f} % {matches[0]['item_id']}" in first
    by_words = json.loads(lookalike("search", index, "--words", "red dress", "--json").out)
    assert {match["probability"] for match in by_words} == {None}
