"""Where the inputs of a batch come from: pictures augmented anew in every epoch, or features computed once."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lookalike.catalog import Catalog
from lookalike.encoders import Augmentation, Preprocessing
from lookalike.encoders.loading import loaded_batches


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
    """Pictures of a catalog, augmented. A picture's augmentation follows from seed, epoch and row alone."""

    def __init__(self, catalog: Catalog, preprocessing: Preprocessing, augmentation: Augmentation, seed: int) -> None:
        self._catalog, self._preprocessing = catalog, preprocessing
        self._augmentation, self._seed = augmentation, seed

    def batches(self, epoch: int, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """The rows of each batch with their pictures, decoded ahead."""

        def load(row: int) -> np.ndarray:
            # A crop is enlarged again, so the picture is wanted at a larger size than the encoder's.
            picture = self._catalog.image(row, 2 * self._preprocessing.image_size)
            return self._augmentation(picture, self._preprocessing, np.random.default_rng([self._seed, epoch, row]))

        return loaded_batches(load, batches)
