"""What goes wrong while a fit goes on: steps that are not finite, a collapse, too little memory, a wish to stop."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lookalike.encoders import Encoder
from lookalike.errors import TrainingError
from lookalike.losses import Loss, NormalizedSoftmaxLoss
from lookalike.training import TrainingSettings
from lookalike.training.best import Row
from lookalike.training.fit import BLENDS, fit
from lookalike.training.loop import Step
from lookalike.training.safety import (
    IN_A_ROW,
    IN_A_ROW_SCALED,
    LOOK_EVERY,
    Tally,
    is_collapsed,
    memory_told,
    spread,
    stop_signals,
)
from tests.training.shops import CLASSES, DIM, folder_of, make_items, settings_of

CPU = torch.device("cpu")


def step(softmax: float = 1.0, other: float = 0.5, norm: float = 1.0) -> Step:
    terms = {"softmax": torch.tensor(softmax), "other": torch.tensor(other)}
    total, gradient = torch.tensor(softmax + other), torch.tensor(norm)
    return Step(terms, total, gradient, ~(total.isfinite() & gradient.isfinite()))


def tally(steps: int = 100, scaled: bool = False) -> Tally:
    made = Tally(lambda epoch, batch: f"those of {epoch}/{batch}", steps, CPU, scaled)
    made.begin(2)
    return made


NAN, INF = float("nan"), float("inf")


def test_the_means_are_of_the_steps_that_were_taken() -> None:
    counted = tally()
    for values in ((1.0, 0.5), (NAN, 0.5), (3.0, INF), (2.0, 0.0)):
        counted.add(step(*values))
    assert counted.means() == {"softmax": 1.5, "other": 0.25}
    assert counted.skipped == 2


def test_some_in_a_row_end_it_with_a_diagnosis() -> None:
    counted = tally()
    for bad in (NAN, NAN, 1.0, NAN, NAN):
        counted.add(step(bad))
    expected = (
        r"3 steps in a row are not finite, the last of them batch 6 of epoch 2 \(items those of 2/5\): softmax is nan; "
        r"lower the learning rates or loss\.scale.*the weights from before are kept"
    )
    with pytest.raises(TrainingError, match=expected):
        counted.add(step(NAN))


def test_a_gradient_is_told_from_a_loss() -> None:
    counted = tally()
    with pytest.raises(TrainingError, match=r"the loss is 1\.5, but its gradient is inf"):
        for _ in range(IN_A_ROW):
            counted.add(step(norm=INF))


def test_too_large_a_share_of_an_epoch_ends_it() -> None:
    counted = tally(steps=100)
    with pytest.raises(TrainingError, match="6 steps of epoch 2 are not finite"):
        for number in range(12):
            counted.add(step(NAN if number % 2 else 1.0))
    counted = tally(steps=10)  # of few steps a few may be skipped
    for number in range(2 * IN_A_ROW):
        counted.add(step(NAN if number % 2 else 1.0))
    assert counted.skipped == IN_A_ROW


def test_a_scaler_may_look_for_its_scale() -> None:
    counted = tally(scaled=True)
    for _ in range(IN_A_ROW_SCALED - 1):
        counted.add(step(norm=INF))
    with pytest.raises(TrainingError, match=f"{IN_A_ROW_SCALED} steps in a row"):
        counted.add(step(norm=INF))
    counted = tally(scaled=True)
    with pytest.raises(TrainingError, match="3 steps in a row"):  # a loss is not what it looks for
        for _ in range(IN_A_ROW):
            counted.add(step(NAN))


def test_a_gpu_is_looked_at_once_in_a_while() -> None:
    counted = Tally(lambda epoch, batch: "", 1000, torch.device("meta"), False)
    for number in range(1, LOOK_EVERY):
        counted.add(step())
        assert counted.is_waiting, number
    counted.add(step())
    assert not counted.is_waiting


def test_a_tally_goes_on_where_it_was() -> None:
    first, second = tally(), tally()
    for bad in (1.0, NAN, NAN):
        first.add(step(bad))
    second.load(first.state())
    assert (second.means(), second.skipped) == (first.means(), 2)
    with pytest.raises(TrainingError, match="3 steps in a row are not finite, the last of them batch 4 of epoch 2"):
        second.add(step(NAN))


class NanAt(Loss):
    """A softmax that is NaN at some of its calls."""

    def __init__(self, calls: set[int]) -> None:
        super().__init__()
        self.softmax, self.calls, self.number = NormalizedSoftmaxLoss(CLASSES, DIM), calls, 0

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        self.number += 1
        loss = self.softmax(embeddings, labels)
        return {"softmax": loss * float("nan") if self.number in self.calls else loss, "fine": 0 * embeddings.sum()}


def fitted(calls: set[int], **more: Any) -> tuple[Encoder, list[Row]]:
    torch.manual_seed(0)
    encoder = Encoder.create("test_resnet", DIM, pretrained=False, image_size=32)
    chosen = settings_of(False, average_decay=0, **more)
    rows: list[Row] = []
    items = make_items(encoder, False)
    fit(encoder, NanAt(calls), items, chosen, lambda: {"validation": None}, lambda row, best: rows.append(row))
    return encoder, rows


def test_a_step_that_is_not_finite_is_left_out_and_counted() -> None:
    encoder, rows = fitted({2, 7})
    assert [row.get("skipped") for row in rows] == [None, 1, 1, 0]
    assert all(np.isfinite(row["terms"]["softmax"]) for row in rows[1:])
    assert encoder.head.linear.weight.isfinite().all()
    # All but those two were taken: the fit learned nearly what it learns without them.
    assert rows[-1]["terms"]["softmax"] < rows[1]["terms"]["softmax"]


def test_a_fit_that_cannot_go_on_says_where_and_keeps_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = Encoder.create("test_resnet", DIM, pretrained=False, image_size=32)
    items, kept = make_items(encoder, False), []

    def note_weights(row: Row, is_best: bool) -> None:
        kept.append(encoder.head.linear.weight.detach().clone())

    said = r"batch 3 of epoch 2 \(items 'item \d+', 'item \d+', 'item \d+', 'item \d+' and 8 more\): softmax is nan;"
    with pytest.raises(TrainingError, match=said):
        fit(
            encoder, NanAt({5, 6, 7}), items, settings_of(False, average_decay=0), lambda: {"validation": None},
            note_weights, folder_of(tmp_path),
        )  # fmt: skip
    assert torch.equal(encoder.head.linear.weight, kept[1])
    last = folder_of(tmp_path).last()
    assert last is not None
    assert (last["epoch"], last["steps"]) == (2, 0)  # from before the first bad step


def plain_spread(x: np.ndarray) -> tuple[float, float]:
    """By loops and eigenvalues."""
    pairs = [float(x[i] @ x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]
    shares = np.linalg.eigvalsh(x.T @ x / len(x))
    return sum(pairs) / len(pairs), float(np.exp(-sum(p * np.log(p) for p in shares if p > 1e-12)))


@given(st.integers(2, 12), st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_spread_is_what_it_says(count: int, dim: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(count, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = spread(x)
    cosine, rank = plain_spread(x)
    assert found["mean_cosine"] == pytest.approx(cosine, abs=1e-9)
    assert found["effective_rank"] == pytest.approx(rank, rel=1e-6)


def test_a_collapse_is_told_from_few_classes() -> None:
    rng = np.random.default_rng(0)
    points = np.ones((2000, 8)) + 0.05 * rng.normal(size=(2000, 8))
    two_classes = np.eye(8)[np.arange(50) % 2]
    one_line = np.eye(8)[np.zeros(50, int)] * np.where(np.arange(50) % 2, 1, -1)[:, None]
    spread_out = rng.normal(size=(100, 8))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (points, one_line, two_classes, spread_out)]
    assert [is_collapsed(spread(x)) for x in unit] == [True, True, False, False]
    assert not is_collapsed({"validation": 0.5})


def test_a_collapse_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    encoder = Encoder.create("test_resnet", DIM, pretrained=False, image_size=32)
    cosines = iter([0.1, 0.97, 0.99, 0.99])
    fit(
        encoder, NormalizedSoftmaxLoss(CLASSES, DIM), make_items(encoder, False), settings_of(False, average_decay=0),
        lambda: {"validation": None, "mean_cosine": next(cosines), "effective_rank": 1.6}, lambda row, best: None,
    )  # fmt: skip
    said = capsys.readouterr().err
    assert said.count("the embeddings collapse: the mean cosine of two pictures is 0.970") == 1
    assert "lower learning rates" in said


def test_a_blend_that_is_nothing_is_no_collapse(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    encoder = Encoder.create("test_resnet", DIM, pretrained=False, image_size=32)
    settings = settings_of(False, average_decay=0)
    cosines = iter([0.1] * (1 + settings.epochs) + [0.99] * 3)
    result = fit(
        encoder, NormalizedSoftmaxLoss(CLASSES, DIM), make_items(encoder, False), settings,
        lambda: {"validation": 0.5, "mean_cosine": next(cosines), "effective_rank": 1.6}, lambda row, best: None,
    )  # fmt: skip
    assert [row["mean_cosine"] for row in result.history if "blend" in row] == [0.99] * 3
    assert "collapse" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_says_what_to_lower(error: Exception) -> None:
    said = r"out of memory with batches of 32 x 4 items.*training\.classes_per_batch"
    with pytest.raises(TrainingError, match=said), memory_told(TrainingSettings()):
        raise error
    said = r"training\.piece_size.*encoder\.image_size.*training\.checkpoint_layers"
    with pytest.raises(TrainingError, match=said), memory_told(TrainingSettings(tune_backbone=True)):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes") as caught, memory_told(TrainingSettings()):
        raise RuntimeError("shapes do not fit")
    assert not isinstance(caught.value, TrainingError)
    with pytest.raises(TrainingError, match=r"^the disk is out of memory$"), memory_told(TrainingSettings()):
        raise TrainingError("the disk is out of memory")


def test_real_memory_is_told() -> None:
    with pytest.raises(TrainingError, match="out of memory"), memory_told(TrainingSettings()):
        torch.empty(2**55)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_a_step_and_a_second_one_does_not(number: signal.Signals) -> None:
    before = signal.signal(number, signal.default_int_handler)  # tests may run with it ignored
    try:
        with stop_signals() as asked:
            assert not asked()
            os.kill(os.getpid(), number)
            assert asked()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_ignored_and_other_threads_change_nothing() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_signals() as asked:
            os.kill(os.getpid(), signal.SIGINT)
            assert not asked()
    finally:
        signal.signal(signal.SIGINT, before)
    found = []

    def elsewhere() -> None:
        with stop_signals() as asked:
            found.append(asked())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_stopped_fit_has_a_checkpoint_of_its_last_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = Encoder.create("test_resnet", DIM, pretrained=False, image_size=32)
    checkpoints = folder_of(tmp_path)
    checkpoints._minutes = 1e9

    class Stopping(NanAt):
        def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
            if self.number == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().terms(embeddings, labels)

    with pytest.raises(KeyboardInterrupt):
        fit(
            encoder, Stopping(set()), make_items(encoder, False), settings_of(False, average_decay=0),
            lambda: {"validation": None}, lambda row, best: None, checkpoints,
        )  # fmt: skip
    last = checkpoints.last()
    assert last is not None
    assert (last["epoch"], last["steps"]) == (2, 2)


def test_a_fit_stopped_at_its_end_stops_too() -> None:
    torch.manual_seed(0)
    encoder = Encoder.create("test_resnet", DIM, pretrained=False, image_size=32)

    def stop_in_blends(row: Row, is_best: bool) -> None:
        if row.get("blend") == BLENDS[-1]:
            os.kill(os.getpid(), signal.SIGTERM)

    chosen = settings_of(False, average_decay=0, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        fit(encoder, NanAt(set()), make_items(encoder, False), chosen, lambda: {"validation": 0.5}, stop_in_blends)
