"""Trackers: the history and the panels of a run, told to other tools too, as the run goes on."""

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from lookalike.errors import TrainingError
from lookalike.files import write_text
from lookalike.training.best import Row

#: Rows of a history that are no epoch of their own.
KINDS = ("average", "blend")


class Tracker(Protocol):
    """A tool that is told numbers and pictures by epoch."""

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Take these; an epoch may come several times, with others."""

    def picture(self, epoch: int, path: Path) -> None:
        """Take the panel of an epoch."""

    def close(self) -> None:
        """There is no more."""


class TensorBoard:
    """Files for TensorBoard in `tensorboard/` of the run, made anew whenever the run is gone on with."""

    def __init__(self, directory: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(directory / "tensorboard", ignore_errors=True)
        self._writer = SummaryWriter(directory / "tensorboard")

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def picture(self, epoch: int, path: Path) -> None:
        """An image."""
        with Image.open(path) as panel:
            self._writer.add_image("panel", np.asarray(panel.convert("RGB")), epoch, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class WeightsAndBiases:
    """A run at Weights & Biases, its number kept in `wandb/`; gone on with, it is told only of later epochs.

    WANDB_MODE=offline keeps it in that folder; then it is made anew instead.
    """

    def __init__(self, directory: Path) -> None:
        import wandb

        folder = directory / "wandb"
        if not (folder / "id").exists():
            write_text(folder / "id", secrets.token_hex(8))
        for old in folder.glob("offline-run-*"):
            shutil.rmtree(old)
        try:
            self._run = wandb.init(
                project="lookalike",
                name=directory.resolve().name,
                id=(folder / "id").read_text(encoding="utf-8"),
                resume="allow",
                dir=directory,
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            raise TrainingError(
                f"training.trackers: wandb cannot begin a run ({error}); call wandb login, or set WANDB_MODE=offline"
            ) from None
        self._known = self._run.step  # the epochs it has are 0 .. this - 1
        self._picture = wandb.Image

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Metrics."""
        if epoch >= self._known:
            self._run.log(dict(values), step=epoch)

    def picture(self, epoch: int, path: Path) -> None:
        """Media."""
        if epoch >= self._known:
            self._run.log({"panel": self._picture(str(path))}, step=epoch)

    def close(self) -> None:
        """Wait until it is all sent, or written."""
        self._run.finish()


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def check_trackers(names: Sequence[str]) -> None:
    """Refuse, before any long work, trackers that are not installed.

    Raises:
        TrainingError: one is not.
    """
    for name in names:
        if find_spec(name) is None:
            raise TrainingError(
                f"training.trackers: {name!r} needs a package: pip install 'lookalike[{name}]', or leave it out"
            )


@contextmanager
def tracked(
    names: Sequence[str], directory: Path, history: Sequence[Row], panel_of: Callable[[Row], Path]
) -> Iterator[Callable[[Row], None]]:
    """Gives what tells every tracker of a row of the history, and of its panel; of these rows it tells them at once.

    Args:
        names: of the trackers.
        directory: of the run.
        history: rows of earlier processes.
        panel_of: the file of a row's panel, which need not be there.
    """
    with ExitStack() as stack:
        trackers = [TRACKERS[name](directory) for name in names]
        for tracker in trackers:
            stack.callback(tracker.close)

        def tell(row: Row) -> None:
            for tracker in trackers:
                tracker.numbers(row["epoch"], numbers_of(row))
                if panel_of(row).exists():
                    tracker.picture(row["epoch"], panel_of(row))

        for row in history:
            tell(row)
        yield tell


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row, by names with a path; those of an average or a blend stand apart.

    >>> numbers_of({"epoch": 3, "validation": 0.5, "terms": {"softmax": 1.5}})
    {'validation': 0.5, 'terms/softmax': 1.5}
    >>> numbers_of({"epoch": 3, "blend": 0.25, "validation": 0.5})
    {'blend 0.25/validation': 0.5}
    """
    kind = next((f"{kind} {row[kind]}/" for kind in KINDS if kind in row), "")
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= {f"{kind}{name}/{key}": number for key, number in value.items()}
        elif name not in ("epoch", *KINDS):
            found[kind + name] = value
    return {name: float(value) for name, value in found.items() if value is not None}
