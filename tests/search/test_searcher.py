import io
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.errors import FilterError, ImageError, StoredIndexError
from lookalike.search import AddReport, Index

MakeCatalog = Callable[..., Catalog]


@pytest.fixture(scope="module")
def shop(make_catalog: MakeCatalog, encoder: Any, tmp_path_factory: pytest.TempPathFactory) -> Index:
    index = Index.create(tmp_path_factory.mktemp("shop") / "i", encoder)
    assert index.add(make_catalog()) == AddReport(20, [])
    return index


@pytest.mark.parametrize("as_", ["path", "text", "bytes", "picture"])
def test_a_picture_finds_itself_and_its_like(as_: str, shop: Index, make_picture: Any, tmp_path: Path) -> None:
    encoded = make_picture("blue", 2)
    path = tmp_path / "photo.png"
    path.write_bytes(encoded)
    image = {"path": path, "text": str(path), "bytes": encoded, "picture": Image.open(io.BytesIO(encoded))}[as_]
    matches = shop.search(image=image, k=5)
    assert [match.rank for match in matches] == [1, 2, 3, 4, 5]
    assert matches[0].item_id == "blue-2"
    assert matches[0].score == pytest.approx(1.0, abs=1e-6)
    assert {match.attributes["label"] for match in matches} == {"blue"}
    assert all(a.score >= b.score for a, b in pairwise(matches))
    assert matches[0].attributes == {"label": "blue", "price": 20}
    assert matches[0].thumbnail is not None
    assert matches[0].thumbnail.startswith(b"\xff\xd8")


def test_words_find_what_they_describe(shop: Index) -> None:
    matches = shop.search(words="blue", k=5)
    assert matches[0].item_id == "blue-0"  # its "blue" is that picture
    assert {match.attributes["label"] for match in matches} == {"blue"}
    assert [match.item_id for match in shop.search(words="pink", k=2, where="price > 20")] == ["pink-3", "pink-4"]


def test_where(shop: Index, make_picture: Any) -> None:
    assert shop.columns == ["item_id", "label", "price"]
    matches = shop.search(image=make_picture("blue", 2), k=9, where="price < 20 and label in ('red', 'pink')")
    assert {match.item_id for match in matches} == {"red-0", "red-1", "pink-0", "pink-1"}
    assert shop.search(image=make_picture("blue"), where="label = 'black'") == []
    with pytest.raises(FilterError, match=r"there is no column 'prize'\. Did you mean 'price'"):
        shop.search(image=make_picture("blue"), where="prize < 20")


def test_an_item_finds_others_but_not_itself(shop: Index) -> None:
    matches = shop.search(item_id="red-1", k=4)
    assert {match.item_id for match in matches} == {"red-0", "red-2", "red-3", "red-4"}
    assert [match.rank for match in matches] == [1, 2, 3, 4]
    assert len(shop.search(item_id="red-1", k=100)) == 19
    others = shop.search(item_id="red-1", k=3, where="label <> 'red'")  # its own label is not among them
    assert len(others) == 3


def test_twins_find_each_other(make_catalog: MakeCatalog, encoder: Any, make_picture: Any, tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder)
    index.add(make_catalog(image=[make_picture("red")] * 20))
    matches = index.search(item_id="pink-3", k=2)
    assert [match.item_id for match in matches] == ["blue-0", "blue-1"]
    assert matches[0].score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ({}, "search by image=..., by item_id=..., by words=..., or by several of these"),
        ({"image": [], "item_id": []}, "search by image=..., by item_id=..., by words=..., or by several of these"),
        ({"item_id": "no"}, "there is no item 'no' in the index; search by image=..., or add it first"),
        ({"item_id": "red-1", "k": 0}, "k = 0, offset = 0: ask for at least 1 match, and pass over none or more"),
        ({"words": "red", "k": 0}, "k = 0, offset = 0: ask for at least 1 match, and pass over none or more"),
        ({"image": "photo", "k": 0}, "k = 0, offset = 0: ask for at least 1 match, and pass over none or more"),
    ],
)
def test_questions_without_an_answer(question: dict[str, Any], sentence: str, shop: Index, make_picture: Any) -> None:
    if question.get("image") == "photo":
        question = question | {"image": make_picture("red")}
    with pytest.raises(StoredIndexError) as caught:
        shop.search(**question)
    assert str(caught.value) == sentence


