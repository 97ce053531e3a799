"""Each command, from a catalog to matches, as a user types it."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lookalike import Catalog
from tests.cli.conftest import TINY, Command

COMMANDS = [
    "demo",
    "download",
    "check",
    "describe",
    "train",
    "tune",
    "evaluate",
    "compare",
    "reproduce",
    "embed",
    "index",
    "search",
    "duplicates",
    "serve",
    "cache",
]


def test_commands_are_in_the_order_of_the_pipeline(lookalike: Command) -> None:
    shown = lookalike("--help").out
    order = re.findall(r"^  (\w+) ", shown.split("Commands:")[1].split("Begin with")[0], re.MULTILINE)
    assert order == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(lookalike: Command, command: str) -> None:
    shown = lookalike(command, "--help")
    assert shown.code == 0
    assert f"\n  lookalike {command}" in shown.out


def test_check_counts(lookalike: Command, shop: Path) -> None:
    result = lookalike("check", shop)
    assert result.code == 0
    assert "144 items" in result.out
    assert "24 classes; images per class: min 6, median 6, max 6; 0 with one" in result.out
    assert "144 items have a text" in result.out
    assert "domains: studio 72, street 72" in result.out
    assert "no problems found" in result.out


def test_check_prints_json(lookalike: Command, shop: Path) -> None:
    found = json.loads(lookalike("check", shop, "--json").out)
    assert (found["rows"], found["classes"], found["usable"]) == (144, 24, True)


def test_describe_shows_classes_and_writes_them(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    drawn = Catalog.read(shop)
    texts = [f"Product {label}" if row % 6 else None for row, label in enumerate(drawn.column("label"))]
    place = drawn.table.column_names.index("text")
    catalog = Catalog(drawn.table.set_column(place, "text", [texts])).write(tmp_path / "same.parquet")
    items = len(drawn.where(split="train"))

    result = lookalike("describe", catalog, "--to", tmp_path / "weak.parquet")
    assert result.code == 0, result.err
    assert f"{items * 5 // 6} of {items} items (83 %) in {items // 6} classes" in result.out
    assert "items per class: min 5, median 5, max 5" in result.out
    assert re.search(r"class 0: 5 items\n +5  Product ", result.out)
    assert f"written to {tmp_path / 'weak.parquet'}, column weak_label" in result.out

    written = Catalog.read(tmp_path / "weak.parquet")
    assert written.table.drop_columns(["weak_label"]).equals(Catalog.read(catalog).table)
    for row, (split, weak) in enumerate(zip(written.column("split"), written.column("weak_label"), strict=True)):
        assert (weak is not None) == (split == "train" and texts[row] is not None)
        assert weak is None or weak.endswith(f": {texts[row]}")


@pytest.mark.parametrize("how", ["near", "clusters"])
def test_describe_by_vectors(lookalike: Command, shop: Path, how: str) -> None:
    settings = ("--set", "weak_labels.similarity=0.5", "--set", "weak_labels.items_per_class=12")
    result = lookalike("describe", shop, "--how", how, *settings, "--set", "text.encoder=tfidf", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["items"] == len(Catalog.read(shop).where(split="train"))
    assert 1 < found["classes"] < 24
    assert found["examples"][0]["items"] == found["sizes"]["max"] > 1
    assert len(found["examples"][0]["texts"]) > 1


def test_train_makes_a_whole_run(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = lookalike(
        "train", "--catalog", shop, "--run", run, *TINY, "--set", "loss.name=adaptive_additive_softmax",
        "--set", "encoder.dim=16", "--set", "training.epochs=2", "--seed", "7",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert {file.name for file in run.iterdir()} == {
        "recipe.toml",
        "encoder",
        "metrics.json",
        "history.jsonl",
        "panels",
        "report.html",
    }
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["seed"] == 7
    assert set(metrics["test"]["all"]) == {"frozen", "trained"}
    assert 0 < metrics["test"]["all"]["trained"]["recall_at_1"] <= 1
    assert "street -> studio of all classes" in metrics["test"]
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == [0, 1, 2, 2, 2, 2]
    assert "seed = 7" in (run / "recipe.toml").read_text()
    assert "frozen backbone" in result.out
    assert metrics["verdict"] in result.out
    assert f"search by words: {metrics['words']['num_queries']} texts of unseen classes" in result.out


def test_train_with_the_same_seed_gives_the_same_encoder(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    def fingerprint(name: str, seed: str) -> str:
        arguments = ("--run", tmp_path / name, *TINY, "--set", "training.epochs=1", "--seed", seed)
        assert lookalike("train", "--catalog", shop, *arguments).code == 0
        return str(json.loads((tmp_path / name / "metrics.json").read_text())["fingerprint"])

    assert fingerprint("a", "1") == fingerprint("b", "1") != fingerprint("c", "2")


@pytest.mark.parametrize("loss", ["triplet", "adaptive_additive_softmax"])
def test_train_tunes_the_backbone(lookalike: Command, shop: Path, tmp_path: Path, loss: str) -> None:
    result = lookalike(
        "train", "demo", "--catalog", shop, "--run", tmp_path / "run", *TINY,
        "--set", f"loss.name={loss}", "--set", "training.epochs=2",
    )  # fmt: skip
    assert result.code == 0, result.err
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert history[2]["learning_rates"]["backbone"] < history[1]["learning_rates"]["backbone"]


def test_train_on_folders_without_a_split_holds_classes_out(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    catalog = Catalog.read(shop)
    for row, (label, encoded) in enumerate(zip(catalog.column("label"), catalog.column("image"), strict=True)):
        file = tmp_path / "pictures" / label / f"{row}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded)
    result = lookalike("train", "--catalog", tmp_path / "pictures", "--run", tmp_path / "run", *TINY)
    assert result.code == 0, result.err
    assert "no split column: 12 classes are held out as test" in result.err
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["classes"]["test"] == 12


def test_evaluate_repeats_the_figures_of_the_run(lookalike: Command, shop: Path, run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())["test"]["all"]
    found = json.loads(lookalike("evaluate", shop, "--run", run, "--json").out)["all"]
    assert found["this encoder"]["recall_at_1"] == pytest.approx(metrics["trained"]["recall_at_1"])
    assert found["frozen backbone"]["recall_at_1"] == pytest.approx(metrics["frozen"]["recall_at_1"])
    assert "frozen backbone" in lookalike("evaluate", shop, "--run", run, "--k", "3").out


def test_evaluate_writes_a_page(lookalike: Command, shop: Path, run: Path, tmp_path: Path) -> None:
    result = lookalike("evaluate", shop, "--run", run, "--report", tmp_path / "pages" / "shop.html")
    assert result.code == 0 and "shop.html: open it in a browser" in result.err
    page = (tmp_path / "pages" / "shop.html").read_text(encoding="utf-8")
    assert "frozen backbone" in page and "this encoder" in page and page.count("data:image/jpeg;base64,") > 20


def test_embed_writes_unit_vectors(lookalike: Command, shop: Path, run: Path, tmp_path: Path) -> None:
    result = lookalike("embed", shop, "--run", run, "--to", tmp_path / "e.parquet")
    assert result.code == 0, result.err
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.column("item_id").to_pylist() == Catalog.read(shop).column("item_id")
    for vector in table.column("embedding").to_pylist():
        assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-5)


def test_search_by_picture_item_and_filter(lookalike: Command, shop: Path, index: Path, tmp_path: Path) -> None:
    catalog = Catalog.read(shop)
    (tmp_path / "query.jpg").write_bytes(catalog.column("image")[10])
    found = json.loads(lookalike("search", index, "--image", tmp_path / "query.jpg", "--k", "3", "--json").out)
    assert found[0]["item_id"] == catalog.column("item_id")[10]
    assert found[0]["score"] == pytest.approx(1, abs=1e-4)
    assert len(found) == 3

    item = catalog.column("item_id")[10]
    by_item = json.loads(lookalike("search", index, "--item-id", item, "--k", "3", "--json").out)
    assert item not in {match["item_id"] for match in by_item}
    assert by_item[0]["item_id"] == found[1]["item_id"]

    cheap = json.loads(lookalike("search", index, "--item-id", item, "--where", "price < 40", "--json").out)
    assert cheap
    assert all(match["attributes"]["price"] < 40 for match in cheap)
    assert "no match" in lookalike("search", index, "--item-id", item, "--where", "price < 0").out


def test_search_by_words(lookalike: Command, shop: Path, index: Path) -> None:
    found = json.loads(lookalike("search", index, "--words", "red dress", "--k", "4", "--json").out)
    assert len(found) == 4
    assert [match["score"] for match in found] == sorted((match["score"] for match in found), reverse=True)
    other = json.loads(lookalike("search", index, "--words", "black boots", "--k", "4", "--json").out)
    assert [match["item_id"] for match in other] != [match["item_id"] for match in found]
    cheap = lookalike("search", index, "--words", "red dress", "--where", "price < 40", "--json").out
    assert all(match["attributes"]["price"] < 40 for match in json.loads(cheap))


def test_search_by_words_needs_descriptions(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    silent = Catalog(Catalog.read(shop).table.drop_columns(["text"])).write(tmp_path / "silent.parquet")
    run, index = tmp_path / "run", tmp_path / "silent.index"
    assert lookalike("train", "--catalog", silent, "--run", run, *TINY, "--set", "training.epochs=1").code == 0
    assert "words" not in json.loads((run / "metrics.json").read_text())
    assert lookalike("index", silent, "--run", run, "--to", index).code == 0
    result = lookalike("search", index, "--words", "red dress")
    assert result.code == 1
    assert "knows no words; train on a catalog with a text column (--text)" in result.err


def test_indexing_again_replaces(lookalike: Command, shop: Path, index: Path) -> None:
    result = lookalike("index", shop, "--to", index)
    assert result.code == 0
    assert f"0 items added, 144 with the picture that was there; {index} holds 144" in result.out
