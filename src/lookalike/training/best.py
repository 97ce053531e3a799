"""Fit: how a fit went so far, and the best weights of it."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Row = dict[str, Any]


@dataclass
class Fit:
    """How a fit went so far; the best weights are kept here.

    Attributes:
        history: one row per epoch, epoch 0 being the state before the first step.
        best: the row whose weights the encoder ends with; its "validation" is None without held-out classes.
        start_state: the weights of epoch 0.
        best_state: those of the best row.
    """

    history: list[Row] = field(default_factory=list)
    best: Row = field(default_factory=dict)
    start_state: dict[str, Tensor] = field(default_factory=dict)
    best_state: dict[str, Tensor] = field(default_factory=dict)

    def add(self, row: Row, trained: nn.Module) -> bool:
        """Note a row, and keep its weights if they are the best so far (without scores: the latest)."""
        self.history.append(row)
        score, best = row["validation"], self.best.get("validation")
        if score is not None and best is not None and score <= best:
            return False
        self.best, self.best_state = row, copy.deepcopy(trained.state_dict())
        self.start_state = self.start_state or self.best_state
        return True

    def restore_best(self, trained: nn.Module) -> None:
        """Put the best weights back; before the first row there is nothing to put back."""
        if self.best_state:
            trained.load_state_dict(self.best_state)

    def dump(self) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        place = next((number for number, row in enumerate(self.history) if row is self.best), None)
        return {"history": self.history, "best": place, "start": self.start_state, "best_state": self.best_state}

    def load(self, tree: dict[str, Any], device: torch.device) -> None:
        """Become what `dump` gave."""
        self.history = tree["history"]
        self.best = {} if tree["best"] is None else self.history[tree["best"]]
        self.start_state, self.best_state = (
            {name: tensor.to(device) for name, tensor in tree[key].items()} for key in ("start", "best_state")
        )
