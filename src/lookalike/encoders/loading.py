"""Pictures decoded by threads, ahead of who needs them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import cpu_count

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import ImageError

#: Batches decoded ahead. Memory is bounded by this times a batch of uint8 pictures.
AHEAD = 4
Loader = Callable[[int], np.ndarray]


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
    threads = min(4, cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="pictures") as pool:
        waiting: deque[tuple[np.ndarray, list[Future[np.ndarray]]]] = deque()
        try:
            for rows in batches:
                waiting.append((rows, [pool.submit(load, int(row)) for row in rows]))
                if len(waiting) > AHEAD:
                    yield _collect(*waiting.popleft(), on_broken)
            while waiting:
                yield _collect(*waiting.popleft(), on_broken)
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
