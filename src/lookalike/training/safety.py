"""What can go wrong while a fit goes on: numbers that are not finite, a collapse, too little memory, a wish to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import LookalikeError, TrainingError
from lookalike.progress import note
from lookalike.training.loop import Step
from lookalike.training.settings import TrainingSettings

#: Steps skipped one after the other that end a fit; and under a scaler, which halves its scale of 2^16 at each.
IN_A_ROW, IN_A_ROW_SCALED = 3, 20
#: Share of the steps of an epoch that may be skipped.
MOST_SKIPPED = 0.05
#: Steps between two looks at a GPU, each of which waits for it.
LOOK_EVERY = 16
#: A collapse: embeddings this near to each other on average, or this few directions used.
COLLAPSED_COSINE, COLLAPSED_RANK = 0.95, 1.5
#: Embeddings looked at for it.
SAMPLED = 1024
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class Tally:
    """The steps of an epoch: their terms, and which were skipped. On a GPU it looks at them every `LOOK_EVERY` steps.

    Args:
        named: tells people which items a batch of an epoch is made of.
        steps: of an epoch, about.
        device: of the numbers.
        scaled: whether a scaler looks for its scale, by steps whose gradient is not finite.
    """

    def __init__(self, named: Callable[[int, int], str], steps: int, device: torch.device, scaled: bool) -> None:
        self._named, self._steps, self._scaled = named, steps, scaled
        self._every = 1 if device.type == "cpu" else LOOK_EVERY
        self.epoch, self.in_a_row, self.skipped = 0, 0, 0
        self._names: list[str] = []
        self._seen: list[Tensor] = []  # [S, terms + 3]: the terms, the loss, the norm of its gradient, skipped or not
        self._waiting: list[Tensor] = []

    def begin(self, epoch: int) -> None:
        """A new epoch; how many were skipped in a row goes on."""
        self.epoch, self.skipped, self._seen = epoch, 0, []

    def add(self, step: Step) -> None:
        """Count a step.

        Raises:
            TrainingError: so many were skipped that there is no use in going on.
        """
        self._names = list(step.terms)
        self._waiting.append(torch.stack([*step.terms.values(), step.total, step.norm, step.skipped]).float())
        if len(self._waiting) >= self._every:
            self.look()

    def look(self) -> None:
        """Wait for the device, and look at what was not looked at yet.

        Raises:
            TrainingError: as `add`.
        """
        if not self._waiting:
            return
        first = sum(map(len, self._seen))
        self._seen.append(torch.stack(self._waiting).cpu())
        self._waiting = []
        for number, row in enumerate(self._seen[-1], first):
            self._judge(number, row)

    def state(self) -> dict[str, object]:
        """All of it, for a checkpoint."""
        self.look()
        counts = {"epoch": self.epoch, "in_a_row": self.in_a_row, "skipped": self.skipped, "names": self._names}
        return counts | {"seen": torch.cat(self._seen) if self._seen else None}

    def load(self, state: dict[str, object]) -> None:
        """Go on from what `state` gave."""
        self.epoch, self.in_a_row, self.skipped, self._names, seen = state.values()  # type: ignore[assignment]
        self._seen = [] if seen is None else [seen]  # type: ignore[list-item]

    @property
    def is_waiting(self) -> bool:
        """Whether there are steps it has not looked at."""
        return bool(self._waiting)

    def means(self) -> dict[str, float]:
        """Of each term, over the steps that were taken; NaN where a scaler took none.

        Raises:
            TrainingError: there was not one step, or none was taken; or as `add`.
        """
        self.look()
        if not self._seen:
            raise TrainingError(f"epoch {self.epoch} had no batch; there is nothing to train on")
        rows = torch.cat(self._seen)
        if self.skipped == len(rows) and not self._scaled:
            raise TrainingError(self._diagnosis(len(rows) - 1, rows[-1], f"all steps of epoch {self.epoch} are"))
        means = rows[rows[:, -1] == 0].mean(dim=0).tolist()
        return dict(zip(self._names, means, strict=False))

    def _judge(self, number: int, row: Tensor) -> None:
        if not row[-1]:
            self.in_a_row = 0
            return
        self.in_a_row, self.skipped = self.in_a_row + 1, self.skipped + 1
        scaling = self._scaled and bool(row[-3].isfinite())
        if self.in_a_row >= (IN_A_ROW_SCALED if scaling else IN_A_ROW):
            raise TrainingError(self._diagnosis(number, row, f"{self.in_a_row} steps in a row are"))
        if not scaling and self.skipped > max(IN_A_ROW, MOST_SKIPPED * self._steps):
            raise TrainingError(self._diagnosis(number, row, f"{self.skipped} steps of epoch {self.epoch} are"))

    def _diagnosis(self, number: int, row: Tensor, said: str) -> str:
        values = dict(zip(self._names, row.tolist(), strict=False))
        bad = [f"{name} is {value:.4g}" for name, value in values.items() if not np.isfinite(value)]
        cause = ", ".join(bad) if bad else f"the loss is {row[-3]:.4g}, but its gradient is {row[-2]:.4g}"
        return (
            f"{said} not finite, the last of them batch {number + 1} of epoch {self.epoch} (items "
            f"{self._named(self.epoch, number)}): {cause}; lower the learning rates or loss.scale, or take "
            "training.precision = 'float32'; the weights from before are kept"
        )


def spread(embeddings: np.ndarray) -> dict[str, float]:
    r"""How much of the sphere unit rows [N, D] use, by `SAMPLED` of them at most.

    .. math:: c = \frac{\|\sum_i x_i\|^2 - N}{N (N - 1)}, \qquad r = e^{-\sum_k p_k \ln p_k}

    with p the eigenvalues of :math:`X^\top X / N`: the mean cosine of two rows, in [-1, 1], and the effective rank, in
    [1, D]. Roy and Vetterli, EUSIPCO 2007 [paper], there of singular values [related].
    """
    rows = np.linspace(0, len(embeddings) - 1, min(SAMPLED, len(embeddings))).astype(int)
    x = embeddings[rows].astype(np.float64)
    count = len(x)
    cosine = (np.square(x.sum(axis=0)).sum() - count) / (count * (count - 1)) if count > 1 else 1.0
    shares = np.linalg.svd(x, compute_uv=False) ** 2 / count
    shares = shares[shares > 0]
    return {"mean_cosine": float(cosine), "effective_rank": float(np.exp(-(shares * np.log(shares)).sum()))}


def is_collapsed(found: dict[str, Any]) -> bool:
    """Whether embeddings of this `spread` tell next to nothing apart; False where it was not looked at."""
    cosine, rank = found.get("mean_cosine", 0.0), found.get("effective_rank", COLLAPSED_RANK)
    return bool(cosine > COLLAPSED_COSINE or rank < COLLAPSED_RANK)


def tell_of_collapse(found: dict[str, Any]) -> None:
    """What to do about it."""
    note(
        f"the embeddings collapse: the mean cosine of two pictures is {found['mean_cosine']:.3f}, and they use about "
        f"{found['effective_rank']:.1f} directions; stop, and begin another run with lower learning rates, a higher "
        "training.keep_similarities, or another loss (of triplets: mining = 'all' or 'semihard', not 'hard')"
    )


@contextmanager
def memory_told(settings: TrainingSettings) -> Iterator[None]:
    """Turn a lack of memory into a TrainingError that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_it = isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)
        if isinstance(error, LookalikeError) or not is_it:
            raise
        size = f"{settings.classes_per_batch} x {settings.images_per_class}"
        spare = "training.classes_per_batch or training.images_per_class"
        if settings.tune_backbone:
            spare = (
                f"training.piece_size (now {settings.piece_size}; 0 is all at once: the same gradients with less "
                f"memory), or encoder.image_size, {spare}; or set training.checkpoint_layers = true"
            )
        raise TrainingError(
            f"out of memory with batches of {size} items: begin another run with less of {spare}; on a GPU, "
            "training.precision = 'auto' halves what the encoder needs"
        ) from error


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Inside of this, Ctrl-C and SIGTERM wait for the end of a step: gives what says whether one came.

    A second one ends it at once. What is ignored stays ignored, and outside of the main thread nothing changes.
    """
    came: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        note("stopping after this step; once more stops at once")

    mine = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: handler for number in mine if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, wait)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
