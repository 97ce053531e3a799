"""From a decoded picture to the square an encoder takes, and which crops of it training looks at."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps

from lookalike.encoders.views import Views
from lookalike.errors import EncoderError

Fit = Literal["squash", "crop", "pad"]
LARGEST_PX = 4096
Resampling = Literal["bicubic", "bilinear"]


@dataclass(frozen=True)
class Preprocessing:
    """How an encoder wants its pictures; saved with it, so that every user of the encoder does the same.

    Args:
        image_size: side of the square, in pixels.
        fit: how a picture that is not square becomes one. `squash` resizes both sides, `crop` cuts the middle,
            `pad` adds white.
        mean: of each color channel, in 0..1.
        std: of each color channel.
        crop_share: of the shorter side, how much `crop` keeps, in (0, 1].
        resampling: how pixels between pixels are found.
    """

    image_size: int
    fit: Fit = "squash"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop_share: float = 1.0
    resampling: Resampling = "bicubic"

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise EncoderError(f"fit must be one of {', '.join(get_args(Fit))}, not {self.fit!r}")
        if not 8 <= self.image_size <= LARGEST_PX:
            raise EncoderError(f"image_size must lie between 8 and {LARGEST_PX} pixels, not {self.image_size}")
        if not 0 < self.crop_share <= 1:
            raise EncoderError(f"crop_share must lie above 0 and be at most 1, not {self.crop_share}")

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """The picture as uint8 [image_size, image_size, 3]."""
        size, method = (self.image_size, self.image_size), Image.Resampling[self.resampling.upper()]
        if self.fit == "pad":
            fitted = ImageOps.pad(picture, size, method, color="white")
        elif self.fit == "crop":
            fitted = ImageOps.fit(picture, size, method, bleed=(1 - self.crop_share) / 2)
        else:
            fitted = picture.resize(size, method, reducing_gap=2.0)
        return np.asarray(fitted)


@dataclass(frozen=True)
class Augmentation:
    """Random crops of the square an encoder sees, and mirrors: the usual augmentation of metric learning.

    Args:
        min_scale: smallest share of the square's area that a crop keeps, in (0, 1]; 1 means no crop.
        max_ratio: how far the crop's width/height may be from 1, as a factor >= 1.
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

    def source_px(self, image_size: int) -> int:
        """Side of the squares to crop from: no crop is then enlarged, or, where crops are tiny, at most twofold."""
        smallest = max(math.sqrt(self.min_scale / self.max_ratio), self.min_scale)
        return min(math.ceil(image_size / smallest), 2 * image_size, LARGEST_PX)

    def views(self, chances: np.ndarray, side: int) -> Views:
        """Crops of squares of `side` pixels.

        Args:
            chances: float64 [B, 5], even in [0, 1): area, shape, place across, place down, mirror.
            side: of the squares.
        """
        area, shape, across, down, mirror = chances.T
        mirrored = (mirror < 0.5) & self.flip
        if self.min_scale == 1:
            return Views(np.tile([0, 0, side, side], (len(chances), 1)), mirrored)
        scale = np.sqrt(self.min_scale + area * (1 - self.min_scale))
        # A side longer than the square's would be cut off, and the crop would keep less than its share.
        ratio = np.clip(np.exp((shape - 0.5) * math.log(self.max_ratio)), scale, 1 / scale)
        width = np.clip(np.rint(side * scale * ratio), 1, side).astype(np.int64)
        height = np.clip(np.rint(side * scale / ratio), 1, side).astype(np.int64)
        left = (across * (side - width + 1)).astype(np.int64)
        top = (down * (side - height + 1)).astype(np.int64)
        return Views(np.stack([left, top, left + width, top + height], axis=1), mirrored)
