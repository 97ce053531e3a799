"""Squares for looking and for training: known pictures come out as they must."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.encoders import Augmentation, Preprocessing
from lookalike.encoders.transforms import LARGEST_PX
from lookalike.encoders.views import Views
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


def drawn(augmentation: Augmentation, side: int, count: int, seed: int = 0) -> Views:
    return augmentation.views(np.random.default_rng(seed).random((count, 5)), side)


def test_without_crop_half_of_the_whole_squares_are_mirrored() -> None:
    views = drawn(Augmentation(min_scale=1), 32, 200)
    assert (views.boxes == [0, 0, 32, 32]).all()
    assert 70 < views.mirrored.sum() < 130
    assert not drawn(Augmentation(min_scale=1, flip=False), 32, 200).mirrored.any()


def test_a_view_depends_on_its_own_chances_alone() -> None:
    chances = np.random.default_rng(0).random((20, 5))
    together = Augmentation().views(chances, 77)
    for row in range(20):
        alone = Augmentation().views(chances[row : row + 1], 77)
        assert np.array_equal(alone.boxes[0], together.boxes[row])
        assert alone.mirrored[0] == together.mirrored[row]
    assert len({*map(tuple, together.boxes.tolist())}) == 20


@settings(max_examples=300, deadline=None)
@given(
    st.integers(4, 300),
    st.floats(0.05, 0.99),
    st.floats(1, 4),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=5, max_size=5),
)
def test_a_crop_keeps_its_share_and_its_shape(
    side: int, min_scale: float, max_ratio: float, chances: list[float]
) -> None:
    ((left, top, right, bottom),) = Augmentation(min_scale, max_ratio).views(np.array([chances]), side).boxes
    assert 0 <= left < right <= side
    assert 0 <= top < bottom <= side
    # Sides are whole pixels, so that each may be half a pixel off.
    assert (right - left + 0.51) * (bottom - top + 0.51) >= min_scale * side**2
    least, most = (right - left - 0.51) / (bottom - top + 0.51), (right - left + 0.51) / (bottom - top - 0.51)
    assert least <= max_ratio
    assert most >= 1 / max_ratio


def test_crops_reach_every_corner_and_every_scale() -> None:
    boxes = drawn(Augmentation(min_scale=0.25), 100, 500).boxes
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 10_000
    assert shares.min() < 0.3
    assert shares.max() > 0.95
    assert boxes[:, :2].min() == 0
    assert boxes[:, 2:].max() == 100
    assert math.isclose(np.median(shares), 0.625, abs_tol=0.06)


@settings(max_examples=200, deadline=None)
@given(st.integers(8, 4096), st.floats(0.01, 1), st.floats(1, 4), st.integers(0, 99))
def test_no_crop_is_enlarged_more_than_twofold_and_usual_ones_not_at_all(
    image_size: int, min_scale: float, max_ratio: float, seed: int
) -> None:
    augmentation = Augmentation(min_scale, max_ratio)
    side = augmentation.source_px(image_size)
    assert image_size <= side <= min(2 * image_size, LARGEST_PX)
    boxes = drawn(augmentation, side, 50, seed).boxes
    if side < min(2 * image_size, LARGEST_PX):
        assert (boxes[:, 2:] - boxes[:, :2]).min() >= image_size - 1


def test_the_usual_sizes_to_crop_from() -> None:
    assert Augmentation().source_px(224) == 366
    assert Augmentation(min_scale=1).source_px(224) == 224
    assert Augmentation(min_scale=0.08).source_px(224) == 448
    assert Augmentation().source_px(4096) == 4096


def test_settings_are_values() -> None:
    assert Preprocessing(32) == Preprocessing(32, "squash")
    assert replace(Preprocessing(32), fit="pad") != Preprocessing(32)
