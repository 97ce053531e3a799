"""Views of squares: threads and a batch in one go see the same, which is what a naive resize sees."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.encoders.views import Views, view, views_of_batch


def cubic(distance: float) -> float:
    """Keys (1981), eq. 4, with a = -1/2."""
    distance = abs(distance)
    if distance < 1:
        return 1.5 * distance**3 - 2.5 * distance**2 + 1
    return -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2 if distance < 2 else 0.0


def resized_line(line: np.ndarray, size: int) -> np.ndarray:
    """Pixel by pixel in float64: [n, channels] to [size, channels], whole numbers."""
    scale = len(line) / size
    found = []
    for place in range(size):
        center = (place + 0.5) * scale
        weights = [cubic((pixel + 0.5 - center) / max(scale, 1)) for pixel in range(len(line))]
        found.append(np.dot(weights, line) / math.fsum(weights))
    return np.clip(np.rint(found), 0, 255)


def naive(picture: np.ndarray, box: tuple[int, ...], mirrored: bool, size: int) -> np.ndarray:
    left, top, right, bottom = box
    cut = picture[top:bottom, left:right].astype(np.float64)
    wide = np.stack([resized_line(row, size) for row in cut])
    whole = np.stack([resized_line(wide[:, column], size) for column in range(size)], axis=1)
    return whole[:, ::-1] if mirrored else whole


def batch_of_one(picture: np.ndarray, box: tuple[int, ...], mirrored: bool, size: int) -> np.ndarray:
    views = Views(np.array([box]), np.array([mirrored]))
    return views_of_batch(torch.from_numpy(picture)[None], views, size)[0].permute(1, 2, 0).numpy()


def boxes(side: int) -> st.SearchStrategy[tuple[int, int, int, int]]:
    pairs = st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True).map(sorted)
    return st.tuples(pairs, pairs).map(lambda both: (both[0][0], both[1][0], both[0][1], both[1][1]))


@settings(max_examples=60, deadline=None)
@given(boxes(21), st.booleans(), st.integers(8, 24), st.integers(0, 99))
def test_both_ways_equal_a_naive_resize(box: tuple[int, int, int, int], mirrored: bool, size: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (21, 21, 3), dtype=np.uint8)
    expected = naive(picture, box, mirrored, size)
    assert np.abs(view(picture, np.array(box), mirrored, size) - expected).max() <= 2
    # The lines between are whole numbers too, and one may be rounded the other way.
    assert np.abs(batch_of_one(picture, box, mirrored, size) - expected).max() <= 2


def smooth(side: int) -> np.ndarray:
    few = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.array(Image.fromarray(few).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("box", [(0, 0, 90, 90), (7, 20, 69, 90), (40, 3, 60, 31)])
def test_both_ways_see_what_pillow_sees(box: tuple[int, int, int, int]) -> None:
    picture = smooth(90)
    expected = np.asarray(Image.fromarray(picture).crop(box).resize((48, 48), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(view(picture, np.array(box), False, 48) - expected).max() <= 2
    assert np.abs(batch_of_one(picture, box, False, 48) - expected).max() <= 2


@pytest.mark.parametrize("seen", [view, batch_of_one])
def test_a_crop_of_the_right_size_is_taken_as_it_is(seen: object) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    box = np.array([3, 5, 35, 37])
    assert np.array_equal(seen(picture, box, False, 32), picture[5:37, 3:35])  # type: ignore[operator]
    assert np.array_equal(seen(picture, box, True, 32), picture[5:37, 3:35][:, ::-1])  # type: ignore[operator]


@pytest.mark.parametrize("seen", [view, batch_of_one])
def test_large_squares_are_averaged_not_sampled(seen: object) -> None:
    checkered = np.repeat((np.indices((320, 320)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    seen_small = seen(checkered, np.array([0, 0, 320, 320]), False, 32)  # type: ignore[operator]
    assert np.abs(seen_small.astype(int) - 127).max() <= 3


def test_a_view_reads_squares_that_cannot_be_written_to_and_leaves_them_alone() -> None:
    picture = smooth(50)
    picture.setflags(write=False)
    before = picture.copy()
    assert view(picture, np.array([0, 0, 50, 50]), True, 20).shape == (20, 20, 3)
    assert np.array_equal(picture, before)


def test_a_batch_is_its_pictures_one_by_one_with_channels_last() -> None:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (5, 30, 30, 3), dtype=np.uint8)
    views = Views(
        np.array([[0, 0, 30, 30], [1, 2, 20, 30], [5, 5, 21, 21], [0, 9, 30, 20], [29, 29, 30, 30]]),
        np.array([True, False, True, False, True]),
    )
    batch = views_of_batch(torch.from_numpy(pictures), views, 16)
    assert batch.dtype == torch.uint8
    assert batch.is_contiguous(memory_format=torch.channels_last)
    for row in range(5):
        alone = batch_of_one(pictures[row], tuple(views.boxes[row]), bool(views.mirrored[row]), 16)
        assert np.array_equal(batch[row].permute(1, 2, 0).numpy(), alone)