def test_a_query_that_is_no_picture(shop: Index, tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        shop.search(image=tmp_path / "nowhere.jpg")
    assert str(caught.value) == f"the query {tmp_path}/nowhere.jpg: there is no such file"
    with pytest.raises(ImageError, match="the query <3 bytes>: this is not a picture we can read"):
        shop.search(image=b"abc")


def test_an_encoder_without_an_answer(shop: Index, make_picture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for vector, sentence in ((np.zeros((1, 12)), "all zeros"), (np.full((1, 12), np.nan), "not finite")):
        monkeypatch.setattr(shop._encoder, "embed", lambda images, vector=vector: vector)
        with pytest.raises(StoredIndexError, match=sentence):
            shop.search(image=make_picture("red"))


def test_adding_again_replaces(make_catalog: MakeCatalog, encoder: Any, make_picture: Any, tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder)
    index.add(make_catalog(), batch_size=6)
    index.add(make_catalog(), batch_size=9)
    assert len(index) == 20
    pictures = make_catalog().column("image")
    pictures[0], pictures[1] = make_picture("blue", 9), b"broken"
    report = index.add(make_catalog(image=pictures, price=None, label=["new"] * 20))
    assert (report.added, report.unchanged, [item for item, _ in report.broken]) == (1, 18, ["red-1"])
    assert len(index) == 20
    found = {match.item_id: match for match in index.search(image=make_picture("blue", 9), k=20)}
    assert found["red-0"].rank == 1
    assert found["red-0"].attributes == {"label": "new", "price": None}
    assert found["red-1"].attributes == {"label": "red", "price": 10}  # its new picture is broken: the old item stays


def test_remove(make_catalog: MakeCatalog, encoder: Any, make_picture: Any, tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", encoder)
    index.add(make_catalog())
    assert index.remove(["red-0", "red-1", "nobody"]) == 2
    assert index.remove("red-2") == 1
    assert index.remove([]) == 0
    assert len(index) == 17
    assert {m.item_id for m in index.search(image=make_picture("red"), k=2)} == {"red-3", "red-4"}


def test_a_catalog_with_pictures_only(
    make_catalog: MakeCatalog, encoder: Any, make_picture: Any, tmp_path: Path
) -> None:
    index = Index.create(tmp_path / "i", encoder)
    assert index.search(image=make_picture("red")) == []
    assert len(index) == 0
    index.add(make_catalog(label=None, price=None))
    assert index.columns == ["item_id"]
    assert index.search(image=make_picture("red"), k=1)[0].attributes == {}


def test_a_batch_size_of_zero(shop: Index, make_catalog: MakeCatalog) -> None:
    with pytest.raises(StoredIndexError, match="batch_size = 0: it must be at least 1"):
        shop.add(make_catalog(), batch_size=0)


def test_opening_with_the_encoder_it_was_made_with(
    make_catalog: MakeCatalog, make_encoder: Any, make_picture: Any, tmp_path: Path
) -> None:
    Index.create(tmp_path / "i", make_encoder(1)).add(make_catalog())
    assert sorted(path.name for path in (tmp_path / "i").iterdir()) == [
        "encoder", "files.json", "items.lance", "manifest.json", "readers.lock", "versions", "writer.lock",
    ]  # fmt: skip
    index = Index.open(tmp_path / "i", make_encoder(1))
    assert index.search(image=make_picture("red", 3), k=1)[0].item_id == "red-3"
    with pytest.raises(StoredIndexError) as caught:
        Index.open(tmp_path / "i", make_encoder(2))
    mine, other = make_encoder(1).fingerprint[:12], make_encoder(2).fingerprint[:12]
    assert str(caught.value) == (
        f"the index was made by encoder {mine} (tiny 1), and this is {other} (tiny 2): "
        "their vectors cannot be compared; use the run the index was made with, or index again"
    )


def test_it_can_be_moved_and_opened_alone(make_catalog: MakeCatalog, make_picture: Any, tmp_path: Path) -> None:
    encoders = pytest.importorskip("lookalike.encoders")
    encoder = encoders.Encoder.create("test_resnet.r160_in1k", dim=8, pretrained=False, image_size=32)
    Index.create(tmp_path / "i", encoder).add(make_catalog(2))
    shutil.move(tmp_path / "i", tmp_path / "moved")
    index = Index.open(tmp_path / "moved")
    match = index.search(image=make_picture("green", 1), k=1)[0]
    assert (match.item_id, round(match.score, 4)) == ("green-1", 1.0)


@pytest.mark.parametrize("what", ["nowhere", "folder", "file"])
def test_opening_what_is_no_index(what: str, tmp_path: Path, encoder: Any) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoredIndexError) as caught:
        Index.open(tmp_path / what, encoder)
    assert str(caught.value) == f"there is no index at {tmp_path / what}; make one with `lookalike index`"


def test_opening_without_the_table(tmp_path: Path, encoder: Any) -> None:
    Index.create(tmp_path / "i", encoder)
    shutil.rmtree(tmp_path / "i" / "items.lance")
    with pytest.raises(StoredIndexError, match="there is no index at"):
        Index.open(tmp_path / "i", encoder)


def test_creating_where_something_is(tmp_path: Path, encoder: Any, make_catalog: MakeCatalog) -> None:
    (tmp_path / "empty").mkdir()
    Index.create(tmp_path / "empty", encoder).add(make_catalog())
    with pytest.raises(StoredIndexError) as caught:
        Index.create(tmp_path / "empty", encoder)
    assert str(caught.value) == f"there is an index at {tmp_path}/empty already; open it, or give another path"
    assert len(Index.open(tmp_path / "empty", encoder)) == 20
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoredIndexError) as caught:
        Index.create(tmp_path / "file", encoder)
    assert str(caught.value) == f"{tmp_path}/file exists and is no index; give another path"
    with pytest.raises(StoredIndexError, match="exists and is no index"):
        Index.create(tmp_path, encoder)


@pytest.mark.parametrize("step", ["save", "LanceIndex.create", "Manifest.write", "Path.rename"])
def test_a_create_that_breaks_off_leaves_nothing(
    step: str, tmp_path: Path, make_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make_encoder()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = "pathlib.Path.rename" if step == "Path.rename" else f"lookalike.search.searcher.{step}"
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "save", fail) if step == "save" else patch.setattr(target, fail)
        with pytest.raises(StoredIndexError) as caught:
            Index.create(tmp_path / "i", encoder)
    assert str(caught.value) == (
        f"the index at {tmp_path}/i could not be created: "
        "the disk is full; make room and run it again, what was stored before is intact"
    )
    assert list(tmp_path.iterdir()) == []
    assert len(Index.create(tmp_path / "i", encoder)) == 0


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import TinyEncoder, catalog_of
from lookalike.search import Index

calls = 0
class Killer(TinyEncoder):
    def embed(self, images, batch_size=64):
        global calls
        calls += 1
        if calls == 4:
            os.kill(os.getpid(), 9)
        return super().embed(images, batch_size)

Index.open(sys.argv[2], Killer()).add(catalog_of(), batch_size=3)
"""


def test_killed_while_adding_and_run_again(
    make_catalog: MakeCatalog, encoder: Any, make_picture: Any, tmp_path: Path
) -> None:
    index = Index.create(tmp_path / "killed", encoder)
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", KILLED, here, str(tmp_path / "killed")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(index) == 9  # three batches of three
    whole = Index.create(tmp_path / "whole", encoder)
    for each in (index, whole):
        each.add(make_catalog(), batch_size=4)
    assert len(index) == 20
    photo = make_picture("green", 1)
    assert index.search(image=photo, k=30) == whole.search(image=photo, k=30)
