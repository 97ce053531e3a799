"""A run directory: everything a run made, and enough to go on from."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.encoders import Encoder
from lookalike.errors import TrainingError
from lookalike.files import write_text
from lookalike.progress import note

METRICS = "metrics.json"
HISTORY = "history.jsonl"
RECIPE = "recipe.toml"
ENCODER = "encoder"
REPORT = "report.html"
PANELS = "panels"
#: Of a run that is not finished: its states, and what says of which run they are.
CHECKPOINTS = "checkpoints"
IDENTITY = "run.json"
#: What of it nobody can read.
DIGESTS = ("catalog", "backbone")
#: Differences named, where another run was found.
NAMED = 3


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        directory: holds recipe.toml, encoder/, metrics.json, history.jsonl, panels/ and report.html.
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


@contextmanager
def begun(directory: Path, identity: Mapping[str, Any]) -> Iterator[None]:
    """Inside, the directory is this run's: new or empty, or that of the same run, not finished. No other process's.

    Raises:
        TrainingError: it holds something else, or a finished run: runs are never overwritten; another process is at
            work in it; or it cannot be made.
    """
    if directory.exists() and not directory.is_dir():
        raise TrainingError(f"{directory} is a file: give another --run")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise TrainingError(f"the run directory {directory} cannot be made: {error.strerror}") from None
    try:
        _hold(descriptor, directory)
        if _is_of(directory, identity):
            note(f"{directory} holds this run, not finished: going on with it")
            for left in directory.rglob(".*.tmp"):  # by writers that were killed
                left.unlink()
        yield
    finally:
        os.close(descriptor)


def is_unfinished(directory: Path) -> bool:
    """Whether a run was begun there that can be gone on with."""
    return (directory / CHECKPOINTS / IDENTITY).exists() and not (directory / METRICS).exists()


def write_identity(directory: Path, identity: Mapping[str, Any]) -> None:
    """Begin a run for good: from here on `begun` knows it again."""
    write_text(directory / CHECKPOINTS / IDENTITY, json.dumps(identity, indent=2))


def finish(directory: Path, metrics: dict[str, Any]) -> None:
    """Write metrics.json, which makes a run a finished one, and remove what is needed no longer."""
    write_text(directory / METRICS, json.dumps(metrics, indent=2))
    shutil.rmtree(directory / CHECKPOINTS)


def write_history(directory: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write history.jsonl, whole or not at all."""
    write_text(directory / HISTORY, "".join(json.dumps(row) + "\n" for row in rows))


def append_history(directory: Path, row: dict[str, Any]) -> None:
    """Add a line to history.jsonl; what was there stays there whatever happens to the process."""
    with (directory / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _hold(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system frees it however the process ends
    except BlockingIOError:
        raise TrainingError(f"another process is at work in {directory}: wait for it, or give another --run") from None


def _is_of(directory: Path, identity: Mapping[str, Any]) -> bool:
    """Whether there is an unfinished run of this identity; False where there is nothing."""
    if (directory / METRICS).exists():
        shutil.rmtree(directory / CHECKPOINTS, ignore_errors=True)  # it may have been killed just before
    if not is_unfinished(directory):
        # Of a run that was killed before it had said what it is there is only the folder.
        if any(entry.name != CHECKPOINTS for entry in directory.iterdir()):
            raise TrainingError(
                f"{directory} is not empty; a run is never overwritten: give another --run, or remove it"
            )
        return False
    try:
        theirs = json.loads((directory / CHECKPOINTS / IDENTITY).read_text(encoding="utf-8"))
    except ValueError:
        raise TrainingError(f"{directory / CHECKPOINTS / IDENTITY} is damaged: give another --run") from None
    mine = json.loads(json.dumps(identity))
    differences = _differences("", theirs, mine)
    if differences:
        shown = "; ".join(differences[:NAMED]) + (" ..." if len(differences) > NAMED else "")
        raise TrainingError(
            f"{directory} holds a run that is not finished, and it is another one: {shown}. The same recipe and "
            "catalog go on with it; else give another --run, or remove it"
        )
    return True


def _differences(name: str, theirs: Any, mine: Any) -> list[str]:
    if isinstance(theirs, dict) and isinstance(mine, dict):
        keys = dict.fromkeys([*theirs, *mine])
        parts = (_differences(f"{name}.{key}".removeprefix("."), theirs.get(key), mine.get(key)) for key in keys)
        return [difference for part in parts for difference in part]
    if theirs == mine:
        return []
    if name in DIGESTS:
        return [f"the {name} has changed"]
    return [f"{name} is {theirs!r} there and {mine!r} here"]
