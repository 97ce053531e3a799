"""An encoder without a network, and `python pixels.py INDEX`: a service that uses it and so starts quickly."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookalike.errors import EncoderError


@dataclass(frozen=True)
class PixelEncoder:
    """A picture's 8 x 8 pixels, projected by chance; the seed is the model."""

    seed: int
    dim = 16
    image_size = 8
    calibration = None
    words = None

    @property
    def preprocessing(self) -> "PixelEncoder":
        return self

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(str(self.seed).encode()).hexdigest()

    def describe(self) -> str:
        return f"pixels {self.seed}"

    def embed(self, images: Sequence[Any], batch_size: int = 64) -> np.ndarray:
        pixels = [np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BOX)).ravel() for image in images]
        rows = (np.array(pixels, np.float64) / 255 - 0.5) @ np.random.default_rng(self.seed).normal(
            size=(192, self.dim)
        )
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def embed_words(self, texts: Sequence[str]) -> np.ndarray:
        raise EncoderError("pixels know no words")

    def save(self, folder: str | Path) -> None:
        Path(folder).mkdir(parents=True)
        (Path(folder) / "seed").write_text(str(self.seed))

    @classmethod
    def load(cls, folder: Path) -> "PixelEncoder":
        return cls(int((folder / "seed").read_text()))


if __name__ == "__main__":
    from lookalike.service import Settings, current, serve

    current._load = PixelEncoder.load
    serve(Path(sys.argv[1]), "127.0.0.1", 0, Settings(writable=True), lambda said: print(f"Open {said}", flush=True))
