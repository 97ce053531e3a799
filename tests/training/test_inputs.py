"""Inputs of batches: features by row; pictures augmented by seed, epoch and row alone."""

import io
from contextlib import nullcontext
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.encoders import Augmentation, Preprocessing, loading
from lookalike.encoders.views import view
from lookalike.training.inputs import FeatureInputs, PictureInputs, Squares, squares_of


def noise_catalog(count: int = 6) -> Catalog:
    rng = np.random.default_rng(0)

    def picture() -> bytes:
        encoded = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)).save(encoded, "PNG")
        return encoded.getvalue()

    return Catalog(pa.table({"item_id": [str(i) for i in range(count)], "image": [picture() for _ in range(count)]}))


AUGMENTATION = Augmentation(0.5)


def squares(packed: bool = False, count: int = 6) -> Squares:
    return squares_of(noise_catalog(count), Preprocessing(16), AUGMENTATION.source_px(16), packed=packed)


def pictures(seed: int, epoch: int, batches: list[list[int]], packed: bool = False) -> dict[int, torch.Tensor]:
    inputs = PictureInputs(squares(packed), 6, AUGMENTATION, 16, seed)
    loaded = inputs.batches(epoch, [np.array(batch) for batch in batches])
    return {int(row): picture for rows, batch in loaded for row, picture in zip(rows, batch, strict=True)}


def test_features_come_by_row() -> None:
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    (rows, batch), *rest = FeatureInputs(features).batches(1, [np.array([4, 0, 4])])
    assert rest == []
    assert rows.tolist() == [4, 0, 4]
    assert batch.tolist() == [[8, 9], [0, 1], [8, 9]]


def test_an_augmentation_follows_from_seed_epoch_and_row_alone() -> None:
    one, other = pictures(0, 1, [[0, 1, 2], [3, 4, 5]]), pictures(0, 1, [[5, 4], [3, 2], [1, 0]])
    assert one[0].shape == (3, 16, 16)
    assert all(torch.equal(one[row], other[row]) for row in range(6))


def test_another_epoch_or_seed_is_another_view() -> None:
    batches = [[0, 1, 2, 3, 4, 5]]
    first, next_epoch, next_seed = pictures(0, 1, batches), pictures(0, 2, batches), pictures(1, 1, batches)
    assert not any(torch.equal(first[row], next_epoch[row]) for row in range(6))
    assert not any(torch.equal(first[row], next_seed[row]) for row in range(6))


def test_packed_and_unpacked_pictures_are_the_same_to_the_bit() -> None:
    batches = [[5, 0, 2], [1, 4, 3, 3]]
    one, other = pictures(3, 2, batches), pictures(3, 2, batches, packed=True)
    assert all(torch.equal(one[row], other[row]) for row in range(6))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_number_of_threads_changes_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pictures(0, 1, [[0, 1, 2, 3, 4, 5]])
    monkeypatch.setattr(loading, "cpu_count", lambda: threads)
    monkeypatch.setattr(loading, "CHUNK", 2)
    found = pictures(0, 1, [[0, 1, 2, 3, 4, 5]])
    assert all(torch.equal(found[row], expected[row]) for row in range(6))


def test_a_view_is_the_crop_its_chances_say() -> None:
    chances = np.random.default_rng([4, 9]).random((6, 5))
    views = AUGMENTATION.views(chances, 27)
    found = pictures(4, 9, [[2, 5]])
    for row in (2, 5):
        square = np.asarray(noise_catalog().image(row).resize((27, 27), Image.Resampling.BICUBIC, reducing_gap=2.0))
        expected = view(square, views.boxes[row], views.mirrored[row], 16)
        assert np.array_equal(found[row].permute(1, 2, 0).numpy(), expected)


def test_without_crops_a_picture_is_seen_as_the_encoder_sees_it() -> None:
    preprocessing = Preprocessing(16, "pad")
    inputs = PictureInputs(
        squares_of(noise_catalog(), preprocessing, 16, packed=False), 6, Augmentation(1, flip=False), 16, 0
    )
    ((_, batch),) = inputs.batches(1, [np.arange(6)])
    expected = [preprocessing(noise_catalog().image(row)) for row in range(6)]
    assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), np.stack(expected))
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_training_sees_what_an_encoder_cuts_off_at_the_sides() -> None:
    catalog = noise_catalog()
    cut = squares_of(catalog, Preprocessing(16, "crop", crop_share=0.5), 16, packed=False)[0]
    assert np.array_equal(cut, Preprocessing(16, "crop")(catalog.image(0)))
    assert not np.array_equal(cut, Preprocessing(16, "crop", crop_share=0.5)(catalog.image(0)))


def test_what_is_left_out_is_not_decoded() -> None:
    asked: list[int] = []

    class Listed:
        side = 27

        def __getitem__(self, row: int) -> np.ndarray:
            asked.append(row)
            return np.zeros((27, 27, 3), np.uint8)

    order = np.array_split(np.arange(40), 10)
    inputs = PictureInputs(Listed(), 40, AUGMENTATION, 16, 0)
    rest = list(inputs.batches(1, islice(iter(order), 7, None)))
    assert [rows.tolist() for rows, _ in rest] == [rows.tolist() for rows in order[7:]]
    assert sorted(asked) == [*range(28, 40)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_views_made_on_a_gpu_are_those_of_the_threads() -> None:
    batches = [np.array([3, 1, 0]), np.array([2, 5]), np.array([4])] * 5
    here = PictureInputs(squares(), 6, AUGMENTATION, 16, 0).batches(1, batches)
    there = PictureInputs(squares(), 6, AUGMENTATION, 16, 0, torch.device("cuda")).batches(1, batches)
    for (rows, expected), (same_rows, found) in zip(here, there, strict=True):
        assert np.array_equal(rows, same_rows)
        assert (found.cpu().int() - expected.int()).abs().max() <= 2


class Recorded:
    """In place of a stream: notes what is asked of it."""

    def __init__(self, *_: object) -> None:
        self.waited: list[int] = []
        self.events = 0

    def record_event(self) -> int:
        self.events += 1
        return self.events

    def wait_event(self, event: int) -> None:
        self.waited.append(event)


def test_on_a_gpu_the_next_batch_is_begun_before_the_step_and_each_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The order of things, without a GPU."""
    mine, steps = Recorded(), Recorded()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: mine)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: steps)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda images, stream: None)
    inputs = PictureInputs(squares(), 6, AUGMENTATION, 16, 0)
    batches = [np.array([3, 1, 0]), np.array([2, 5]), np.array([4])]
    chances = np.random.default_rng([0, 1]).random((6, 5))
    whole = torch.from_numpy(np.stack([squares()[row] for row in range(6)]))
    seen = inputs._on_gpu(((rows, whole[rows]) for rows in batches), chances)
    for number, ((rows, expected), (same_rows, found)) in enumerate(
        zip(inputs.batches(1, batches), seen, strict=True), start=1
    ):
        assert np.array_equal(rows, same_rows)
        assert (found.int() - expected.int()).abs().max() <= 2
        assert steps.waited == [*range(1, number + 1)]
        assert mine.events == min(number + 1, 3)
