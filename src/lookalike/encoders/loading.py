"""Pictures decoded by threads, ahead of who needs them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import cpu_count
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import ImageError

#: Batches decoded ahead. Memory is bounded by this times a batch of uint8 pictures.
AHEAD = 4
#: Pictures a thread fills in at a time, so that handing out work costs little.
CHUNK = 8
Loader = Callable[[int], np.ndarray]
Begun = TypeVar("Begun")


def loaded_batches(
    load: Loader, batches: Iterable[np.ndarray], on_broken: Callable[[int, ImageError], None] | None = None
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Go through batches of row numbers with their pictures, in order.

    Args:
        load: a row number to a picture, uint8 [S, S, 3]. Pillow decodes outside Python's lock, so threads are enough,
            and nothing is copied to other processes.
        batches: int64 arrays of row numbers.
        on_broken: told of a picture that cannot be decoded, which is then left out of its batch; without it, the
            error is raised.

    Yields:
        The rows that could be loaded, and their pictures as uint8 [B, 3, S, S].
    """

    def begin(pool: ThreadPoolExecutor, rows: np.ndarray) -> tuple[np.ndarray, list[Future[np.ndarray]]]:
        return rows, [pool.submit(load, int(row)) for row in rows]

    for rows, futures in _ahead(begin, batches):
        yield _collect(rows, futures, on_broken)


def filled_batches(
    fill: Callable[[np.ndarray, np.ndarray], None],
    shape: tuple[int, ...],
    batches: Iterable[np.ndarray],
    *,
    pinned: bool = False,
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """The same for pictures of one known shape, without copying them once more.

    Args:
        fill: given row numbers and uint8 [len(rows), *shape] to write their pictures to.
        shape: of a picture.
        batches: int64 arrays of row numbers.
        pinned: in memory that a GPU can copy from while it computes.

    Yields:
        The rows, and their pictures as uint8 [B, *shape].
    """

    def begin(pool: ThreadPoolExecutor, rows: np.ndarray) -> tuple[np.ndarray, Tensor, list[Future[None]]]:
        pictures = torch.empty((len(rows), *shape), dtype=torch.uint8, pin_memory=pinned)
        places = pictures.numpy()
        parts = [slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK)]
        return rows, pictures, [pool.submit(fill, rows[part], places[part]) for part in parts]

    for rows, pictures, futures in _ahead(begin, batches):
        for future in futures:
            future.result()
        yield rows, pictures


def _ahead(begin: Callable[[ThreadPoolExecutor, np.ndarray], Begun], batches: Iterable[np.ndarray]) -> Iterator[Begun]:
    """Begin the next batches while the one given is used."""
    with ThreadPoolExecutor(min(16, cpu_count() or 1), thread_name_prefix="pictures") as pool:
        waiting: deque[Begun] = deque()
        try:
            for rows in batches:
                waiting.append(begin(pool, rows))
                if len(waiting) > AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            # Whoever stops early (Ctrl-C, an error) does not wait for pictures nobody will see.
            pool.shutdown(wait=False, cancel_futures=True)


def _collect(
    rows: np.ndarray, futures: list[Future[np.ndarray]], on_broken: Callable[[int, ImageError], None] | None
) -> tuple[np.ndarray, Tensor]:
    good, pictures = [], []
    for row, future in zip(rows, futures, strict=True):
        try:
            pictures.append(future.result())
            good.append(row)
        except ImageError as error:
            if on_broken is None:
                raise
            on_broken(int(row), error)
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) if pictures else torch.empty(0, 3, 0, 0)
    return np.array(good, dtype=np.int64), images
