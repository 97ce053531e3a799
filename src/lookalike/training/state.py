"""Everything that changes while a fit goes on, as one tree of tensors and numbers, and back."""

import random
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lookalike.losses import Loss
from lookalike.training.average import WeightAverage
from lookalike.training.best import Fit
from lookalike.training.safety import Tally
from lookalike.training.shards import load_whole_state, whole_state

Tree = dict[str, Any]


@dataclass
class State:
    """What a fit is made of, and where it is.

    Attributes:
        trained: the encoder, or its head alone where the backbone stands still.
        loss: with its proxies, running densities and memories.
        average: of the weights, if one is kept.
        optimizer: over the weights of encoder and loss.
        schedule: of its rates.
        scaler: of float16.
        tally: the steps of this epoch.
        result: what came of the fit so far.
        epoch: that is trained now; the last one plus 1 where all are.
        steps: done of it.
    """

    trained: nn.Module
    loss: Loss
    average: WeightAverage | None
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    tally: Tally
    result: Fit = field(default_factory=Fit)
    epoch: int = 1
    steps: int = 0

    def dump(self) -> Tree:
        """All of it, and the state of all that draws at random. The tensors are those in use, not copies.

        Called by all processes; whole in the first.
        """
        of_loss, of_optimizer = whole_state(self.loss, self.optimizer)
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "trained": dump_module(self.trained),
            "loss": of_loss,
            "loss_beside": dump_module(self.loss, without=of_loss),
            "average": self.average and dump_module(self.average),
            "optimizer": of_optimizer,
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "tally": self.tally.state(),
            "result": self.result.dump(),
            "random": dump_random(),
        }

    def load(self, tree: Tree, device: torch.device) -> None:
        """Become what `dump` gave, in these same objects."""
        self.epoch, self.steps = tree["epoch"], tree["steps"]
        load_module(self.trained, tree["trained"])
        load_whole_state(self.loss, self.optimizer, tree["loss"], tree["optimizer"])
        load_module(self.loss, tree["loss_beside"])
        if self.average is not None:
            load_module(self.average, tree["average"])
        _lay_out_as_weights(self.optimizer)
        self.schedule.load_state_dict(tree["schedule"])
        self.scaler.load_state_dict(tree["scaler"])
        self.tally.load(tree["tally"])
        self.result.load(tree["result"], device)
        load_random(tree["random"])


def dump_module(module: nn.Module, without: Container[str] = ()) -> Tree:
    """Its weights; its buffers, also those no state dict has; and its plain numbers, like the place in a memory."""
    tensors = {name: tensor for name, tensor in _tensors(module).items() if name not in without}
    numbers = {
        f"{name}.{key}" if name else key: value
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, bool | int | float)
    }
    return {"tensors": tensors, "numbers": numbers}


@torch.no_grad()
def load_module(module: nn.Module, tree: Tree) -> None:
    """Back, in place: a weight keeps its memory, and how it lies there."""
    present = _tensors(module)
    for name, tensor in tree["tensors"].items():
        mine = present.get(name)
        if mine is not None and mine.shape == tensor.shape and mine.dtype == tensor.dtype:
            mine.copy_(tensor)
        else:  # a buffer that was replaced by another
            owner, _, key = name.rpartition(".")
            where = next((known.device for known in present.values()), tensor.device)
            module.get_submodule(owner).register_buffer(key, tensor.to(where))
    for name, number in tree["numbers"].items():
        owner, _, key = name.rpartition(".")
        setattr(module.get_submodule(owner), key, number)


def dump_random() -> Tree:
    """The state of every source of chance of this process."""
    name, keys, *rest = np.random.get_state()  # numpy's global one, which other libraries use
    return {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(np.asarray(keys)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def load_random(tree: Tree) -> None:
    """Back; a GPU that was not there then, or is not now, is left alone."""
    version, inner, gauss = tree["python"]
    random.setstate((version, tuple(inner), gauss))
    name, keys, *rest = tree["numpy"]
    np.random.set_state((name, keys.numpy(), *rest))
    torch.set_rng_state(tree["torch"])
    if tree["cuda"] is not None and torch.cuda.is_available():  # each process has a GPU, and all the same stream
        torch.cuda.set_rng_state(tree["cuda"])
    if tree["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(tree["mps"])


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Under every name: what two modules share has several, in a state dict too."""
    return dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))


def _lay_out_as_weights(optimizer: Optimizer) -> None:
    """Moments lie in memory as their weights do, as when they are made: else sums could round in another order."""
    for weight, moments in optimizer.state.items():
        for name, moment in moments.items():
            if isinstance(moment, Tensor) and moment.shape == weight.shape:
                moments[name] = torch.empty_like(weight, dtype=moment.dtype, requires_grad=False).copy_(moment)
