"""What each of several processes does for test_distributed.py: a run that is cut short and gone on with by others."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lookalike.catalog.batches import ClassBatches
from lookalike.encoders import Encoder
from lookalike.errors import ProcessLostError, TrainingError
from lookalike.losses import (
    AdaptiveAdditiveSoftmaxLoss,
    NormalizedSoftmaxLoss,
    Proxies,
    SimilarityPreservation,
    SoftOrthogonalProxyAnchorLoss,
    TripletLoss,
    WeightedSum,
)
from lookalike.training import TrainingSettings
from lookalike.training.distributed import (
    add_up_gradients,
    clip_gradients,
    first_then_all,
    from_first,
    joined,
    own_random_numbers,
    rank,
    world,
)
from lookalike.training.fit import fit
from lookalike.training.items import TrainingItems
from lookalike.training.resume import Checkpoints
from lookalike.training.shards import share_out
from tests.processes import as_one_of

CLASSES, DIM = 7, 6
SETTINGS = TrainingSettings(
    epochs=4,
    tune_backbone=True,
    warmup_epochs=1,
    classes_per_batch=3,
    images_per_class=3,
    shard_proxies_above=3,
    average_decay=0.5,
    device="cpu",
)
LABELS = np.arange(28) % CLASSES


class Pictures:
    """Small pictures by row; `each` is told the number of every batch."""

    def __init__(self, each: Callable[[int], None] = lambda number: None) -> None:
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 128, (CLASSES, 3, 32, 32))[LABELS] + rng.integers(0, 128, (28, 3, 32, 32))
        self._pictures, self._each = torch.from_numpy(pictures.astype(np.uint8)), each

    def batches(self, epoch: int, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        for number, rows in enumerate(batches):
            self._each(10 * epoch + number)
            yield rows, self._pictures[rows]


def made() -> tuple[Encoder, WeightedSum, dict[str, np.ndarray]]:
    """An encoder, and a loss that learns by all: shared out proxies with text, pairs that are drawn, what is kept."""
    torch.manual_seed(0)
    encoder = Encoder.create("test_resnet", DIM, pretrained=False, image_size=32)
    proxies = Proxies(CLASSES, DIM)
    text = torch.randn(CLASSES, 5)
    loss = WeightedSum(
        {
            "anchor": (0.5, SoftOrthogonalProxyAnchorLoss(proxies=proxies)),
            "softmax": (1.0, AdaptiveAdditiveSoftmaxLoss(proxies=proxies, class_side_vectors=text, curve="linear")),
            "triplet": (1.0, TripletLoss(mining="distance")),
            "kept": (1.0, SimilarityPreservation()),
        }
    )
    start = np.random.default_rng(1).normal(size=(28, DIM)).astype(np.float32)
    torch.manual_seed(rank())  # what is drawn so far must not matter
    return encoder, loss, {"start_embeddings": start}


def run(folder: Path | None, each: Callable[[int], None] = lambda number: None) -> dict[str, Tensor]:
    """The weights and proxies a fit ends with; in a folder it keeps its state, and goes on from there."""
    encoder, loss, fields = made()
    torch.manual_seed(3)
    items = TrainingItems(Pictures(each), ClassBatches(LABELS, 3, 3, seed=0), LABELS, **fields)
    checkpoints = Checkpoints(folder, minutes=0) if folder else None
    start = first_then_all(checkpoints.last) if checkpoints else None
    judged = {"validation": None, "mean_cosine": 0.0, "effective_rank": 5.0}
    fit(encoder, loss, items, SETTINGS, lambda: dict(judged), lambda row, best: None, checkpoints, start)
    return state_of(encoder, loss)


def state_of(encoder: Encoder, loss: WeightedSum) -> dict[str, Tensor]:
    return encoder.state_dict() | {f"loss.{name}": value for name, value in loss.state_dict().items()}


def apart(one: Tensor, other: Tensor, first: Tensor) -> float:
    """How far two ends are from each other, as a share of the way there."""
    return float((one - other).abs().max() / (other - first).abs().max().clamp_min(1e-30))


def stop_at(wanted: int) -> Callable[[int], None]:
    """Asks the first process to stop when it comes to this batch: all then stop after it."""
    return lambda number: os.kill(os.getpid(), signal.SIGTERM) if number == wanted and rank() == 0 else None


def end_at(wanted: int) -> Callable[[int], None]:
    return lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == wanted and rank() == 2 else None


def go_on_elsewhere(folder: Path) -> None:
    """One process alone; and two, then one, then three of which one is killed, then two."""
    torch.set_num_threads(1)
    number, found = int(os.environ["RANK"]), {}
    states = folder / "states"
    if number == 0:
        as_one_of(1)
        alone = run(None)
    if number < 2:
        as_one_of(2, turn=0)
        with joined(), pytest.raises(KeyboardInterrupt):
            run(states, stop_at(11))
    if number == 0:
        as_one_of(1)
        with pytest.raises(KeyboardInterrupt):
            run(states, stop_at(21))
    as_one_of(3, turn=1)
    started = time.monotonic()
    with pytest.raises(ProcessLostError) as lost, joined():
        found |= small_things()
        run(states, end_at(31))
    found |= {"said": str(lost.value), "seconds": time.monotonic() - started}
    as_one_of(2, turn=2)
    with joined():
        together = run(states)
    if number == 0:
        first = state_of(*made()[:2])
        found["off"] = {name: apart(together[name], alone[name], first[name]) for name in first}
    (folder / f"{number}.json").write_text(json.dumps(found))


def small_things() -> dict[str, object]:
    """What the processes tell each other besides batches."""
    order: list[str] = []
    got = from_first(lambda: f"of {rank()}")
    refusal = ""
    try:
        from_first(_refuse)
    except TrainingError as error:
        refusal = str(error)
    first_then_all(lambda: order.append("made"))
    told = {"world": world(), "got": got, "refusal": refusal, "order": order}
    torch.manual_seed(4)
    with own_random_numbers(5, torch.device("cpu")):
        inside = torch.rand(3).tolist()
    return told | {"drawn": [inside, torch.rand(3).tolist()], "finite": _finite(1.0), "not_finite": _finite(np.inf)}


def _finite(in_last: float) -> list[bool]:
    """Whether gradients and their norm are finite, where one number of the part of the last process is this."""
    weight, loss = torch.nn.Parameter(torch.ones(2, 2)), NormalizedSoftmaxLoss(CLASSES, DIM)
    share_out(loss, above=0)
    weight.grad, loss.proxies.weight.grad = torch.ones(2, 2), torch.ones_like(loss.proxies.weight)
    if rank() == world() - 1:
        loss.proxies.weight.grad[0, 0] = in_last
    parameters = [weight, loss.proxies.weight]
    add_up_gradients(parameters, loss)
    own = bool(weight.grad.isfinite().all())  # all that a scaler looks at
    return [own, bool(clip_gradients(parameters, loss, 1.0).isfinite())]


def _refuse() -> None:
    raise TrainingError(f"refused by {rank()}")
