"""A fit that was stopped anywhere goes on to the same bits; a checkpoint is there whole, or its damage is told."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lookalike.errors import TrainingError
from lookalike.training import resume
from lookalike.training.resume import Checkpoints
from lookalike.training.state import Tree, dump_module, load_module
from tests.training.shops import DIM, NoisyPictures, folder_of, run_fit, told_apart


class Stopped(BaseException):
    """The process is gone."""


class StopsAfter(Checkpoints):
    """Ends everything after so many checkpoints."""

    def __init__(self, folder: Path, writes: int) -> None:
        super().__init__(folder, 0)
        self.left = writes

    def write(self, tree: Tree) -> None:
        super().write(tree)
        self.left -= 1
        if self.left == 0:
            raise Stopped


@pytest.fixture(scope="module", params=[False, True], ids=["features", "pictures"])
def pictures(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def uninterrupted(pictures: bool) -> tuple:  # type: ignore[type-arg]
    return run_fit(pictures)


# 1 is before the first step; an epoch has 4 steps and ends with one more.
@pytest.mark.parametrize("writes", [1, 2, 4, 9, 16])
def test_a_stopped_fit_goes_on_to_the_same_bits(
    writes: int,
    pictures: bool,
    uninterrupted: tuple,
    tmp_path: Path,  # type: ignore[type-arg]
) -> None:
    with pytest.raises(Stopped):
        run_fit(pictures, StopsAfter(tmp_path / "checkpoints", writes))
    assert told_apart(run_fit(pictures, folder_of(tmp_path)), uninterrupted) == []


def test_a_fit_stopped_at_every_step_goes_on_to_the_same_bits(
    pictures: bool,
    uninterrupted: tuple,
    tmp_path: Path,  # type: ignore[type-arg]
) -> None:
    stops = 0
    while True:
        try:
            found = run_fit(pictures, StopsAfter(tmp_path / "checkpoints", 1))
            break
        except Stopped:
            stops += 1
    assert stops == 16
    assert told_apart(found, uninterrupted) == []
    assert len(found[2].history) == 1 + 3 + 3 + 3  # with averages and blends


def test_what_is_done_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on inside of an epoch, only the pictures of the batches that are left are asked for."""
    asked: list[int] = []
    whole = NoisyPictures.batches

    def counted(self: NoisyPictures, epoch: int, batches: Any) -> Any:
        for rows, pictures in whole(self, epoch, batches):
            asked.append(epoch)
            yield rows, pictures

    monkeypatch.setattr(NoisyPictures, "batches", counted)
    with pytest.raises(Stopped):
        run_fit(True, StopsAfter(tmp_path / "checkpoints", 9))  # epoch 0; 4 steps and the end of epoch 1; 3 steps
    asked.clear()
    run_fit(True, folder_of(tmp_path))
    assert asked == [2, 3, 3, 3, 3]


TREE: Tree = {
    "epoch": 3,
    "numbers": [0.1, float("inf"), 2**100, None, True, "text"],
    "by_number": {0: torch.arange(6.0).view(2, 3), 1: torch.arange(6.0).view(2, 3)},
    "kinds": [torch.tensor(5), torch.empty(0, 4), torch.randn(3).bfloat16(), torch.tensor([True, False])],
    "laid_out": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "part": torch.arange(10)[3:5],
}


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def test_a_tree_comes_back_and_nothing_in_it_is_shared(tmp_path: Path) -> None:
    Checkpoints(tmp_path, 0).write(TREE)
    found = Checkpoints(tmp_path, 0).last()
    assert found is not None
    assert found.pop("seconds") > 0
    assert equal(found, TREE)
    found["by_number"][0].zero_()
    assert found["by_number"][1].any()


