"""What a user can get wrong: one clear sentence, no trace, exit code 1 or 2."""

import io
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from PIL import Image

from lookalike import Catalog
from lookalike.catalog.boutique import draw_boutique
from tests.cli.conftest import TINY, Command, Result, process_of


def check_refused(result: Result, *said: str, code: int = 1) -> None:
    """The command ended with this code and a sentence that holds all of `said`, and no trace."""
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    for words in said:
        assert words in result.err


def png(size: tuple[int, int] = (40, 40), color: str = "red") -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", size, color).save(encoded, "PNG")
    return encoded.getvalue()


def catalog_of(folder: Path, **columns: list[object]) -> Path:
    return Catalog(pa.table(columns)).write(folder / "c.parquet")


def test_missing_catalog(lookalike: Command, tmp_path: Path) -> None:
    check_refused(lookalike("check", tmp_path / "no.csv"), f"there is no catalog at {tmp_path / 'no.csv'}")
    check_refused(lookalike("train", "--catalog", tmp_path / "no.csv", *TINY), "there is no catalog at")


def test_csv_without_the_mapped_column(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("file,product\na.png,1\n")
    said = "no column 'prodct', which was to be read as label. Did you mean 'product'?"
    check_refused(
        lookalike("train", "--catalog", tmp_path / "c.csv", "--image", "file", "--label", "prodct", *TINY), said
    )
    check_refused(lookalike("check", tmp_path / "c.csv"), "no column with the pictures", "Its columns: file, product")


@pytest.fixture
def shop_with_broken_pictures(shop: Path, tmp_path: Path) -> Path:
    """The shop with four of its pictures spoiled, as files in a CSV."""
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    table = Catalog.read(shop).table
    encoded = table.column("image").to_pylist()
    encoded[0], encoded[1], encoded[2], encoded[3] = b"", b"this is no picture", encoded[3][:500], bomb.getvalue()
    return Catalog(table.set_column(table.column_names.index("image"), "image", [encoded])).write(
        tmp_path / "b.parquet"
    )


BROKEN = ("is empty (0 bytes)", "not a picture we can read", "is damaged", "20000 x 20000")


def test_broken_pictures_are_named_by_check(lookalike: Command, shop_with_broken_pictures: Path) -> None:
    result = lookalike("check", shop_with_broken_pictures)
    assert result.code == 1
    for reason in BROKEN[:3]:
        assert reason in result.out
    assert "20000 x 20000" in result.out or "pixels" in result.out
    assert "4 pictures cannot be read" in result.out


def test_broken_pictures_stop_neither_training_nor_indexing(
    lookalike: Command, shop_with_broken_pictures: Path, run: Path, tmp_path: Path
) -> None:
    result = lookalike("train", "--catalog", shop_with_broken_pictures, "--run", tmp_path / "run", *TINY)
    assert result.code == 0, result.err
    assert "left out 'p0000-v0'" in result.err
    assert len(json.loads((tmp_path / "run" / "metrics.json").read_text())["broken"]) == 4

    result = lookalike("index", shop_with_broken_pictures, "--run", run, "--to", tmp_path / "i")
    assert result.code == 0
    assert "140 items added" in result.out
    assert result.err.count("left out") == 4


def test_not_one_readable_picture(lookalike: Command, tmp_path: Path) -> None:
    bad = catalog_of(tmp_path, item_id=list("abcd"), image=[b"x"] * 4, label=list("1234"))
    check_refused(
        lookalike("train", "--catalog", bad, "--run", tmp_path / "r", *TINY), "not one of 4 pictures can be read"
    )
    assert not any((tmp_path / "r").glob("*"))


def test_one_class_only(lookalike: Command, tmp_path: Path) -> None:
    one = catalog_of(tmp_path, item_id=["a", "b"], image=[png()] * 2, label=["1", "1"])
    check_refused(lookalike("train", "--catalog", one, "--run", tmp_path / "r", *TINY), "at least 2 are needed")


def test_no_labels(lookalike: Command, tmp_path: Path) -> None:
    bare = catalog_of(tmp_path, item_id=["a", "b"], image=[png()] * 2)
    check_refused(lookalike("train", "--catalog", bare, "--run", tmp_path / "r", *TINY), "has no labels", "--label")


@pytest.fixture
def single_pictures(tmp_path: Path) -> Path:
    """Eight classes with one picture each."""
    pictures = [png(color=f"rgb({30 * i}, 100, 200)") for i in range(8)]
    names = [str(i) for i in range(8)]
    return catalog_of(tmp_path, item_id=names, image=pictures, label=names)


def test_one_picture_per_class(lookalike: Command, single_pictures: Path, tmp_path: Path) -> None:
    arguments = ("--catalog", single_pictures, "--run", tmp_path / "r", *TINY, "--set", "training.epochs=1")
    check_refused(
        lookalike("train", *arguments, "--set", "loss.name=triplet"), "no batch has two of one", "normalized_softmax"
    )
    result = lookalike("train", *arguments)  # a proxy loss can be trained on it, but nothing can be judged
    assert result.code == 0, result.err
    assert "Nothing could be judged" in result.out
    check_refused(
        lookalike("evaluate", single_pictures, "--run", tmp_path / "r"), "retrieval needs two pictures a class"
    )


@pytest.mark.parametrize("text", [[""] * 144, [None] * 144, ["!!! 🙂"] * 144])
def test_empty_text(lookalike: Command, shop: Path, tmp_path: Path, text: list[str | None]) -> None:
    table = Catalog.read(shop).table
    emptied = table.set_column(table.column_names.index("text"), "text", pa.array(text, pa.string()))
    path = Catalog(emptied).write(tmp_path / "c.parquet")
    arguments = ("train", "--catalog", path, "--run", tmp_path / "r", *TINY, "--set", "training.epochs=1")
    check_refused(
        lookalike(*arguments, "--set", "loss.name=adaptive_additive_softmax"), "hold no word", "fill the text column"
    )
    assert lookalike(*arguments).code == 0  # without text margins the text does not matter


def test_no_text_column(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    path = Catalog(Catalog.read(shop).table.drop_columns(["text"])).write(tmp_path / "c.parquet")
    arguments = ("--catalog", path, "--run", tmp_path / "r", *TINY, "--set", "loss.name=adaptive_additive_softmax")
    check_refused(lookalike("train", *arguments), "has no text column", "--text")


def test_double_item_ids(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "c.csv").write_text("item_id,image,label\nx,a.png,1\ny,a.png,1\nx,a.png,2\n")
    check_refused(lookalike("check", tmp_path / "c.csv"), "item_id must be unique", "'x' (2 times)", "row_number")
    assert "3 items" in lookalike("check", tmp_path / "c.csv", "--item-id", "row_number").out


def test_a_loss_that_is_not_finite(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    arguments = ("--catalog", shop, "--run", tmp_path / "r", *TINY)
    check_refused(lookalike("train", *arguments, "--set", "loss.scale=1e39"), "not finite", "lower the learning rates")
    # What was there before the explosion is kept and usable.
    assert lookalike("embed", shop, "--run", tmp_path / "r", "--to", tmp_path / "e.parquet").code == 0


def test_unknown_names(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    arguments = ("train", "--catalog", shop, "--run", tmp_path / "r")
    check_refused(lookalike(*arguments, "--set", "encoder.backbone=resnet_50"), "no backbone 'resnet_50'", "'resnet50'")
    check_refused(lookalike(*arguments, "--set", "loss.name=triplett"), "no loss 'triplett'", "Did you mean 'triplet'")
    check_refused(lookalike(*arguments, "--set", "training.epoch=3"), "training.epoch is not a setting", "'epochs'")
    check_refused(lookalike(*arguments, "--set", "loss.scale"), "--set takes PART.KEY=VALUE")
    absent = "mps" if not torch.backends.mps.is_available() else "cuda"
    said = f"training.device = '{absent}': there is none"
    check_refused(lookalike(*arguments, "--set", f"training.device={absent}", *TINY), said)
    check_refused(lookalike(*arguments, "--weights", tmp_path / "w.safetensors"), "there is no weights file")
    check_refused(lookalike("train", "no_such_recipe", *arguments[1:]), "there is no recipe 'no_such_recipe'")
    assert not (tmp_path / "r").exists()  # nothing was begun


def test_a_class_in_train_and_test(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    table = Catalog.read(shop).table
    split = ["train", "test"] * 72
    path = Catalog(table.set_column(table.column_names.index("split"), "split", [split])).write(tmp_path / "c.parquet")
    check_refused(
        lookalike("train", "--catalog", path, "--run", tmp_path / "r", *TINY), "24 classes are in train and in test"
    )


def test_a_run_is_never_overwritten(lookalike: Command, shop: Path, run: Path) -> None:
    before = (run / "metrics.json").read_bytes()
    check_refused(lookalike("train", "--catalog", shop, "--run", run, *TINY), "is not empty", "give another --run")
    assert (run / "metrics.json").read_bytes() == before


def test_no_run_there(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    check_refused(lookalike("evaluate", shop, "--run", tmp_path / "none"), "there is no encoder in")
    check_refused(lookalike("index", shop, "--to", tmp_path / "i"), "there is no index at", "--run RUN")
    check_refused(lookalike("search", tmp_path / "none", "--item-id", "x"), "no index")


def test_an_index_of_another_model(lookalike: Command, shop: Path, index: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert lookalike("train", "--catalog", shop, "--run", other, *TINY, "--set", "training.epochs=1").code == 0
    check_refused(lookalike("index", shop, "--run", other, "--to", index), "their vectors cannot be compared")


def test_describe_mistakes(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    check_refused(lookalike("describe", shop, "--how", "nearer"), "weak_labels.how = 'nearer'")
    without = Catalog(Catalog.read(shop).table.drop_columns(["text"])).write(tmp_path / "shop.parquet")
    check_refused(lookalike("describe", without), "has no text column to make weak labels from", "--text")


def test_a_catalog_without_labels_is_told_of_its_descriptions(lookalike: Command, shop: Path, tmp_path: Path) -> None:
    without = Catalog(Catalog.read(shop).table.drop_columns(["label"])).write(tmp_path / "shop.parquet")
    refused = lookalike("train", "--catalog", without, "--run", tmp_path / "run", *TINY)
    check_refused(refused, "has no labels", "--label", "weak_labels.how = 'near' (see lookalike describe)")


def test_search_mistakes(lookalike: Command, index: Path, tmp_path: Path) -> None:
    check_refused(lookalike("search", index), "give --image, --item-id or --words", code=2)
    check_refused(lookalike("search", index, "--words", "red", "--item-id", "x"), "there is no item 'x' in the index")
    check_refused(lookalike("search", index, "--words", "?!"), "the text '?!' holds no word")
    check_refused(lookalike("search", index, "--image", tmp_path / "no.jpg"), "there is no such file")
    check_refused(lookalike("search", index, "--item-id", "nobody"), "nobody")
    check_refused(lookalike("search", index, "--item-id", "p0000-v0", "--where", "prize < 5"), "prize", "price")
    check_refused(lookalike("search", index, "--item-id", "p0000-v0", "--where", "price <"), "price <")
    check_refused(lookalike("search", index, "--item-id", "p0000-v0", "--k", "0"), "--k", code=2)


def test_demo_does_not_touch_another_folder(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    check_refused(lookalike("demo", "--to", tmp_path), "is not empty", "give another --to")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.fixture
def long_training(tmp_path: Path) -> subprocess.Popen[str]:
    """A run in a process of its own, given back when its second epoch is on disk."""
    shop = Catalog(draw_boutique(24, views=6, size_px=48)).write(tmp_path / "shop.parquet")
    command = ["train", "demo", "--catalog", shop, "--run", tmp_path / "run", *TINY, "--set", "training.epochs=500"]
    process = process_of(*command, env=os.environ | {"LOOKALIKE_CACHE": str(tmp_path / "cache")})
    history, deadline = tmp_path / "run" / "history.jsonl", time.monotonic() + 120
    while not (history.exists() and len(history.read_text().splitlines()) >= 2):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_stopped_run_is_usable(
    lookalike: Command, long_training: "subprocess.Popen[str]", tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    long_training.send_signal(sent)
    _, err = long_training.communicate(timeout=60)
    assert long_training.returncode == code
    assert "Traceback" not in err
    assert ("holds the best weights so far" in err) == (sent != signal.SIGKILL)
    assert (f"with --run {tmp_path / 'run'} goes on from here" in err) == (sent != signal.SIGKILL)
    result = lookalike("evaluate", tmp_path / "shop.parquet", "--run", tmp_path / "run", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["all"]["this encoder"]["num_queries"] > 0
    # Only the same command goes on with it.
    arguments = ("train", "demo", "--catalog", tmp_path / "shop.parquet", "--run", tmp_path / "run", *TINY)
    said = "training.epochs is 500 there and 3 here"
    check_refused(lookalike(*arguments, "--set", "training.epochs=3"), "holds a run that is not finished", said)
    shutil.rmtree(tmp_path / "run")
