"""Pictures that arrive at the same time are embedded together: one call of the network costs less than many."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from PIL import Image

from lookalike.search.intake import Calibrated, PictureEncoder, Sized

_Waiting = tuple[Sequence[Any], "Future[np.ndarray]"]


class BatchedEncoder:
    """An encoder for many threads: one thread of its own embeds whatever waits, up to `max_batch` pictures at once.

    Nobody waits for a batch to fill: while one is embedded, the next gathers.
    """

    def __init__(self, encoder: PictureEncoder, max_batch: int, on_batch: Callable[[int], None] = lambda size: None):
        self._encoder, self._max_batch, self._on_batch = encoder, max_batch, on_batch
        #: That of the encoder: it gives the same embeddings. Kept, since it is made from all of the weights.
        self.fingerprint = encoder.fingerprint
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="embed", daemon=True)
        self._thread.start()

    @property
    def preprocessing(self) -> Sized:
        """How pictures become its input."""
        return self._encoder.preprocessing

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._encoder.dim

    @property
    def calibration(self) -> Calibrated | None:
        """That of the encoder."""
        return self._encoder.calibration

    def describe(self) -> str:
        """One line: what it is."""
        return self._encoder.describe()

    def embed(self, images: Sequence[str | Path | bytes | Image.Image], batch_size: int = 64) -> np.ndarray:
        """Pictures to unit rows, float32 [N, dim]; called from any thread."""
        future: Future[np.ndarray] = Future()
        self._queue.put((images, future))
        return future.result()

    def embed_words(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to unit rows, float32 [N, dim]."""
        return self._encoder.embed_words(texts)

    def save(self, folder: str | Path) -> object:
        """Write the encoder into `folder`."""
        return self._encoder.save(folder)

    def close(self) -> None:
        """Embed what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, size = [first], len(first[0])
            while size < self._max_batch:
                try:
                    following = self._queue.get_nowait()
                except Empty:
                    break
                if following is None:
                    self._queue.put(None)  # ends the outer loop
                    break
                batch.append(following)
                size += len(following[0])
            self._on_batch(size)
            self._embed(batch)

    def _embed(self, batch: list[_Waiting]) -> None:
        try:
            rows = self._encoder.embed([image for images, _ in batch for image in images])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # one of them is at fault; the others shall have their answer
                for waiting in batch:
                    self._embed([waiting])
            return
        ends = np.cumsum([len(images) for images, _ in batch])
        for (_, future), part in zip(batch, np.split(rows, ends[:-1]), strict=True):
            future.set_result(part)
