"""Epoch after epoch: train, judge on held-out classes, keep the best."""

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from lookalike.encoders import Encoder
from lookalike.losses import Loss
from lookalike.progress import note, progress_bar
from lookalike.training.average import WeightAverage
from lookalike.training.best import Fit, Row
from lookalike.training.distributed import check_one_process, check_same, from_first, same_everywhere
from lookalike.training.forward import embed_of, precision_of
from lookalike.training.items import TrainingItems
from lookalike.training.loop import train_steps
from lookalike.training.optimizer import build_optimizer, build_schedule, learning_rates
from lookalike.training.resume import Checkpoints
from lookalike.training.safety import Tally, is_collapsed, memory_told, stop_signals, tell_of_collapse
from lookalike.training.settings import TrainingSettings
from lookalike.training.shards import make_whole, share_out
from lookalike.training.state import State, Tree

#: How much of the trained weights a blend has; the rest is the start's.
BLENDS = (0.25, 0.5, 0.75)
#: Says how good the encoder is now: "validation", higher is better, None without held-out classes; and what else is
#: to stand in the history.
Judge = Callable[[], Row]


def fit(
    encoder: Encoder,
    loss: Loss,
    items: TrainingItems,
    settings: TrainingSettings,
    judge: Judge,
    on_epoch: Callable[[Row, bool], None],
    checkpoints: Checkpoints | None = None,
    start: Tree | None = None,
) -> Fit:
    """Train head and loss, and the backbone if the settings say so. The encoder ends with its best weights.

    Of several processes (see `distributed`) all call it, with the same; the first judges, writes and is told.

    Args:
        encoder: on its device; changed in place.
        loss: changed in place.
        items: what is trained on.
        settings: how.
        judge: judges the encoder on held-out classes; without them the last epoch is kept.
        on_epoch: told after each epoch of its history row, and whether it is the best so far.
        checkpoints: where the state is kept.
        start: the state to go on from, of a fit for which all else was the same.

    Raises:
        TrainingError: loss or gradient were not finite time and again, or memory was too little.
        KeyboardInterrupt: it was stopped, at the end of a step, by Ctrl-C or SIGTERM. Whatever ends a fit before its
            time, the encoder has its best weights so far.
    """
    state = _begin(encoder, loss.to(encoder.device), items, settings)
    if start:
        state.load(start, encoder.device)
        check_same((state.epoch, state.steps), "the checkpoints")
        note(f"going on at epoch {state.epoch}, after {state.steps} of its steps")
    try:
        with memory_told(settings), stop_signals() as asked:

            def keep(epoch_ends: bool) -> None:
                """Write a checkpoint if it is time, or if the fit is to stop here."""
                if state.tally.is_waiting and not epoch_ends:
                    return
                stops, is_due = from_first(lambda: (asked(), checkpoints and checkpoints.is_due(epoch_ends)))
                if checkpoints and (stops or is_due) and state.tally.in_a_row == 0:
                    tree = state.dump()
                    from_first(lambda: checkpoints.write(tree))
                if stops:
                    raise KeyboardInterrupt

            for row, is_best in _epochs(state, encoder, items, settings, judge, keep):
                from_first(partial(on_epoch, row, is_best))
            if from_first(asked):  # while blends were judged, which begin anew
                raise KeyboardInterrupt
        make_whole(loss)
    finally:
        state.result.restore_best(state.trained)
        encoder.eval().requires_grad_(False)
    return state.result


def _begin(encoder: Encoder, loss: Loss, items: TrainingItems, settings: TrainingSettings) -> State:
    """Everything as it is before the first step."""
    steps = len(items.batches)
    if settings.tune_backbone and not settings.freeze_batchnorm:
        check_one_process(encoder.backbone)
    same_everywhere(encoder, loss)
    share_out(loss, settings.shard_proxies_above)
    optimizer = build_optimizer(encoder, loss, settings)
    _, scaler = precision_of(encoder.device, settings)
    return State(
        encoder if settings.tune_backbone else encoder.head,
        loss,
        WeightAverage(encoder, settings.average_decay) if settings.average_decay else None,
        optimizer,
        build_schedule(optimizer, steps * settings.epochs, warmup_steps=min(steps, 50)),
        scaler,
        Tally(items.named, steps, encoder.device, scaler.is_enabled()),
    )


