"""Trackers: each is told every point once, however often a run was stopped; a missing package is refused early."""

from collections.abc import Callable
from pathlib import Path

import pytest
import wandb
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lookalike.errors import RecipeError, TrainingError
from lookalike.recipes import Recipe
from lookalike.training import trackers
from lookalike.training.best import Row
from lookalike.training.trackers import check_trackers, numbers_of, tracked

ROWS: list[Row] = [
    {"epoch": 0, "validation": 0.25},
    {
        "epoch": 1,
        "steps": 4,
        "terms": {"softmax": 2.5, "kept": 0.5},
        "learning_rates": {"head": 0.125},
        "validation": 0.5,
    },
    {"epoch": 1, "average": 0.5, "validation": 0.75},
    {
        "epoch": 2,
        "steps": 4,
        "terms": {"softmax": 1.5, "kept": 0.25},
        "learning_rates": {"head": 0},
        "validation": None,
    },
]


@pytest.fixture
def panel_of(tmp_path: Path) -> Callable[[Row], Path]:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "0.jpg")
    Image.new("RGB", (8, 6), "blue").save(tmp_path / "2.jpg")
    return lambda row: tmp_path / f"{row['epoch']}.jpg"


def points(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """All that a reader of TensorBoard's files finds."""
    reader = EventAccumulator(str(directory / "tensorboard"), size_guidance={"scalars": 0})
    reader.Reload()
    found = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    return found | {tag: [(e.step, e.width) for e in reader.Images(tag)] for tag in reader.Tags()["images"]}


EXPECTED = {
    "validation": [(0, 0.25), (1, 0.5)],
    "steps": [(1, 4), (2, 4)],
    "terms/softmax": [(1, 2.5), (2, 1.5)],
    "terms/kept": [(1, 0.5), (2, 0.25)],
    "learning_rates/head": [(1, 0.125), (2, 0.0)],
    "average 0.5/validation": [(1, 0.75)],
    "panel": [(0, 8), (2, 8)],
}


def test_tensorboard_has_every_point_once(tmp_path: Path, panel_of: Callable[[Row], Path]) -> None:
    with tracked(["tensorboard"], tmp_path, [], panel_of) as tell:
        for row in ROWS[:3]:  # the last of which no checkpoint has
            tell(row)
    with tracked(["tensorboard"], tmp_path, ROWS[:2], panel_of) as tell:
        for row in ROWS[2:]:
            tell(row)
    assert points(tmp_path) == EXPECTED


def test_wandb_has_every_point_once(
    tmp_path: Path, panel_of: Callable[[Row], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for seen, new in ((ROWS[:0], ROWS[:3]), (ROWS[:2], ROWS[2:])):
        with tracked(["wandb"], tmp_path, seen, panel_of) as tell:
            for row in new:
                tell(row)
    wandb.teardown()  # writes what is left, as the end of a process does
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")  # one run, though two processes told of it
    number = (tmp_path / "wandb" / "id").read_text()
    written = (folder / f"run-{number}.wandb").read_bytes()
    # Each point is there as itself, and in the summary of then.
    assert written.count(b"terms/softmax") == 2 * 2
    assert written.count(b"average 0.5/validation") == 2 * 1
    assert len([*(folder / "files" / "media" / "images").iterdir()]) == 2


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_trackers(["tensorboard", "wandb"])
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"'wandb' needs a package: pip install 'lookalike\[wandb\]'"):
        check_trackers(["wandb"])
    check_trackers([])


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"training\.trackers"):
        Recipe().override({"training.trackers": ["tensorflow"]})


def test_names_of_numbers() -> None:
    assert numbers_of(ROWS[1])["terms/kept"] == 0.5
    assert numbers_of(ROWS[2]) == {"average 0.5/validation": 0.75}
    assert "validation" not in numbers_of(ROWS[3])
