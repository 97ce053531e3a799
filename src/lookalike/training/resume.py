"""Checkpoints: the last two states of a fit, each one file, there whole or not at all; a damaged one is found out."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lookalike.errors import TrainingError
from lookalike.files import sha256, written_whole
from lookalike.progress import note
from lookalike.training.state import Tree

FORMAT = "1"
KEPT = 2
#: At the end of an epoch nothing is written where that would take above this share of the time.
MOST_TIME = 0.05


class Checkpoints:
    """A folder with the last `KEPT` states, numbered as they were written.

    A file is a .safetensors of tensors named after their SHA-256, equal ones once, with the tree they hang in and its
    SHA-256 in the header: no byte of it can change unnoticed, and nothing in it is code.

    Args:
        folder: need not be there.
        minutes: between two of them inside an epoch; 0: after every step.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self.folder, self._minutes = folder, minutes
        self._begun = self._last = time.monotonic()
        self._cost = self._earlier = 0.0

    @property
    def seconds(self) -> float:
        """What the run has taken, with the processes before this one."""
        return self._earlier + time.monotonic() - self._begun

    def is_due(self, epoch_ends: bool) -> bool:
        """Whether it is time to write one."""
        since = time.monotonic() - self._last
        return since >= 60 * self._minutes or (epoch_ends and since * MOST_TIME >= self._cost)

    def write(self, tree: Tree) -> None:
        """Write one, and remove the oldest. Where it cannot be written training goes on, with a note."""
        started = time.monotonic()
        numbers = [int(file.stem) for file in self._files()]
        try:
            with written_whole(self.folder / f"{max(numbers, default=0) + 1:06d}.safetensors") as temporary:
                _save(temporary, tree | {"seconds": self.seconds})
        except (OSError, SafetensorError) as error:
            note(f"the state of the run could not be kept in {self.folder} ({error}): make room; training goes on")
        for file in self._files()[:-KEPT]:
            file.unlink()
        self._last = time.monotonic()
        self._cost = self._last - started

    def last(self) -> Tree | None:
        """The last state that is whole; None if there is none.

        Raises:
            TrainingError: it was written by a newer version.
        """
        for file in reversed(self._files()):
            try:
                tree = _read(file)
            except (SafetensorError, ValueError, KeyError, OSError) as error:
                note(f"{file} is damaged ({error}); the one before is taken, if there is one")
                file.unlink()
                continue
            self._earlier = tree["seconds"]
            return tree
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))


def _save(path: Path, tree: Tree) -> None:
    tensors: dict[str, Tensor] = {}
    written = json.dumps(_packed(tree, tensors))
    save_file(tensors, path, {"format": FORMAT, "tree": written, "sha256": sha256(FORMAT.encode(), written.encode())})


def _read(path: Path) -> Tree:
    """The tree of a file.

    Raises:
        SafetensorError, ValueError, KeyError: it is damaged.
    """
    with safe_open(path, "pt") as file:
        header = file.metadata() or {}
        if header["sha256"] != sha256(header["format"].encode(), header["tree"].encode()):
            raise ValueError("the checksum of its tree is wrong")
        if header["format"] != FORMAT:
            raise TrainingError(f"{path} has format {header['format']}; this version reads {FORMAT}: take a newer one")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, tensor in tensors.items():
        if name != _digest(tensor):
            raise ValueError("the checksum of a tensor is wrong")
    tree: Tree = _unpacked(json.loads(header["tree"]), tensors)
    return tree


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON can hold it, its tensors put aside by their digest."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().contiguous()
        name = _digest(tensor)
        # One that shares its memory would be refused.
        tensors[name] = tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
        return {"tensor": name}
    if isinstance(value, dict):  # as pairs: keys may be numbers
        return {"pairs": [[key, _packed(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(item, tensors) for item in value]
    return value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]].clone()  # what was equal then may differ later
    return {key: _unpacked(item, tensors) for key, item in value["pairs"]}


def _digest(tensor: Tensor) -> str:
    described = f"{tensor.dtype} {list(tensor.shape)}".encode()
    return sha256(described, tensor.contiguous().flatten().view(torch.uint8).numpy().data)
