"""Features kept: the second run reads them, and whatever decides them is in their name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder, cache
from lookalike.encoders.cache import cached_features
from lookalike.encoders.embed import backbone_features
from lookalike.files import cache_folder
from tests.pictures import COLORS, draw, encoded

MakeEncoder = Callable[..., Encoder]
IMAGES = [encoded(draw(label)) for label in COLORS]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def catalog_of(images: list[bytes], prefix: str = "") -> Catalog:
    return Catalog(pa.table({"item_id": [f"{prefix}{row}" for row in range(len(images))], "image": images}))


class Calls:
    """Counts the pictures a backbone sees."""

    def __init__(self, encoder: Encoder) -> None:
        self.pictures = 0
        self._features, encoder.features = encoder.features, self._count  # type: ignore[method-assign]

    def _count(self, images: torch.Tensor) -> torch.Tensor:
        self.pictures += len(images)
        return self._features(images)


def test_the_second_call_reads_the_cache(encoder: Encoder) -> None:
    calls = Calls(encoder)
    first = cached_features(encoder, catalog_of(IMAGES))
    assert calls.pictures == 4
    second = cached_features(encoder, catalog_of(IMAGES))
    assert calls.pictures == 4
    assert np.array_equal(first.embeddings, second.embeddings)
    assert np.array_equal(first.rows, second.rows)
    assert np.array_equal(first.embeddings, backbone_features(encoder, catalog_of(IMAGES)).embeddings)


def test_the_head_and_the_names_of_the_items_do_not_matter(encoder: Encoder) -> None:
    calls = Calls(encoder)
    cached_features(encoder, catalog_of(IMAGES))
    encoder.head.linear.bias.data += 1
    encoder.train()
    cached_features(encoder, catalog_of(IMAGES, "other "))
    assert calls.pictures == 4


def test_files_and_bytes_of_the_same_content_share_the_cache(encoder: Encoder, tmp_path: Path) -> None:
    calls = Calls(encoder)
    for number, image in enumerate(IMAGES):
        (tmp_path / f"{number}.png").write_bytes(image)
    paths = Catalog(pa.table({"item_id": list("abcd"), "image": [str(tmp_path / f"{n}.png") for n in range(4)]}))
    cached_features(encoder, paths)
    cached_features(encoder, catalog_of(IMAGES))
    assert calls.pictures == 4
    (tmp_path / "2.png").write_bytes(encoded(draw("coat", 9)))
    assert not np.array_equal(
        cached_features(encoder, paths).embeddings[2], cached_features(encoder, catalog_of(IMAGES)).embeddings[2]
    )
    assert calls.pictures == 5


@pytest.mark.parametrize("rows", [[3, 2, 1, 0], [1], [0, 1, 2, 3, 1, 0], [3, 3]])
def test_a_part_another_order_and_equal_pictures_cost_nothing(encoder: Encoder, rows: list[int]) -> None:
    whole = cached_features(encoder, catalog_of(IMAGES))
    calls = Calls(encoder)
    found = cached_features(encoder, catalog_of([IMAGES[row] for row in rows]))
    assert calls.pictures == 0
    assert np.array_equal(found.embeddings, whole.embeddings[rows])
    assert found.rows.tolist() == list(range(len(rows)))


def test_only_new_pictures_are_computed(encoder: Encoder, own_cache: Path) -> None:
    cached_features(encoder, catalog_of(IMAGES[:2]))
    calls = Calls(encoder)
    found = cached_features(encoder, catalog_of([IMAGES[2], IMAGES[0], b"broken", IMAGES[3], IMAGES[2]]))
    assert calls.pictures == 2
    assert found.rows.tolist() == [0, 1, 3, 4]
    assert [item for item, _ in found.broken] == ["2"]
    expected = backbone_features(encoder, catalog_of([IMAGES[row] for row in (2, 0, 3, 2)])).embeddings
    assert np.allclose(found.embeddings, expected, atol=1e-5)
    assert len(list(own_cache.rglob("*.safetensors"))) == 2


def test_what_was_stopped_goes_on(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FILE_PICTURES", 2)
    monkeypatch.setattr(cache, "BATCH_SIZE", 1)
    images = [encoded(draw(label, number)) for number in (0, 1) for label in COLORS]
    calls = Calls(encoder)
    features = encoder.features

    def stopped(pictures: torch.Tensor) -> torch.Tensor:
        if calls.pictures == 5:
            raise KeyboardInterrupt
        return features(pictures)

    monkeypatch.setattr(encoder, "features", stopped)
    with pytest.raises(KeyboardInterrupt):
        cached_features(encoder, catalog_of(images))
    monkeypatch.setattr(encoder, "features", features)
    cached_features(encoder, catalog_of(images))
    assert calls.pictures == 5 + 4  # the fifth was not kept yet


@pytest.mark.parametrize("change", ["content", "backbone", "fit", "image_size", "pooling"])
def test_whatever_decides_the_features_makes_them_anew(make_encoder: MakeEncoder, change: str) -> None:
    cached_features(make_encoder(), catalog_of(IMAGES))
    other = {
        "backbone": {"seed": 1},
        "fit": {"fit": "pad"},
        "image_size": {"image_size": 40},
        "pooling": {"pooling": "max"},
    }
    encoder = make_encoder(**other.get(change, {}))
    images = [encoded(draw(label, 1)) for label in COLORS] if change == "content" else IMAGES
    calls = Calls(encoder)
    found = cached_features(encoder, catalog_of(images))
    assert calls.pictures == 4
    assert np.array_equal(found.embeddings, backbone_features(encoder, catalog_of(images)).embeddings)


def test_broken_pictures_are_remembered_under_their_present_names(encoder: Encoder) -> None:
    images = [IMAGES[0], b"broken", IMAGES[1], b"broken too"]
    calls = Calls(encoder)
    first = cached_features(encoder, catalog_of(images))
    second = cached_features(encoder, catalog_of(images, "new "))
    assert calls.pictures == 2
    assert first.rows.tolist() == second.rows.tolist() == [0, 2]
    assert [item for item, _ in first.broken] == ["1", "3"]
    assert [item for item, _ in second.broken] == ["new 1", "new 3"]
    assert all(reason for _, reason in second.broken)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped bit", "other tensors"])
def test_a_damaged_file_is_made_again(encoder: Encoder, own_cache: Path, damage: str) -> None:
    expected = cached_features(encoder, catalog_of(IMAGES))
    (file,) = own_cache.rglob("*.safetensors")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-40] ^= 1
    header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    other = len(header).to_bytes(8, "little") + header + bytes(4)
    contents = {
        "cut": whole[:-9],
        "empty": b"",
        "text": b"hello",
        "flipped bit": bytes(flipped),
        "other tensors": other,
    }
    file.write_bytes(contents[damage])
    calls = Calls(encoder)
    for _ in range(2):
        again = cached_features(encoder, catalog_of(IMAGES))
        assert np.array_equal(again.embeddings, expected.embeddings)
        assert np.array_equal(again.rows, expected.rows)
    assert calls.pictures == 4
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_stops_nothing(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(cache, "note", told.append)
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "file"))
    assert cached_features(encoder, catalog_of(IMAGES)).rows.tolist() == [0, 1, 2, 3]
    assert len(told) == 1
    assert str(tmp_path / "file") in told[0]
    assert "the next run makes them again" in told[0]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    assert cache_folder() == own_cache
    monkeypatch.delenv("LOOKALIKE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/lookalike")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/user")
    assert cache_folder() == Path("/home/user/.cache/lookalike")
