import json
from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.errors import StoredIndexError
from lookalike.index import Manifest

MINE = Manifest("ab" * 32, "ResNet-50, 512", 512, "2026-01-31T12:00:00+00:00")


def test_round_trip(tmp_path: Path) -> None:
    MINE.write(tmp_path)
    assert Manifest.read(tmp_path) == MINE
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_of_says_when() -> None:
    manifest = Manifest.of("cd" * 32, "a net", 8)
    assert (manifest.dim, manifest.format, manifest.model) == (8, 2, 0)
    assert manifest.created.endswith("+00:00")


def test_another_encoder_is_refused() -> None:
    MINE.check_encoder("ab" * 32, "ResNet-50, 512")
    with pytest.raises(StoredIndexError) as caught:
        MINE.check_encoder("cd" * 32, "ResNet-18, 128")
    assert str(caught.value) == (
        "the index was made by encoder abababababab (ResNet-50, 512), and this is cdcdcdcdcdcd (ResNet-18, 128): "
        "their vectors cannot be compared; use the run the index was made with, or index again"
    )


def test_format_1_is_the_first_model(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(MINE_JSON)
    manifest = Manifest.read(tmp_path)
    assert (manifest.model, manifest.folder(tmp_path)) == (0, tmp_path)
    assert replace(manifest, model=3).folder(tmp_path) == tmp_path / "model-3"


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": 3, "new": true}')
    with pytest.raises(StoredIndexError) as caught:
        Manifest.read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/manifest.json has format 3, and this version of lookalike reads up to 2; update lookalike"
    )


@pytest.mark.parametrize("folder", ["nowhere", "file/below", ""])
def test_no_index(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoredIndexError) as caught:
        Manifest.read(tmp_path / folder)
    assert str(caught.value) == f"there is no index at {tmp_path / folder}; make one with `lookalike index`"


MINE_JSON = json.dumps({"fingerprint": "ab", "encoder": "a", "dim": 4, "created": "now", "format": 1})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (MINE_JSON[:-5].encode(), ""),
        (b"[1]", "it holds a list"),
        (b"\xff", "'utf-8' codec"),
        (MINE_JSON.replace('"dim": 4', '"dim": "4"').encode(), "dim is '4'"),
        (MINE_JSON.replace('"encoder"', '"encode"').encode(), "encoder is None"),
        (MINE_JSON.replace('"format": 1', '"format": "1"').encode(), "format is '1'"),
    ],
)
def test_a_damaged_manifest(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(StoredIndexError) as caught:
        Manifest.read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/manifest.json is damaged ({reason}")
    assert str(caught.value).endswith("; restore it from a copy, or index the catalog again")
