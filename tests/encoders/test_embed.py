"""Whole catalogs: broken pictures named, and a file that a killed call goes on with."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder, embed, embed_catalog
from lookalike.encoders.embed import backbone_features, embed_to_file
from lookalike.errors import CatalogError, EncoderError
from tests.pictures import COLORS, draw, encoded

MakeEncoder = Callable[..., Encoder]


def catalog_of(count: int, broken: tuple[int, ...] = (), name: str = "shop.csv") -> Catalog:
    labels = list(COLORS)
    images = [
        encoded(draw(labels[row % 4], row)) if row not in broken else b"no picture %d" % row for row in range(count)
    ]
    return Catalog(pa.table({"item_id": [f"item {row}" for row in range(count)], "image": images}), name)


def stored(path: Path) -> tuple[list[str], np.ndarray]:
    table = pq.read_table(path)
    return table.column("item_id").to_pylist(), np.stack(table.column("embedding").to_numpy())


@pytest.fixture
def embedded_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call of the encoder got."""
    seen: list[int] = []
    forward = Encoder.forward

    def counted(self: Encoder, images: Any) -> Any:
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(Encoder, "forward", counted)
    return seen


def test_every_row_has_its_embedding(encoder: Encoder) -> None:
    catalog = catalog_of(11)
    embedded = embed_catalog(encoder, catalog, batch_size=4)
    assert embedded.rows.tolist() == [*range(11)]
    assert embedded.broken == []
    assert np.abs(embedded.embeddings - encoder.embed(catalog.column("image"))).max() < 1e-5


def test_broken_pictures_are_named_and_left_out(encoder: Encoder) -> None:
    catalog = catalog_of(9, broken=(0, 4, 5))
    embedded = embed_catalog(encoder, catalog, batch_size=2)
    assert embedded.rows.tolist() == [1, 2, 3, 6, 7, 8]
    assert [item for item, _ in embedded.broken] == ["item 0", "item 4", "item 5"]
    assert embedded.broken[1][1].startswith("shop.csv, item 'item 4' (<12 bytes>): this is not a picture")
    good = [catalog.column("image")[row] for row in embedded.rows]
    assert np.abs(embedded.embeddings - encoder.embed(good)).max() < 1e-5


@pytest.mark.parametrize("use", [embed_catalog, backbone_features])
def test_no_readable_picture_at_all(encoder: Encoder, use: Any) -> None:
    with pytest.raises(CatalogError, match=r"shop.csv: not one of 3 pictures can be read; the first: .*'item 0'"):
        use(encoder, catalog_of(3, broken=(0, 1, 2)))
    with pytest.raises(EncoderError, match="batch_size must be at least 1, not 0"):
        use(encoder, catalog_of(3), 0)


def test_backbone_features_are_what_the_head_gets(encoder: Encoder) -> None:
    catalog = catalog_of(6)
    features = backbone_features(encoder, catalog, batch_size=4).embeddings
    assert features.shape == (6, 256)
    assert np.abs(encoder.embed_feature_array(features) - embed_catalog(encoder, catalog).embeddings).max() < 1e-5


def test_training_mode_is_given_back(encoder: Encoder) -> None:
    before = encoder.fingerprint
    encoder.train()
    embed_catalog(encoder, catalog_of(3))
    assert encoder.training
    assert encoder.fingerprint == before


# To a file


def test_a_file_of_all_items(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "SHARD_ROWS", 4)
    catalog = catalog_of(10, broken=(2, 8, 9))  # the last part holds not one readable picture
    broken = embed_to_file(encoder, catalog, tmp_path / "to" / "e.parquet", batch_size=3)
    assert [item for item, _ in broken] == ["item 2", "item 8", "item 9"]
    items, vectors = stored(tmp_path / "to" / "e.parquet")
    assert items == [f"item {row}" for row in (0, 1, 3, 4, 5, 6, 7)]
    assert np.abs(vectors - embed_catalog(encoder, catalog).embeddings).max() < 1e-5
    assert pq.read_schema(tmp_path / "to" / "e.parquet").field("embedding").type == pa.list_(pa.float32(), 8)
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["e.parquet"]


def test_a_file_of_no_readable_picture(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "SHARD_ROWS", 2)
    with pytest.raises(CatalogError, match=r"not one of 5 pictures can be read; the first: .*'item 0'"):
        embed_to_file(encoder, catalog_of(5, broken=(0, 1, 2, 3, 4)), tmp_path / "e.parquet")
    assert list(tmp_path.iterdir()) == []  # nothing a later call could go on with


