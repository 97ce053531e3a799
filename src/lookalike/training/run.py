"""A run directory: everything a run made, and enough to go on from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.encoders import Encoder
from lookalike.errors import TrainingError
from lookalike.files import write_text

METRICS = "metrics.json"
HISTORY = "history.jsonl"
RECIPE = "recipe.toml"
ENCODER = "encoder"
REPORT = "report.html"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        directory: holds recipe.toml, encoder/, metrics.json, history.jsonl and report.html.
        encoder: with the weights of the best epoch.
        metrics: the content of metrics.json.
    """

    directory: Path
    encoder: Encoder
    metrics: dict[str, Any]

    @classmethod
    def load(cls, directory: str | Path) -> "Run":
        """Open a run directory.

        Raises:
            TrainingError: there is no run, or it did not get far enough to have metrics.
            EncoderError: its encoder is damaged.
        """
        directory = Path(directory)
        try:
            metrics = json.loads((directory / METRICS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TrainingError(
                f"there is no run in {directory} (no {METRICS}); train one with lookalike train"
            ) from None
        return cls(directory, Encoder.load(directory), metrics)


def begin(directory: Path) -> None:
    """Make an empty run directory.

    Raises:
        TrainingError: there is something in it already; runs are never overwritten.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise TrainingError(f"{directory} is not empty; a run is never overwritten: give another --run, or remove it")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"the run directory {directory} cannot be made: {error.strerror}") from None


def append_history(directory: Path, row: dict[str, Any]) -> None:
    """Add a line to history.jsonl; what was there stays there whatever happens to the process."""
    with (directory / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def write_metrics(directory: Path, metrics: dict[str, Any]) -> None:
    """Write metrics.json, whole or not at all."""
    write_text(directory / METRICS, json.dumps(metrics, indent=2))
