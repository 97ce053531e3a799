"""`lookalike duplicates` and the mixed searches, as a user types them."""

import json
from pathlib import Path

from lookalike import Catalog
from tests.cli.conftest import Command


def test_duplicates(lookalike: Command, shop: Path, run: Path, tmp_path: Path) -> None:
    catalog = Catalog.read(shop)
    pictures = catalog.column("image")
    pictures[5] = pictures[0]
    place = catalog.table.column_names.index("image")
    sellers = ["ann"] + ["bob"] * (len(pictures) - 1)
    table = catalog.table.set_column(place, "image", [pictures]).append_column("seller", [sellers])
    double = Catalog(table).write(tmp_path / "double.parquet")
    index = tmp_path / "double.index"
    assert lookalike("index", double, "--run", run, "--to", index).code == 0
    one, other = catalog.column("item_id")[0], catalog.column("item_id")[5]

    found = json.loads(lookalike("duplicates", index, "--above", "0.99999", "--across", "seller", "--json").out)
    assert [sorted(item["item_id"] for item in group) for group in found] == [sorted([one, other])]
    shown = lookalike("duplicates", index, "--above", "0.99999", "--across", "seller").out
    assert f"1.0000  {one}  like {other}  seller ann\n" in shown
    assert "2 items in 1 groups of at least 0.99999 similarity" in shown
    assert "0 items in 0 groups" in lookalike("duplicates", index, "--where", "price < 0").out


def test_duplicates_mistakes(lookalike: Command, index: Path) -> None:
    result = lookalike("duplicates", index, "--across", "seler")
    assert (result.code, result.out) == (1, "")
    assert "across='seler': there is no such column" in result.err


def test_search_with_everything(lookalike: Command, shop: Path, index: Path, tmp_path: Path) -> None:
    catalog = Catalog.read(shop)
    (tmp_path / "query.jpg").write_bytes(catalog.column("image")[10])

    def ids(*arguments: str | Path) -> list[str]:
        found = json.loads(lookalike("search", index, "--image", tmp_path / "query.jpg", "--json", *arguments).out)
        return [match["item_id"] for match in found]

    assert ids("--k", "4", "--offset", "2") == ids("--k", "6")[2:]
    grouped = json.loads(lookalike("search", index, "--words", "red dress", "--group-by", "label", "--json").out)
    assert len({match["attributes"]["label"] for match in grouped}) == len(grouped) == 10
    assert ids("--words", "black boots", "--words-weight", "0") == ids()
    assert ids("--words", "black boots", "--words-weight", "0.9") != ids()
    assert ids("--region", "0", "0", "0.5", "1") != ids("--region", "0", "0", "1", "1") == ids()
    items = catalog.column("item_id")[:2]
    assert not set(items) & set(ids("--item-id", items[0], "--item-id", items[1]))


def test_index_with_a_vector_index_and_without(lookalike: Command, shop: Path, index: Path) -> None:
    made = lookalike("index", shop, "--to", index, "--ann", "--recall-target", "0.9")
    assert made.code == 0
    assert "% of the ten best" in made.err
    assert (index / "approximate.json").exists()
    item = Catalog.read(shop).column("item_id")[3]
    found = lookalike("search", index, "--item-id", item, "--json").out
    assert "searches read every item" in lookalike("index", shop, "--to", index, "--exact").err
    assert not (index / "approximate.json").exists()
    assert lookalike("search", index, "--item-id", item, "--json").out == found
    refused = lookalike("index", shop, "--to", index, "--ann", "--recall-target", "7")
    assert (refused.code, "--recall-target" in refused.err) == (2, True)