def interrupted(encoder: Encoder, catalog: Catalog, path: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the call as it begins the part with that number."""

    class Killed(BaseException):
        pass

    write, written = embed._write_shard, []

    def failing(*args: Any) -> None:
        if len(written) == after:
            raise Killed
        written.append(write(*args))

    with monkeypatch.context() as patch:
        patch.setattr(embed, "_write_shard", failing)
        with pytest.raises(Killed):
            embed_to_file(encoder, catalog, path)
    assert not path.exists()


def test_a_stopped_call_is_gone_on_with(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded_rows: list[int]
) -> None:
    monkeypatch.setattr(embed, "SHARD_ROWS", 4)
    catalog, path = catalog_of(18, broken=(1,)), tmp_path / "e.parquet"
    interrupted(encoder, catalog, path, 3, monkeypatch)
    embedded_rows.clear()
    assert [item for item, _ in embed_to_file(encoder, catalog, path)] == ["item 1"]
    assert sum(embedded_rows) == 6  # 18 rows less three parts of four
    assert np.abs(stored(path)[1] - embed_catalog(encoder, catalog).embeddings).max() < 1e-5


def test_a_half_written_part_is_made_again(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded_rows: list[int]
) -> None:
    monkeypatch.setattr(embed, "SHARD_ROWS", 4)
    catalog, path, write = catalog_of(12), tmp_path / "e.parquet", pq.write_table

    def half(table: pa.Table, where: Path) -> None:
        write(table, where)
        if len(embedded_rows) == 2:
            where.write_bytes(where.read_bytes()[:100])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embed.pq, "write_table", half)
        with pytest.raises(KeyboardInterrupt):
            embed_to_file(encoder, catalog, path)
    embedded_rows.clear()
    embed_to_file(encoder, catalog, path)
    assert sum(embedded_rows) == 8
    assert np.abs(stored(path)[1] - embed_catalog(encoder, catalog).embeddings).max() < 1e-5


def other_pictures(catalog: Catalog) -> Catalog:
    table = catalog.table.set_column(1, "image", pa.array(catalog.column("image")[::-1]))
    return Catalog(table, catalog.name)


def other_ids(catalog: Catalog) -> Catalog:
    return Catalog(
        catalog.table.set_column(0, "item_id", pa.array([f"new {row}" for row in range(len(catalog))])), "shop.csv"
    )


@pytest.mark.parametrize("change", ["encoder", "pictures", "ids", "size of a part"])
def test_parts_of_something_else_are_not_used(
    make_encoder: MakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(embed, "SHARD_ROWS", 4)
    encoder, catalog, path = make_encoder(), catalog_of(12), tmp_path / "e.parquet"
    interrupted(encoder, catalog, path, 2, monkeypatch)
    if change == "encoder":
        encoder = make_encoder(seed=1)
    elif change == "size of a part":
        monkeypatch.setattr(embed, "SHARD_ROWS", 3)
    else:
        catalog = other_pictures(catalog) if change == "pictures" else other_ids(catalog)
    embed_to_file(encoder, catalog, path)
    items, vectors = stored(path)
    assert items == catalog.column("item_id")
    assert np.abs(vectors - embed_catalog(encoder, catalog).embeddings).max() < 1e-5


KILLED = """
import os, random, signal, sys, time
from pathlib import Path

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder, embed

folder = Path(sys.argv[1])
embed.SHARD_ROWS = 3


def call(to):
    embed.embed_to_file(Encoder.load(folder / "encoder"), Catalog.read(folder / "shop.parquet"), folder / to, 2)


def child(to):
    # The parent never computes, so that it has no threads a forked child would miss.
    pid = os.fork()
    if pid == 0:
        call(to)
        os._exit(0)
    return pid


start = time.perf_counter()
assert os.waitpid(child("whole.parquet"), 0)[1] == 0
whole = time.perf_counter() - start
rng = random.Random(11)
for _ in range(8):
    pid = child("killed.parquet")
    time.sleep(whole * rng.uniform(0.2, 0.95))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print(len(list((folder / ".killed.parquet.parts").glob("*.parquet"))), int((folder / "killed.parquet").exists()))
    if (folder / "killed.parquet").exists():
        break
assert os.waitpid(child("killed.parquet"), 0)[1] == 0
"""


def test_kill_9_at_random_moments_changes_nothing(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    catalog_of(60, broken=(5, 30, 31, 32)).write(tmp_path / "shop.parquet")
    output = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    parts = [int(line.split()[0]) for line in output.stdout.splitlines()]
    assert max(parts) > 0  # some kills left parts to go on with
    whole, killed = stored(tmp_path / "whole.parquet"), stored(tmp_path / "killed.parquet")
    assert len(whole[0]) == 56
    assert killed[0] == whole[0]
    assert np.array_equal(killed[1], whole[1])
    assert not (tmp_path / ".killed.parquet.parts").exists()


def test_the_stamp_is_readable(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "SHARD_ROWS", 4)
    interrupted(encoder, catalog_of(8), tmp_path / "e.parquet", 1, monkeypatch)
    stamp = json.loads((tmp_path / ".e.parquet.parts" / "stamp.json").read_text())
    assert stamp["encoder"] == encoder.fingerprint
