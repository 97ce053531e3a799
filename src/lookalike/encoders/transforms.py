"""From a decoded picture to the square an encoder takes: for looking, and for training."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps

from lookalike.errors import EncoderError

Fit = Literal["squash", "crop", "pad"]


@dataclass(frozen=True)
class Preprocessing:
    """How an encoder wants its pictures; saved with it, so that every user of the encoder does the same.

    Args:
        image_size: side of the square, in pixels.
        fit: how a picture that is not square becomes one. `squash` resizes both sides, `crop` cuts the middle,
            `pad` adds white.
        mean: of each color channel, in 0..1.
        std: of each color channel.
    """

    image_size: int
    fit: Fit = "squash"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise EncoderError(f"fit must be one of {', '.join(get_args(Fit))}, not {self.fit!r}")
        if not 8 <= self.image_size <= 4096:
            raise EncoderError(f"image_size must lie between 8 and 4096 pixels, not {self.image_size}")

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """The picture as uint8 [image_size, image_size, 3]."""
        size = (self.image_size, self.image_size)
        if self.fit == "pad":
            fitted = ImageOps.pad(picture, size, Image.Resampling.BICUBIC, color="white")
        elif self.fit == "crop":
            fitted = ImageOps.fit(picture, size, Image.Resampling.BICUBIC)
        else:
            fitted = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
        return np.asarray(fitted)


@dataclass(frozen=True)
class Augmentation:
    """A random crop, resized, and a mirror: the usual augmentation of metric learning.

    Every draw follows from the generator given, so a picture's augmentation does not depend on threads or order.

    Args:
        min_scale: smallest share of the picture's area that a crop keeps, in (0, 1]; 1 means no crop.
        max_ratio: how far the crop's width/height may be from the picture's own, as a factor >= 1.
        flip: mirror half of the pictures.
    """

    min_scale: float = 0.5
    max_ratio: float = 4 / 3
    flip: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= 1:
            raise EncoderError(f"min_scale must lie between 0 and 1, not {self.min_scale}")
        if not 1 <= self.max_ratio < math.inf:
            raise EncoderError(f"max_ratio must be at least 1, not {self.max_ratio}")

    def __call__(self, picture: Image.Image, preprocessing: Preprocessing, rng: np.random.Generator) -> np.ndarray:
        """An augmented view as uint8 [image_size, image_size, 3]."""
        if self.min_scale < 1:
            picture = picture.crop(self._box(picture.size, rng))
        view = preprocessing(picture)
        return view[:, ::-1] if self.flip and rng.random() < 0.5 else view

    def _box(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
        width, height = size
        scale = math.sqrt(rng.uniform(self.min_scale, 1))
        ratio = math.sqrt(math.exp(rng.uniform(-1, 1) * math.log(self.max_ratio)))
        # A side longer than the picture's would be cut off, and the crop would keep less than its share.
        ratio = min(max(ratio, scale), 1 / scale)
        crop_width = max(1, min(width, round(width * scale * ratio)))
        crop_height = max(1, min(height, round(height * scale / ratio)))
        left = int(rng.integers(0, width - crop_width + 1))
        top = int(rng.integers(0, height - crop_height + 1))
        return left, top, left + crop_width, top + crop_height
