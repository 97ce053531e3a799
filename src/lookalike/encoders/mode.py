"""A module as it is when it only looks, and as it was afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def looking(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards each part is in the mode it was in, whatever happened.

    Parts of one module differ while it is trained: BatchNorm may stand still. And a service asks for one picture at a
    time, so what is in evaluation mode already is not set again, part by part.
    """
    learning = [part for part in module.modules() if part.training]
    if learning:
        module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part in learning:
            part.training = True
