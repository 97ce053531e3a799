"""A tiny encoder whose embeddings tell drawn pictures apart."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lookalike.encoders import Encoder
from tests.pictures import COLORS, draw

MakeEncoder = Callable[..., Encoder]


def tiny_encoder(seed: int = 0, backbone: str = "test_efficientnet", **options: object) -> Encoder:
    """Weights drawn from the seed; the head is fitted, since a random network maps all pictures near one point."""
    torch.manual_seed(seed)
    encoder = Encoder.create(backbone, 8, pretrained=False, **{"image_size": 32, **options})
    pictures = [draw(label, number) for label in COLORS for number in range(4)]
    with torch.inference_mode():
        encoder.head.fit_geometry(encoder.features(encoder.prepare(pictures)))
    return encoder


@pytest.fixture
def make_encoder() -> MakeEncoder:
    return tiny_encoder


@pytest.fixture
def encoder() -> Encoder:
    return tiny_encoder()


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of rows, in float64."""
    one, other = one.astype(float), other.astype(float)
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