def _epochs(
    state: State,
    encoder: Encoder,
    items: TrainingItems,
    settings: TrainingSettings,
    judge: Judge,
    keep: Callable[[bool], None],
) -> Iterator[tuple[Row, bool]]:
    device, steps = encoder.device, len(items.batches)
    autocast, _ = precision_of(device, settings)
    embed = embed_of(encoder, settings)
    if not state.result.history:
        yield _record(state, {"epoch": 0}, judge)
        keep(True)
    with progress_bar() as bar:
        done = steps * (state.epoch - 1) + state.steps
        task = bar.add_task("training", total=steps * settings.epochs, completed=done, note="")
        for epoch in range(state.epoch, settings.epochs + 1):
            started = time.monotonic()
            _set_modes(encoder, settings, epoch)
            if state.steps == 0:
                state.tally.begin(epoch)
            for step in train_steps(
                embed,
                state.loss.train(),
                items.epoch(epoch, device, state.steps),
                state.optimizer,
                state.schedule,
                state.scaler,
                available=items.available,
                autocast=autocast,
                max_norm=settings.max_gradient_norm,
            ):
                state.tally.add(step)
                if state.average is not None:
                    state.average.update_parameters(encoder)
                state.steps += 1
                bar.advance(task)
                keep(False)
            row = {"epoch": epoch, "steps": state.steps, "terms": state.tally.means(), "skipped": state.tally.skipped}
            row |= {"learning_rates": learning_rates(state.optimizer), "seconds": round(time.monotonic() - started, 3)}
            recorded = _record(state, row, judge)
            bar.update(task, completed=steps * epoch, note=_note(row, settings.epochs))
            yield recorded
            if state.average is not None and row["validation"] is not None:
                with state.average.swapped_into(encoder):
                    yield _record(state, {"epoch": epoch, "average": settings.average_decay}, judge)
            state.epoch, state.steps = epoch + 1, 0
            keep(True)
    if state.result.history[0]["validation"] is not None:
        yield from _blends(state, judge)


def _blends(state: State, judge: Judge) -> Iterator[tuple[Row, bool]]:
    """Judge mixtures of the first and the last weights too.

    What training adds for its own classes it takes from others; a mixture often keeps both (Wortsman et al., Robust
    fine-tuning of zero-shot models, CVPR 2022).
    """
    last = copy.deepcopy(state.trained.state_dict())
    for share in BLENDS:
        mixed = {
            name: torch.lerp(first, last[name], share) if first.is_floating_point() else last[name]
            for name, first in state.result.start_state.items()
        }
        state.trained.load_state_dict(mixed)
        yield _record(state, {"epoch": state.result.history[-1]["epoch"], "blend": share}, judge)


def _record(state: State, row: Row, judge: Judge) -> tuple[Row, bool]:
    row |= from_first(judge)
    # A blend was not trained to what it is, and between a start by chance and a good end there may be nothing.
    if "blend" not in row and is_collapsed(row) and not any(map(is_collapsed, state.result.history)):
        tell_of_collapse(row)
    return row, state.result.add(row, state.trained)


def _set_modes(encoder: Encoder, settings: TrainingSettings, epoch: int) -> None:
    tuning = settings.tune_backbone and epoch > settings.warmup_epochs
    encoder.head.train().requires_grad_(True)
    encoder.tune_backbone(tuning)
    if settings.freeze_batchnorm:
        for module in encoder.backbone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _note(row: Row, epochs: int) -> str:
    judged = "" if row["validation"] is None else f", validation {row['validation']:.3f}"
    return f"epoch {row['epoch']}/{epochs}, loss {sum(row['terms'].values()):.3f}{judged}"
