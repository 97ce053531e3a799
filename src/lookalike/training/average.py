"""A running average of the encoder's weights: often better than the last ones, and steadier."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from lookalike.encoders import Encoder

Tensors = tuple[Tensor, ...] | list[Tensor]


class WeightAverage(AveragedModel):
    r"""The exponential moving average of an encoder's weights; `update_parameters(encoder)` after each step.

    .. math:: \bar w_t = d_t \bar w_{t-1} + (1 - d_t) w_t, \qquad d_t = \min(d, t / (t + 9)), \qquad t = 0, 1, \dots

    d_t rises, so that a short run is not all start [related: the moving average of TensorFlow]. Buffers are the
    encoder's. The state dict holds all of it.

    Args:
        encoder: on its device.
        decay: d, in (0, 1).
    """

    def __init__(self, encoder: Encoder, decay: float) -> None:
        super().__init__(encoder, multi_avg_fn=self._average)
        self.requires_grad_(False)
        self._decay = decay

    @contextmanager
    def swapped_into(self, encoder: Encoder) -> Iterator[None]:
        """The encoder has the averaged weights inside of this, and its own again after."""
        own = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        encoder.load_state_dict(self.module.state_dict())
        try:
            yield
        finally:
            encoder.load_state_dict(own)

    @torch.no_grad()
    def _average(self, averages: Tensors, weights: Tensors, _: Tensor | int) -> None:
        steps = int(self.n_averaged)  # which lies on the CPU; the one passed is a copy on the device
        torch._foreach_lerp_(averages, weights, 1 - min(self._decay, steps / (steps + 9)))
