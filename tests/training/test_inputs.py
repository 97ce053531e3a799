"""Inputs of batches: features by row; pictures augmented by seed, epoch and row alone."""

import io

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.encoders import Augmentation, Preprocessing
from lookalike.training.inputs import FeatureInputs, PictureInputs


def noise_catalog(count: int = 6) -> Catalog:
    rng = np.random.default_rng(0)

    def picture() -> bytes:
        encoded = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)).save(encoded, "PNG")
        return encoded.getvalue()

    return Catalog(pa.table({"item_id": [str(i) for i in range(count)], "image": [picture() for _ in range(count)]}))


def pictures(seed: int, epoch: int, batches: list[list[int]]) -> dict[int, torch.Tensor]:
    inputs = PictureInputs(noise_catalog(), Preprocessing(16), Augmentation(0.5), seed)
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
