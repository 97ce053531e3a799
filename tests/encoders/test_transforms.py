"""Squares for looking and for training: known pictures come out as they must."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.encoders import Augmentation, Preprocessing
from lookalike.errors import EncoderError
from tests.pictures import draw

FITS = ("squash", "crop", "pad")


def striped() -> Image.Image:
    """48 x 16: red, green and blue thirds."""
    picture = np.zeros((16, 48, 3), np.uint8)
    for third in range(3):
        picture[:, third * 16 : third * 16 + 16, third] = 255
    return Image.fromarray(picture)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(64, 64), (100, 40), (40, 100), (4, 900), (900, 4), (5, 5)])
def test_every_picture_becomes_the_square(fit: str, size: tuple[int, int]) -> None:
    fitted = Preprocessing(32, fit)(draw("bag", size=size))  # type: ignore[arg-type]
    assert (fitted.shape, fitted.dtype) == ((32, 32, 3), np.uint8)


def test_squash_keeps_all_crop_the_middle_pad_all_on_white() -> None:
    squashed = Preprocessing(48, "squash")(striped())
    assert [squashed[24, x].argmax() for x in (8, 24, 40)] == [0, 1, 2]
    cropped = Preprocessing(48, "crop")(striped())
    assert (cropped[:, 4:44] == (0, 255, 0)).all()
    padded = Preprocessing(48, "pad")(striped())
    assert (padded[:15] == 255).all()
    assert (padded[33:] == 255).all()
    assert np.array_equal(padded[16:32], np.asarray(striped()))


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_that_fits_is_left_alone(fit: str) -> None:
    picture = draw("coat", size=(32, 32))
    assert np.array_equal(Preprocessing(32, fit)(picture), np.asarray(picture))  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", FITS)
def test_large_pictures_are_averaged_not_sampled(fit: str) -> None:
    checkered = Image.fromarray((np.indices((640, 640)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert("RGB")
    fitted = Preprocessing(32, fit)(checkered)  # type: ignore[arg-type]
    assert np.abs(fitted.astype(int) - 127).max() <= 3


def test_wrong_settings_name_the_value_and_the_range() -> None:
    with pytest.raises(EncoderError, match="fit must be one of squash, crop, pad, not 'stretch'"):
        Preprocessing(32, "stretch")  # type: ignore[arg-type]
    for size in (7, 0, -32, 4097):
        with pytest.raises(EncoderError, match=f"image_size must lie between 8 and 4096 pixels, not {size}"):
            Preprocessing(size)
    for scale in (0, -0.5, 1.1, float("nan")):
        with pytest.raises(EncoderError, match=f"min_scale must lie between 0 and 1, not {scale}"):
            Augmentation(min_scale=scale)
    for ratio in (0.9, 0, -1, float("inf"), float("nan")):
        with pytest.raises(EncoderError, match=f"max_ratio must be at least 1, not {ratio}"):
            Augmentation(max_ratio=ratio)


def test_the_generator_decides_the_view_and_nothing_else() -> None:
    picture, square = draw("dress", 3, (80, 60)), Preprocessing(32)

    def view(seed: int) -> bytes:
        return Augmentation()(picture, square, np.random.default_rng(seed)).tobytes()

    assert [view(seed) for seed in range(6)] == [view(seed) for seed in range(6)]
    assert len({view(seed) for seed in range(6)}) == 6


def test_without_crop_a_view_is_the_picture_or_its_mirror() -> None:
    picture, square = draw("boot", size=(32, 32)), Preprocessing(32)
    plain = np.asarray(picture)
    rng = np.random.default_rng(0)
    views = [Augmentation(min_scale=1)(picture, square, rng) for _ in range(200)]
    mirrored = [np.array_equal(view, plain[:, ::-1]) for view in views]
    assert all(mirror or np.array_equal(view, plain) for view, mirror in zip(views, mirrored, strict=True))
    assert 70 < sum(mirrored) < 130
    never = Augmentation(min_scale=1, flip=False)
    assert all(np.array_equal(never(picture, square, rng), plain) for _ in range(20))


@settings(max_examples=300, deadline=None)
@given(st.integers(4, 300), st.integers(4, 300), st.floats(0.05, 0.99), st.floats(1, 4), st.integers(0, 999))
def test_a_crop_keeps_its_share_and_its_shape(
    width: int, height: int, min_scale: float, max_ratio: float, seed: int
) -> None:
    box = Augmentation(min_scale, max_ratio)._box((width, height), np.random.default_rng(seed))
    left, top, right, bottom = box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    # Sides are whole pixels, so that each may be half a pixel off.
    assert (right - left + 0.51) * (bottom - top + 0.51) >= min_scale * width * height
    least, most = (right - left - 0.51) / (bottom - top + 0.51), (right - left + 0.51) / (bottom - top - 0.51)
    assert least <= max_ratio * width / height
    assert most >= width / height / max_ratio


def test_crops_reach_every_corner_and_every_scale() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([Augmentation(min_scale=0.25)._box((100, 100), rng) for _ in range(500)])
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 10_000
    assert shares.min() < 0.3
    assert shares.max() > 0.95
    assert boxes[:, :2].min() == 0
    assert boxes[:, 2:].max() == 100
    assert math.isclose(np.median(shares), 0.625, abs_tol=0.06)


def test_settings_are_values() -> None:
    assert Preprocessing(32) == Preprocessing(32, "squash")
    assert replace(Preprocessing(32), fit="pad") != Preprocessing(32)
