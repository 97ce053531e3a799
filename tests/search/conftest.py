"""A small encoder and catalogs of colored pictures."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.catalog.images import decode

COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "pink": (230, 90, 120)}


class Squares:
    """Its preprocessing."""

    image_size = 16


class TinyEncoder:
    """The picture as 4 x 4 pixels, turned by a fixed matrix."""

    preprocessing = Squares()
    dim = 12
    calibration: Any = None

    def __init__(self, seed: int = 0):
        self.seed = seed
        self.matrix = np.random.default_rng(seed).standard_normal((48, self.dim))
        self.largest_call = 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"tiny {self.seed}".encode()).hexdigest()

    def describe(self) -> str:
        return f"tiny {self.seed}"

    def embed(self, images: Sequence[Any], batch_size: int = 64) -> np.ndarray:
        self.largest_call = max(self.largest_call, len(images))
        pixels = [np.asarray(decode(image).resize((4, 4))).ravel() / 255 - 0.5 for image in images]
        vectors = np.stack(pixels) @ self.matrix
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def embed_words(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed([picture_of(color) for color in texts])

    def save(self, folder: str | Path) -> Path:
        Path(folder).mkdir(parents=True)
        (Path(folder) / "tiny.json").write_text(json.dumps({"seed": self.seed}))
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> "TinyEncoder":
        return cls(json.loads((Path(folder) / "tiny.json").read_text())["seed"])


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., TinyEncoder]:
    return TinyEncoder


@pytest.fixture(scope="session")
def encoder() -> TinyEncoder:
    return TinyEncoder()


def picture_of(color: str, shade: int = 0, size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture of a color, with a stripe whose place is the shade."""
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[:] = COLORS[color]
    pixels[:, shade * 3 : shade * 3 + 6] = (250, 250, 200)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., bytes]:
    return picture_of


def catalog_of(shades: int = 5, **columns: Any) -> Catalog:
    """Each color in so many shades, with label, text and price; `columns` replace or (None) remove."""
    items = [(color, shade) for color in COLORS for shade in range(shades)]
    table = {
        "item_id": [f"{color}-{shade}" for color, shade in items],
        "image": [picture_of(color, shade) for color, shade in items],
        "label": [color for color, _ in items],
        "price": [10 * shade for _, shade in items],
        **columns,
    }
    return Catalog(pa.table({name: values for name, values in table.items() if values is not None}), "shop.csv")


@pytest.fixture(scope="session")
def make_catalog() -> Callable[..., Catalog]:
    return catalog_of
