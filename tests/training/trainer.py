"""Run as a program by test_resume_kill: forks a process for each line of stdin; the test kills them.

Importing torch takes seconds, so that is done once. No thread has started by the time it forks.

    train DIRECTORY pictures|features   trains in the directory, and tells the journal where it begins
    crash NUMBER DIRECTORY              does all a run does with files, and dies at their NUMBERth change; 0: never
"""

import json
import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch

from lookalike import Catalog, Recipe
from lookalike.catalog.boutique import draw_boutique
from lookalike.recipes.train import train
from lookalike.training.resume import Checkpoints
from lookalike.training.run import CHECKPOINTS, append_history, begun, finish, write_history, write_identity
from lookalike.training.state import Tree

SETTINGS = {
    "encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32, "encoder.dim": 16,
    "training.classes_per_batch": 3, "training.images_per_class": 3, "training.freeze_batchnorm": False,
    "training.checkpoint_minutes": 0,
}  # fmt: skip
EPOCHS = {"features": 20, "pictures": 6}
#: What changes files, as Python's audit hooks call it.
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "tempfile.mkstemp"}
MINI_EPOCHS = 3


class Telling(Checkpoints):
    """Tells the journal where it goes on."""

    def last(self) -> Tree | None:
        tree = super().last()
        place = f"{tree['epoch']} {tree['steps']}" if tree else "0 0"
        with self.folder.parent.with_suffix(".journal").open("a") as file:
            file.write(place + "\n")
        return tree


def learn(directory: str, kind: str) -> None:
    settings = SETTINGS | {"training.epochs": EPOCHS[kind], "training.tune_backbone": kind == "pictures"}
    sys.modules["lookalike.recipes.train"].Checkpoints = Telling  # type: ignore[attr-defined]
    train(Recipe.load("default").override(settings), SHOP, directory, judge_test=False)


def state_after(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "weights": torch.full((50,), float(epoch))}


def touch_files(directory: Path) -> None:
    """All that a run does with files, without the training."""
    with begun(directory, {"recipe": 1}):
        checkpoints = Checkpoints(directory / CHECKPOINTS, 0)
        write_identity(directory, {"recipe": 1})
        start = checkpoints.last()
        done = start["epoch"] if start else 0
        assert start is None or torch.equal(start["weights"], state_after(done)["weights"])
        write_history(directory, [{"epoch": epoch} for epoch in range(1, done + 1)])
        for epoch in range(done + 1, MINI_EPOCHS + 1):
            append_history(directory, {"epoch": epoch})
            checkpoints.write(state_after(epoch))
        finish(directory, {"epochs": MINI_EPOCHS})


def die_at(change: int, directory: str) -> None:
    """End the process before the files of the directory are changed for the n-th time."""
    changes: Iterator[int] = count(1)

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        # Where a folder is removed its files are named without it.
        inside = arguments and str(arguments[0]).startswith((directory, "000", "run.json", "checkpoints"))
        if event in CHANGES and inside and next(changes) == change:
            os._exit(9)

    sys.addaudithook(seen)
    touch_files(Path(directory))


def obey(command: str, *arguments: str) -> None:
    if command == "train":
        learn(*arguments)
    else:
        die_at(int(arguments[0]), arguments[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    SHOP = Catalog(draw_boutique(16, views=6, size_px=40), "shop")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                obey(*json.loads(line))
                code = 0
            finally:
                os._exit(code)
        print(child, flush=True)
        sys.stdin.readline()  # until then nobody else gets its number
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
