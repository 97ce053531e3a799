"""Pictures packed into squares: what is read is what decoding gives, whatever was killed, damaged or full before."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lookalike.catalog import Catalog, packed
from lookalike.catalog.packed import PackedPictures, pack
from lookalike.errors import CatalogError, ImageError
from tests.catalog.packing import COUNT, SIDE, noise, square
from tests.full_disk import largest_file

LONG = os.environ.get("LOOKALIKE_LONG") == "1"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    monkeypatch.setattr(packed, "note", sentences.append)
    return sentences


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "PART_BYTES", 10 * (3 * SIDE**2 + 36))


class Counted:
    """Counts the pictures made into squares."""

    calls = 0

    def __call__(self, picture: Image.Image) -> np.ndarray:
        self.calls += 1
        return square(picture)


def assert_as_decoded(squares: PackedPictures, catalog: Catalog) -> None:
    for row in range(len(catalog)):
        assert np.array_equal(squares[row], square(catalog.image(row)))


def test_squares_are_what_decoding_gives_the_second_time_without_decoding(told: list[str], own_cache: Path) -> None:
    catalog, first, second = noise(30), Counted(), Counted()
    assert_as_decoded(pack(catalog, first, SIDE, "squash"), catalog)
    assert first.calls == 30
    (sentence,) = told
    assert sentence == f"decoding 30 pictures once, into 0.00 GiB at {own_cache}/packed/{folder_of('squash').name}"
    assert_as_decoded(pack(catalog, second, SIDE, "squash"), catalog)
    assert second.calls == 0


def folder_of(name: str) -> Path:
    return packed.cache_folder() / "packed" / f"{name}-{SIDE}-{packed.VERSION}-pillow{packed.PIL.__version__}"


@pytest.mark.usefixtures("small_parts")
def test_catalogs_share_squares_and_only_new_pictures_are_decoded(tmp_path: Path, own_cache: Path) -> None:
    whole = noise(35)
    pack(whole.take(range(0, 22)), square, SIDE, "squash")
    assert len(list(own_cache.rglob("*.arrow"))) == 3
    files = []
    for row in range(30):
        (tmp_path / f"{row}.png").write_bytes(whole.column("image")[row])
        files.append(str(tmp_path / f"{row}.png"))
    other = Catalog(pa.table({"item_id": [f"file {row}" for row in range(60)], "image": files[::-1] + files}))
    counted = Counted()
    assert_as_decoded(pack(other, counted, SIDE, "squash"), other)
    assert counted.calls == 8
    shown = Image.fromarray(np.zeros((48, 40, 3), np.uint8))
    shown.save(tmp_path / "3.png")
    assert_as_decoded(pack(other, counted, SIDE, "squash"), other)
    assert counted.calls == 9


@pytest.mark.parametrize("change", ["name", "side", "version", "pillow"])
def test_whatever_decides_the_squares_makes_them_anew(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog, counted = noise(5), Counted()
    pack(catalog, square, SIDE, "squash")
    if change == "version":
        monkeypatch.setattr(packed, "VERSION", packed.VERSION + 1)
    if change == "pillow":
        monkeypatch.setattr(packed.PIL, "__version__", "0.1")
    side = SIDE + 1 if change == "side" else SIDE

    def make(picture: Image.Image) -> np.ndarray:
        counted(picture)
        return np.asarray(picture.resize((side, side)))

    assert pack(catalog, make, side, "pad" if change == "name" else "squash")[4].shape == (side, side, 3)
    assert counted.calls == 5


def test_squares_cannot_be_written_to() -> None:
    squares = pack(noise(3), square, SIDE, "squash")
    with pytest.raises(ValueError, match="read-only"):
        squares[0][:] = 0


def test_a_broken_picture_is_named_and_what_was_decoded_before_is_kept(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "PART_BYTES", 4 * (3 * SIDE**2 + 36))
    whole = noise(10)
    images = whole.column("image")
    images[6] = b"broken"
    broken = Catalog(pa.table({"item_id": whole.column("item_id"), "image": images}), "shop")
    with pytest.raises(ImageError, match="shop, item '6'"):
        pack(broken, square, SIDE, "squash")
    counted = Counted()
    assert_as_decoded(pack(whole, counted, SIDE, "squash"), whole)
    assert counted.calls == 6
    missing = Catalog(pa.table({"item_id": ["a"], "image": ["no/such.png"]}), "shop")
    with pytest.raises(ImageError, match=r"shop, item 'a' .*there is no such file"):
        pack(missing, square, SIDE, "squash")


def start_packing(name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.catalog.packing", name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_killed_while_packing_it_goes_on_from_there_and_no_part_looks_whole_that_is_not(own_cache: Path) -> None:
    catalog = noise()
    rng = np.random.default_rng(0)
    kept = [0]
    for _ in range(60 if LONG else 6):
        process = start_packing("killed")
        assert process.stdout is not None
        assert process.stdout.readline() == "packing\n"
        time.sleep(rng.uniform(0.02, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        parts = packed._parts(folder_of("killed"), (SIDE, SIDE, 3))
        kept.append(sum(len(part.digests) for part in parts))
        for part in parts:
            assert [packed.zlib.crc32(one.data) for one in part.squares] == part.checksums.tolist()
    assert kept == sorted(kept), "a part that was whole is gone"
    counted = Counted()
    assert_as_decoded(pack(catalog, counted, SIDE, "killed"), catalog)
    assert counted.calls == COUNT - kept[-1]
    finished = start_packing("killed")
    assert finished.communicate()[0] == "packing\npacked\n"


def test_what_a_killed_process_left_is_swept_away_and_what_another_is_writing_is_not() -> None:
    folder = folder_of("squash")
    folder.mkdir(parents=True)
    old, new = folder / ".a.arrow.x.tmp", folder / ".b.arrow.y.tmp"
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 2 * packed.LEFTOVER_S,) * 2)
    pack(noise(3), square, SIDE, "squash")
    assert not old.exists()
    assert new.exists()


def test_every_damage_is_detected_and_mended(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A flipped bit anywhere, a cut, an empty file, another file: the squares read are still the right ones."""
    catalog = noise(4)
    pack(catalog, square, SIDE, "squash")
    (path,) = folder_of("squash").glob("*.arrow")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    squares_begin = whole.index(square(catalog.image(0)).tobytes()[:64])
    damages: list[bytes] = [b"", b"hello", whole[:-9], whole[: len(whole) // 2], whole[: squares_begin + 100]]
    for number in range(400 if LONG else 60):
        # Half of the flips in the small parts before and after the squares.
        place = int(
            rng.integers(len(whole)) if number % 2 else rng.choice([rng.integers(squares_begin), -rng.integers(1, 700)])
        )
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        damages.append(bytes(flipped))
    unnoticed = 0
    for damaged in damages:
        path.unlink(missing_ok=True)
        path.write_bytes(damaged)
        told.clear()
        assert_as_decoded(pack(catalog, square, SIDE, "squash"), catalog)
        if told:
            assert "is damaged; it is removed, and its pictures are decoded again" in told[0]
            assert_as_decoded(pack(catalog, square, SIDE, "squash"), catalog)
        unnoticed += not told
    # A flip in padding, or in a name nobody reads, changes nothing that is used.
    assert unnoticed < len(damages) / 3


Usage = namedtuple("Usage", "total used free")


def test_too_small_a_disk_is_refused_before_any_decoding(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed.shutil, "disk_usage", lambda path: Usage(2**30, 0, 100_000))
    counted = Counted()
    with pytest.raises(CatalogError) as caught:
        pack(noise(100), counted, SIDE, "squash")
    assert str(caught.value) == (
        f"no room at {own_cache}: the decoded pictures take 0.00 GiB, and 0.00 GiB are free; make room, set "
        "LOOKALIKE_CACHE to a folder on a larger disk, or set training.pack_pictures = false to decode in every epoch"
    )
    assert counted.calls == 0


@pytest.mark.parametrize("limit", [0, 1, 5_000, 100_000])
def test_every_write_may_fail(limit: int, own_cache: Path) -> None:
    catalog = noise(20)
    with largest_file(limit), pytest.raises(CatalogError, match=r"no room at .* filled up while pictures were decoded"):
        pack(catalog, square, SIDE, "squash")
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []
    assert_as_decoded(pack(catalog, square, SIDE, "squash"), catalog)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CatalogError, match=r"the decoded pictures cannot be written to .*file.* \(.*\)"):
        pack(noise(2), square, SIDE, "squash")


@pytest.mark.usefixtures("small_parts")
def test_a_disk_that_fills_up_keeps_what_was_made_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={35 * 3 * SIDE**2}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        monkeypatch.setenv("LOOKALIKE_CACHE", str(disk))
        monkeypatch.setattr(packed.shutil, "disk_usage", lambda path: Usage(2**40, 0, 2**40))
        with pytest.raises(CatalogError, match="filled up"):
            pack(noise(60), square, SIDE, "squash")
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        counted = Counted()
        assert_as_decoded(pack(noise(60), counted, SIDE, "squash"), noise(60))
        assert counted.calls == 30
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
