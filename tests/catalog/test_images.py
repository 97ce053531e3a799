"""One picture: every format upright on white as RGB, and a sentence for everything else."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.catalog.images import ImageLimits, decode, describe_source, read_bytes
from lookalike.errors import ImageError
from tests.pictures import STORED, draw, encoded, stored_as

LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}, "GIF": {}}
PICTURE = draw("bag")


def oriented(number: int, file_format: str = "PNG", **options: object) -> bytes:
    return stored_as(PICTURE, number, file_format, **options)


def difference(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG file from its parts."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(("file_format", "options"), LOSSLESS.items())
def test_lossless_formats_keep_every_pixel(file_format: str, options: dict[str, object]) -> None:
    decoded = decode(encoded(PICTURE, file_format, **options))
    assert (decoded.mode, decoded.size) == ("RGB", PICTURE.size)
    assert difference(decoded, PICTURE) == 0


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_lossy_formats_come_near(file_format: str) -> None:
    decoded = decode(encoded(PICTURE, file_format, quality=98))
    assert decoded.mode == "RGB"
    assert np.abs(np.asarray(decoded, float) - np.asarray(PICTURE, float)).mean() < 4


def test_a_phones_multi_picture_jpeg_is_its_first_picture() -> None:
    both = encoded(PICTURE, "MPO", save_all=True, append_images=[draw("coat")], quality=98)
    assert np.abs(np.asarray(decode(both), float) - np.asarray(PICTURE, float)).mean() < 4


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_is_taken(file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    film = encoded(PICTURE, file_format, save_all=True, append_images=[draw("coat", 2)], **options)
    assert difference(decode(film), PICTURE) == 0


def test_path_text_and_bytes_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "ö 1.png"
    file.write_bytes(encoded(PICTURE))
    pictures = [decode(source) for source in (file, str(file), file.read_bytes(), PICTURE)]
    assert all(difference(picture, PICTURE) == 0 for picture in pictures)


@pytest.mark.parametrize("number", STORED)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_every_orientation_gives_the_same_upright_picture(number: int, file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = oriented(number, file_format, **options)
    assert difference(decode(data), PICTURE) == 0
    assert difference(decode(Image.open(io.BytesIO(data))), PICTURE) == 0


@pytest.mark.parametrize("number", STORED)
def test_every_orientation_of_a_jpeg(number: int) -> None:
    data = oriented(number, "JPEG", quality=98, subsampling=0)
    assert np.abs(np.asarray(decode(data), float) - np.asarray(PICTURE, float)).mean() < 2
    assert np.abs(np.asarray(decode(data, 5), float) - np.asarray(decode(oriented(1, "JPEG"), 5), float)).mean() < 6


@pytest.mark.parametrize("number", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(number: int) -> None:
    assert difference(decode(oriented(number)), PICTURE) == 0


def test_a_decoded_picture_is_not_turned_again() -> None:
    once = decode(oriented(6))
    assert difference(decode(once), once) == 0
    assert difference(decode(encoded(once)), once) == 0


@pytest.mark.filterwarnings("ignore")  # Pillow warns of such EXIF, which is no error for users
def test_malformed_exif_does_not_lose_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif[0x011A] = 72.0
    exif.get_ifd(0x8769)[0x829A] = 0.01
    good = encoded(PICTURE, "JPEG", exif=exif, quality=98)
    start, length = good.index(b"Exif") + 6, len(exif.tobytes()) - 6
    expected = [decode(encoded(PICTURE, "JPEG", quality=98)).transpose(turn) for turn in Image.Transpose]
    rng = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(good)
        for place in rng.integers(start, start + length, 4):
            damaged[place] = rng.integers(256)
        picture = decode(bytes(damaged))
        same_size = [turned for turned in expected if turned.size == picture.size]
        is_untouched = picture.size == PICTURE.size
        assert is_untouched or any(difference(picture, turned) < 3 for turned in same_size)


def test_the_users_picture_is_left_alone() -> None:
    opened = Image.open(io.BytesIO(oriented(6)))
    opened.load()
    before = opened.tobytes(), opened.size, opened.getexif()[0x0112]
    decode(opened).paste((0, 0, 0), (0, 0, 9, 9))
    assert (opened.tobytes(), opened.size, opened.getexif()[0x0112]) == before


def cut_out(mode: str) -> Image.Image:
    """A black square, its left half clear, its right half solid."""
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 4, 8))
    return picture.convert(mode)


@pytest.mark.parametrize(("mode", "file_format"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF")])
def test_clear_parts_become_white(mode: str, file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    decoded = np.asarray(decode(encoded(cut_out(mode), file_format, **options)))
    assert (decoded[:, :4] == 255).all()
    assert (decoded[:, 4:] == 0).all()


def test_half_clear_parts_are_mixed_with_white() -> None:
    decoded = np.asarray(decode(encoded(Image.new("RGBA", (8, 8), (200, 0, 0, 128)))))
    assert np.abs(decoded[0, 0].astype(int) - [227, 127, 127]).max() <= 1


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_a_palette_with_a_clear_color(file_format: str) -> None:
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.paste(1, (4, 0, 8, 8))
    decoded = np.asarray(decode(encoded(picture, file_format, transparency=0)))
    assert (decoded[:, :4] == 255).all()
    assert (decoded[:, 4:] == (200, 100, 50)).all()


def test_a_palette_with_half_clear_colors() -> None:
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    decoded = np.asarray(decode(encoded(picture, "PNG", transparency=bytes([128, 255]))))
    assert np.abs(decoded.astype(int) - 127).max() <= 1


def test_rgb_and_gray_with_a_clear_color() -> None:
    rgb = png(
        4, 4, 8, 2, (b"\0" + b"\x0a\x14\x1e" * 2 + b"\x01\x02\x03" * 2) * 4, (b"tRNS", struct.pack(">3H", 10, 20, 30))
    )
    assert np.asarray(decode(rgb))[0].tolist() == [[255] * 3] * 2 + [[1, 2, 3]] * 2
    gray = png(4, 4, 8, 0, (b"\0" + b"\x05\x05\x09\x09") * 4, (b"tRNS", struct.pack(">H", 5)))
    assert np.asarray(decode(gray))[0, :, 0].tolist() == [255, 255, 9, 9]


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bit_gray_is_scaled_not_clipped(order: str) -> None:
    values = np.linspace(0, 65535, 64).round().reshape(8, 8)
    big = Image.frombytes("I;16B", (8, 8), values.astype(">u2").tobytes())
    data = encoded(Image.fromarray(values.astype("<u2"))) if order == "<u2" else encoded(big, "TIFF")
    decoded = np.asarray(decode(data))
    assert np.array_equal(decoded[..., 0], np.rint(values / 257).astype(np.uint8))
    assert np.array_equal(decoded[..., 0], decoded[..., 2])


def test_sixteen_bit_gray_with_a_clear_value_and_an_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1300
    data = encoded(Image.fromarray(values), exif=exif, transparency=1300)
    assert np.array_equal(np.asarray(decode(data))[..., 0], np.rint(values[::-1].T / 257))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_wide_gray_with_small_values_is_taken_as_it_is(mode: str) -> None:
    values = np.arange(64, dtype=np.int32 if mode == "I" else np.float32).reshape(8, 8) * 4 - 5
    decoded = np.asarray(decode(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert np.array_equal(decoded, np.clip(values, 0, 255))


def test_one_bit_and_cmyk() -> None:
    assert set(np.asarray(decode(encoded(PICTURE.convert("1")))).ravel()) == {0, 255}
    for file_format in ("JPEG", "TIFF"):
        decoded = decode(encoded(PICTURE.convert("CMYK"), file_format))
        assert np.abs(np.asarray(decoded, float) - np.asarray(PICTURE, float)).mean() < 6


def test_a_reduced_jpeg_keeps_the_side_wanted() -> None:
    large = encoded(PICTURE.resize((1600, 1280)), "JPEG")
    reduced = decode(large, 100)
    assert 200 <= min(reduced.size) < 500
    assert abs(reduced.width / reduced.height - 1.25) < 0.02
    assert decode(encoded(PICTURE.resize((1600, 1280))), 100).size == (1600, 1280)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_truncated_file_is_named_damaged(file_format: str) -> None:
    rng = np.random.default_rng(0)
    whole = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), file_format)
    with pytest.raises(ImageError, match=r"the picture is damaged \(.+\); replace the file|not a picture we can read"):
        decode(whole[: len(whole) // 2])


def test_a_truncated_opened_picture_is_an_image_error() -> None:
    rng = np.random.default_rng(0)
    whole = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    with pytest.raises(ImageError, match="damaged"):
        decode(Image.open(io.BytesIO(whole[: len(whole) // 2])))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("picture.png", encoded(PICTURE))
    return buffer.getvalue()


OTHERS = {
    "text": b"hello, I am no picture",
    "html": b"<!DOCTYPE html><html><img src='x.png'></html>",
    "svg": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "zip": zipped(),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) print\n",
    "ico": encoded(PICTURE, "ICO"),
    "ppm": encoded(PICTURE, "PPM"),
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_what_is_no_picture_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"not a picture we can read \(JPEG, PNG, WebP, GIF, BMP or TIFF\)"):
        decode(data)


def test_zero_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    for source in (b"", tmp_path / "empty.jpg"):
        with pytest.raises(ImageError, match=r"empty \(0 bytes\)"):
            decode(source)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path, sentence in {
        tmp_path / "missing.png": "no such file",
        tmp_path: "a folder or a device.*name the picture itself",
        tmp_path / "pipe.png": "a folder or a device",  # reading it would wait for ever
        Path("/dev/zero"): "a folder or a device",
        tmp_path / "a\0b.png": "no file can have such a name",
        tmp_path / ("x" * 300): "cannot be read",
        Path("https://shop.example/a.png"): "not fetched from the network; download it",
    }.items():
        with pytest.raises(ImageError, match=sentence):
            decode(path)
        with pytest.raises(ImageError, match=sentence):
            decode(str(path))


@pytest.mark.parametrize("address", ["http://shop.example/a.png", "https://shop.example/a.png"])
def test_addresses_are_not_fetched(address: str) -> None:
    with pytest.raises(ImageError, match="not fetched from the network; download it and name the file"):
        read_bytes(address)


def test_limits_are_met_exactly(tmp_path: Path) -> None:
    data = encoded(PICTURE)  # 40 x 32 pixels
    file = tmp_path / "a.png"
    file.write_bytes(data)
    assert decode(data, limits=ImageLimits(max_pixels=1280, max_bytes=len(data), min_side_px=32)).size == (40, 32)
    with pytest.raises(ImageError, match="40 x 32 px; the limit is 1,279 pixels"):
        decode(data, limits=ImageLimits(max_pixels=1279))
    with pytest.raises(ImageError, match="40 x 32 px; a side must have at least 33"):
        decode(data, limits=ImageLimits(min_side_px=33))
    for source in (data, file):
        with pytest.raises(ImageError, match=f"has {len(data):,} bytes; the limit is {len(data) - 1:,}"):
            decode(source, limits=ImageLimits(max_bytes=len(data) - 1))
    assert decode(Image.new("RGB", (4, 4))).size == (4, 4)
    with pytest.raises(ImageError, match="3 x 9 px; a side must have at least 4"):
        decode(Image.new("RGB", (3, 9)))


BOMB = """
import io, resource, sys, time, warnings
from lookalike.catalog.images import decode
from lookalike.errors import ImageError
decode(io.open(sys.argv[2], "rb").read())                  # what imports and a small picture take is not counted
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
try:
    decode(sys.argv[1])
except ImageError as error:
    seconds = time.perf_counter() - start
    print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, error, sep=" | ")
"""


@pytest.mark.parametrize(("side", "whole"), [(20_000, True), (20_000, False), (8_000, True), (65_000, False)])
def test_a_bomb_is_refused_fast_and_without_memory(side: int, whole: bool, tmp_path: Path) -> None:
    bomb, small = tmp_path / "bomb.png", tmp_path / "small.png"
    bomb.write_bytes(png(side, side, 1, 0, (b"\0" * (side // 8 + 1)) * (side if whole else 2)))
    small.write_bytes(encoded(PICTURE))
    assert bomb.stat().st_size < 100_000
    command = [sys.executable, "-W", "ignore", "-c", BOMB, str(bomb), str(small)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, megabytes, sentence = output.split(" | ")
    assert float(seconds) < 1
    assert float(megabytes) < 300
    assert "50,000,000 pixels" in sentence


def test_a_source_is_described_by_path_or_size() -> None:
    assert describe_source(b"12345") == "<5 bytes>"
    assert describe_source(Path("a/b.png")) == "a/b.png"
