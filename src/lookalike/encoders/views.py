"""Views of squares: a crop, resized, and perhaps mirrored; one by one in threads, or a whole batch on a GPU.

Both resize by the antialiased bicubic filter (Keys, 1981, with a = -0.5, stretched by the scale) and agree within
rounding: at most 2 of 255.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """What is looked at in each picture of a batch.

    Attributes:
        boxes: int64 [B, 4], left, top, right and bottom in pixels.
        mirrored: bool [B].
    """

    boxes: np.ndarray
    mirrored: np.ndarray


def view(picture: np.ndarray, box: np.ndarray, mirrored: bool, size: int) -> np.ndarray:
    """One view: uint8 [T, T, 3] to uint8 [size, size, 3].

    It computes outside Python's lock, so threads are enough.
    """
    left, top, right, bottom = box
    # Copied, since torch takes no arrays that cannot be written to. Permuted last, so that torch sees channels last and
    # does not take the channels apart first: resizing is then two or three times as fast.
    seen = torch.from_numpy(np.array(picture[top:bottom, left:right]))[None].permute(0, 3, 1, 2)
    if seen.shape[2:] != (size, size):
        seen = F.interpolate(seen, (size, size), mode="bicubic", antialias=True)
    if mirrored:
        seen = seen.flip(3)
    return seen[0].permute(1, 2, 0).numpy()


def views_of_batch(pictures: Tensor, views: Views, size: int) -> Tensor:
    """The views of a batch, where it is: uint8 [B, T, T, 3] to uint8 [B, 3, size, size], channels last.

    A resize is a matrix of weights for each direction, and crop and mirror choose its columns and turn its rows: two
    products for the whole batch. On a CPU, `view` in threads is faster: it skips the zeros.
    """
    device, side = pictures.device, pictures.shape[1]
    left, top, right, bottom = torch.from_numpy(views.boxes).to(device).T
    mirrored = torch.from_numpy(views.mirrored).to(device)
    across, down = _weights(left, right, side, size), _weights(top, bottom, side, size)
    across = torch.where(mirrored[:, None, None], across.flip(1), across)
    planes = pictures.permute(0, 3, 1, 2).float()
    # Rounded in between too, as the other way is.
    wide = (planes @ across[:, None].transpose(2, 3)).round_().clamp_(0, 255)
    resized = (down[:, None] @ wide).round_().clamp_(0, 255)
    return resized.to(torch.uint8, memory_format=torch.channels_last)


def _weights(start: Tensor, stop: Tensor, side: int, size: int) -> Tensor:
    """How much of each pixel goes into each pixel of the view: float32 [B, size, side], rows sum to 1."""
    scale = (stop - start)[:, None, None] / size
    centers = start[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale
    pixels = torch.arange(side, device=start.device)
    distance = ((pixels + 0.5 - centers) / scale.clamp_min(1)).abs()
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    weights *= (pixels >= start[:, None, None]) & (pixels < stop[:, None, None])
    return weights / weights.sum(dim=2, keepdim=True)
