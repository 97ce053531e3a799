"""10,000 mutated pictures: a decoded picture or an ImageError, never anything else, never long."""

import random
import time
from collections import Counter

import pytest
from PIL import Image

from lookalike.catalog.images import decode
from lookalike.errors import ImageError
from tests.pictures import draw, encoded

ROUNDS = 10_000


def seeds() -> list[bytes]:
    picture = draw("dress", 1, (24, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = picture.convert("RGBA")
    clear.putalpha(90)
    return [
        encoded(picture, "JPEG", exif=exif),
        encoded(picture, "JPEG", progressive=True),
        encoded(picture.convert("CMYK"), "JPEG"),
        encoded(clear, "PNG", exif=exif),
        encoded(picture.convert("I").convert("I;16"), "PNG"),
        encoded(picture.convert("P"), "PNG", transparency=0),
        encoded(picture, "WEBP"),
        encoded(clear, "WEBP", lossless=True, exif=exif),
        encoded(picture, "GIF", save_all=True, append_images=[clear]),
        encoded(picture, "BMP"),
        encoded(picture.convert("P"), "BMP"),
        encoded(picture, "TIFF"),
        encoded(picture, "TIFF", compression="tiff_lzw"),
        encoded(picture, "TIFF", compression="jpeg"),
        encoded(picture.convert("F"), "TIFF"),
        encoded(clear, "TIFF", compression="tiff_deflate"),
    ]


def flip_bits(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    damaged = bytearray(data)
    # Half of the flips hit the head of the file, where sizes and offsets stand.
    end = rng.choice([min(64, len(data)), len(data)])
    for _ in range(rng.choice([1, 2, 8, 32])):
        damaged[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def write_extremes(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    at = rng.randrange(len(data) - 4)
    value = rng.choice(
        [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0", b"\xff\xff"]
    )
    return data[:at] + value + data[at + len(value) :]


def truncate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    return data[: rng.randrange(1, len(data))]


def splice(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    at = rng.choice([4, 8, 12, 16, 32, 64, len(data) // 2])
    return rng.choice(others)[:at] + data[at:]


def repeat(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randrange(1, 64)]
    return data[:start] + part * rng.randrange(2, 20) + data[start:]


MUTATIONS = (flip_bits, write_extremes, truncate, splice, repeat)


# Pillow warns of odd metadata; for users this is no error, so that it is none here.
@pytest.mark.filterwarnings("ignore")
def test_mutated_pictures_are_decoded_or_refused() -> None:
    rng = random.Random(20)
    originals = seeds()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(ROUNDS):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        data = mutation(rng.choice(originals), originals, rng)
        start = time.process_time()
        try:
            picture = decode(data, rng.choice([None, 8]))
        except ImageError as error:
            outcomes["refused"] += 1
            assert str(error)
        else:
            outcomes["decoded"] += 1
            assert picture.mode == "RGB"
            assert len(picture.tobytes()) == 3 * picture.width * picture.height
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 1
    # Neither is the damage so great that all are refused, nor so small that none is.
    assert min(outcomes["decoded"], outcomes["refused"]) > ROUNDS // 10
