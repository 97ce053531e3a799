"""Pictures decoded by threads: in order, bounded, and over when nobody listens."""

import threading
import time

import numpy as np
import pytest

from lookalike.encoders import loading
from lookalike.encoders.loading import filled_batches, loaded_batches
from lookalike.errors import ImageError


def picture_of(row: int) -> np.ndarray:
    return np.full((4, 4, 3), row % 256, np.uint8)


def batches_of(count: int, size: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), range(size, count, size))


def test_rows_and_pictures_come_in_order_however_long_each_takes() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(60)
    delays = rng.uniform(0, 0.01, 60)

    def load(row: int) -> np.ndarray:
        time.sleep(delays[row])
        return picture_of(row)

    found = list(loaded_batches(load, np.array_split(order, 8)))
    assert np.concatenate([rows for rows, _ in found]).tolist() == order.tolist()
    for rows, images in found:
        assert images.shape == (len(rows), 3, 4, 4)
        assert images[:, 0, 0, 0].tolist() == rows.tolist()


def test_channels_are_moved_not_mixed() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    ((_, images),) = loaded_batches(lambda row: picture, [np.array([0])])
    assert np.array_equal(images[0].numpy(), picture.transpose(2, 0, 1))


def broken_at(*rows: int):
    def load(row: int) -> np.ndarray:
        if row in rows:
            raise ImageError(f"picture {row} is damaged")
        return picture_of(row)

    return load


def test_broken_pictures_are_told_and_left_out() -> None:
    told: list[tuple[int, str]] = []
    load = broken_at(1, 4, 5, 6, 7)
    found = list(loaded_batches(load, batches_of(12, 4), lambda row, error: told.append((row, str(error)))))
    assert [rows.tolist() for rows, _ in found] == [[0, 2, 3], [], [8, 9, 10, 11]]
    assert [len(images) for _, images in found] == [3, 0, 4]
    assert told == [(row, f"picture {row} is damaged") for row in (1, 4, 5, 6, 7)]


def test_without_a_listener_the_first_broken_picture_is_raised() -> None:
    going = loaded_batches(broken_at(5, 9), batches_of(12, 4))
    assert next(going)[0].tolist() == [0, 1, 2, 3]
    with pytest.raises(ImageError, match="picture 5 is damaged"):
        next(going)


def test_other_faults_are_not_taken_for_broken_pictures() -> None:
    def load(row: int) -> np.ndarray:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(loaded_batches(load, batches_of(4, 2), lambda row, error: None))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("stop", ["close", "error"])
def test_stopping_early_neither_waits_nor_loads_the_rest(stop: str) -> None:
    started: list[int] = []

    def load(row: int) -> np.ndarray:
        started.append(row)
        if stop == "error" and row == 6:
            raise ImageError("damaged")
        time.sleep(0.02)
        return picture_of(row)

    going = loaded_batches(load, batches_of(4000, 4 if stop == "error" else 50))
    next(going)
    begun, before = time.perf_counter(), len(started)
    if stop == "close":
        going.close()
    else:
        with pytest.raises(ImageError):
            list(going)
    assert time.perf_counter() - begun < 2  # all 4,000 would take 20 s
    # Four threads may have had one more each in hand, of 200 that waited.
    assert len(started) - before < 40
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_only_so_many_batches_are_decoded_ahead() -> None:
    asked: list[int] = []

    def batches():
        for batch in batches_of(400, 4):
            asked.append(len(asked))
            yield batch

    going = loaded_batches(picture_of, batches())
    next(going)
    assert len(asked) == loading.AHEAD + 1
    assert len(list(going)) == 99


def test_no_batches() -> None:
    assert list(loaded_batches(picture_of, [])) == []


def fill(rows: np.ndarray, places: np.ndarray) -> None:
    time.sleep(0.001 * int(rows[0] % 3))
    places[:] = rows.astype(np.uint8)[:, None, None, None]


def test_filled_batches_come_in_order_each_picture_at_its_place() -> None:
    order = np.random.default_rng(0).permutation(200)
    found = list(filled_batches(fill, (4, 5, 3), np.array_split(order, 9)))
    assert np.concatenate([rows for rows, _ in found]).tolist() == order.tolist()
    for rows, pictures in found:
        assert pictures.shape == (len(rows), 4, 5, 3)
        assert (pictures.reshape(len(rows), -1).numpy() == rows[:, None]).all()


def test_a_picture_that_cannot_be_filled_in_is_raised_at_its_batch() -> None:
    def broken(rows: np.ndarray, places: np.ndarray) -> None:
        if 45 in rows:
            raise ImageError("picture 45 is damaged")
        fill(rows, places)

    going = filled_batches(broken, (2, 2, 3), batches_of(80, 20))
    assert [len(next(going)[0]) for _ in range(2)] == [20, 20]
    with pytest.raises(ImageError, match="picture 45 is damaged"):
        next(going)
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_only_so_many_batches_are_filled_ahead() -> None:
    asked: list[int] = []

    def batches():
        for batch in batches_of(400, 4):
            asked.append(len(asked))
            yield batch

    going = filled_batches(fill, (2, 2, 3), batches())
    next(going)
    assert len(asked) == loading.AHEAD + 1
    going.close()
    assert len(asked) == loading.AHEAD + 1
