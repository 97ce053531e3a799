"""Where the inputs of a batch come from: pictures augmented anew in every epoch, or features computed once."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lookalike.catalog import Catalog
from lookalike.catalog.packed import pack
from lookalike.encoders import Augmentation, Preprocessing
from lookalike.encoders.loading import filled_batches
from lookalike.encoders.views import view, views_of_batch

CPU = torch.device("cpu")


class Squares(Protocol):
    """Pictures as squares of T pixels."""

    @property
    def side(self) -> int:
        """T."""

    def __getitem__(self, row: int) -> np.ndarray:
        """uint8 [T, T, 3]."""


class Inputs(Protocol):
    """Gives the inputs of batches of rows."""

    def batches(self, epoch: int, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """The rows of each batch with their inputs."""


class FeatureInputs:
    """Rows of a table of features [N, F]."""

    def __init__(self, features: np.ndarray) -> None:
        self._features = torch.from_numpy(features)

    def batches(self, epoch: int, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """The rows of each batch with their features."""
        for rows in batches:
            yield rows, self._features[rows]


class PictureInputs:
    """Views of squares: what a batch shows of a picture follows from seed, epoch and row alone.

    On a GPU whole squares are copied over, and the views are made there, while the step before computes; else threads
    make them.

    Args:
        squares: by row; see `squares_of`.
        count: N, rows there are.
        augmentation: which views.
        image_size: S, of the views.
        seed: of the run.
        device: where the encoder is.
    """

    def __init__(
        self,
        squares: Squares,
        count: int,
        augmentation: Augmentation,
        image_size: int,
        seed: int,
        device: torch.device = CPU,
    ) -> None:
        self._squares, self._count, self._device = squares, count, device
        self._augmentation, self._image_size, self._seed = augmentation, image_size, seed

    def batches(self, epoch: int, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """The rows of each batch with their views, uint8 [B, 3, S, S]; the next batches are made meanwhile."""
        chances = np.random.default_rng([self._seed, epoch]).random((self._count, 5))

        def fill_views(rows: np.ndarray, places: np.ndarray) -> None:
            views = self._augmentation.views(chances[rows], self._squares.side)
            for place, row, box, mirrored in zip(places, rows.tolist(), views.boxes, views.mirrored, strict=True):
                place[:] = view(self._squares[row], box, mirrored, self._image_size)

        def fill_squares(rows: np.ndarray, places: np.ndarray) -> None:
            for place, row in zip(places, rows.tolist(), strict=True):
                place[:] = self._squares[row]

        if self._device.type == "cuda":
            loaded = filled_batches(fill_squares, (self._squares.side, self._squares.side, 3), batches, pinned=True)
            return self._on_gpu(loaded, chances)
        filled = filled_batches(fill_views, (self._image_size, self._image_size, 3), batches)
        return ((rows, views.permute(0, 3, 1, 2)) for rows, views in filled)

    def _on_gpu(
        self, loaded: Iterable[tuple[np.ndarray, Tensor]], chances: np.ndarray
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Copies and views on a stream of their own, one batch ahead of the step that takes them."""
        stream = torch.cuda.Stream(self._device)
        waiting: deque[tuple[np.ndarray, Tensor, torch.cuda.Event]] = deque()

        def next_one() -> tuple[np.ndarray, Tensor]:
            rows, images, made = waiting.popleft()
            current = torch.cuda.current_stream(self._device)
            current.wait_event(made)
            images.record_stream(current)  # else its memory could be given away while the step reads it
            return rows, images

        for rows, squares in loaded:
            with torch.cuda.stream(stream):
                there = squares.to(self._device, non_blocking=True)
                views = self._augmentation.views(chances[rows], self._squares.side)
                waiting.append((rows, views_of_batch(there, views, self._image_size), stream.record_event()))
            if len(waiting) > 1:
                yield next_one()
        while waiting:
            yield next_one()


@dataclass(frozen=True)
class _Decoded:
    """Squares decoded whenever they are asked for."""

    catalog: Catalog
    square: Preprocessing

    @property
    def side(self) -> int:
        return self.square.image_size

    def __getitem__(self, row: int) -> np.ndarray:
        return self.square(self.catalog.image(row, self.side))


def squares_of(catalog: Catalog, preprocessing: Preprocessing, side: int, *, packed: bool) -> Squares:
    """What an encoder sees of each picture, at the size that training crops from.

    Args:
        catalog: whose pictures.
        preprocessing: the encoder's; but of what it cuts off at the sides, training may see some.
        side: T, in pixels.
        packed: decoded once, and kept on disk; else in every epoch. Either way they are the same.

    Raises:
        CatalogError: the disk has no room for them.
    """
    square = replace(preprocessing, image_size=side, crop_share=1.0)
    return pack(catalog, square, side, f"{square.fit}-{square.resampling}") if packed else _Decoded(catalog, square)