def test_equal_tensors_are_stored_once(tmp_path: Path) -> None:
    same = {"first": torch.randn(10_000), "again": None}
    Checkpoints(tmp_path, 0).write(same | {"again": same["first"].clone()})  # type: ignore[union-attr]
    assert next(tmp_path.iterdir()).stat().st_size < 50_000


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 0)
    for epoch in range(12):
        checkpoints.write({"epoch": epoch})
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["000011.safetensors", "000012.safetensors"]
    assert checkpoints.last() == {"epoch": 11, "seconds": pytest.approx(checkpoints.seconds, abs=1)}
    Checkpoints(tmp_path, 0).write({"epoch": 12})
    assert (tmp_path / "000013.safetensors").exists()


def test_every_damage_is_told_and_the_one_before_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = Checkpoints(tmp_path, 0)
    checkpoints.write({"epoch": 1, "seconds": 0.0} | TREE)
    good = (tmp_path / "000001.safetensors").read_bytes()
    rng = random.Random(0)
    damages = [good[:place] for place in (0, 7, 100, len(good) // 2, len(good) - 1)] + [good + b"x"]
    for _ in range(400):
        place = rng.randrange(len(good))
        damages.append(good[:place] + bytes([good[place] ^ (1 << rng.randrange(8))]) + good[place + 1 :])
    for damage in damages:
        (tmp_path / "000002.safetensors").write_bytes(damage)
        found = checkpoints.last()
        assert found is not None
        assert equal(found["by_number"], TREE["by_number"])
        assert not (tmp_path / "000002.safetensors").exists()  # the good one was taken
    assert capsys.readouterr().err.count("is damaged") == len(damages)


def test_without_any_good_one_there_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nothing", 0).last() is None
    (tmp_path / "000001.safetensors").write_bytes(b"no")
    assert Checkpoints(tmp_path, 0).last() is None


def test_one_of_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FORMAT", "2")
    Checkpoints(tmp_path, 0).write(TREE)
    monkeypatch.setattr(resume, "FORMAT", "1")
    with pytest.raises(TrainingError, match="has format 2; this version reads 1"):
        Checkpoints(tmp_path, 0).last()


def test_a_full_disk_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(tmp_path, 0)
    checkpoints.write({"epoch": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume, "save_file", full)
    checkpoints.write({"epoch": 2})
    assert "No space left on device" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["000001.safetensors"]
    assert checkpoints.last() is not None


def test_they_are_due_by_the_clock_and_never_take_much_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])

    def slow(*_: object) -> None:
        now[0] += 3

    checkpoints = Checkpoints(tmp_path, 10)
    monkeypatch.setattr(resume, "save_file", slow)
    assert (checkpoints.is_due(False), checkpoints.is_due(True)) == (False, True)
    checkpoints.write({})
    for seconds, expected in ((0, (False, False)), (59, (False, False)), (60, (False, True)), (600, (True, True))):
        now[0] = 1003.0 + seconds
        assert (checkpoints.is_due(False), checkpoints.is_due(True)) == expected
    assert checkpoints.seconds == 603


def test_a_module_gets_back_what_no_state_dict_has() -> None:
    def made() -> torch.nn.Module:
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2))
        module.register_buffer("memory", torch.zeros(2), persistent=False)
        module[0].place, module[0].is_full = 3, False  # type: ignore[assignment]
        return module.to(memory_format=torch.channels_last)

    torch.manual_seed(0)
    first, second = made(), made()
    first.register_buffer("memory", torch.ones(5, DIM), persistent=False)  # replaced by a larger one
    first[0].place, first[0].is_full = 7, True  # type: ignore[index, union-attr]
    first(torch.randn(2, 3, 8, 8))
    load_module(second, dump_module(first))
    assert equal(dict(second.named_parameters()), dict(first.named_parameters()))
    assert equal(dict(second.named_buffers()), dict(first.named_buffers()))
    assert (second[0].place, second[0].is_full) == (7, True)  # type: ignore[index, union-attr]
    assert second[0].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index, union-attr, operator]
