"""The training engine against what there is: pictures per second of a step, of the loader, and of heads on features.

    OMP_NUM_THREADS=1 python benchmarks/training.py --to docs/benchmarks/training.md

All sides of a row train the same network on the same pictures with the same loss, take turns in one process, and must
begin with the same loss. With a GPU it takes a DeiT-S at 224 px in bfloat16, and the time is that of the wall. Takes
about a quarter of an hour; `--quick` takes seconds.
"""

import argparse
import ctypes
import io
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torchvision import transforms
from training_steps import BARE, FLOOR, GPU, HEADS, OURS, PML, SETTINGS, STEPS, Cell, Step, our_step

from lookalike.catalog import Catalog
from lookalike.encoders import Augmentation, Preprocessing
from lookalike.training import TrainingSettings
from lookalike.training.inputs import PictureInputs, squares_of

#: What the share of the floor should be at least, and how many times faster than ours heads on features.
WANTED_SHARE, WANTED_HEADS = 0.95, 50
QUICK = [Cell("test_resnet", 64, 16, 100)]
CELLS = [Cell("mobilenetv2_100", 96, 32, 100), Cell("resnet18", 128, 32, 100), Cell("resnet18", 128, 32, 11_318)]
ON_GPU = [Cell("deit_small_patch16_224", 224, 128, classes) for classes in (100, 11_318)]
#: What some settings cost and spare, beside a step without them.
PLAIN = "as it is"
PIECES = "piece_size, a quarter of the batch"
OPTIONS: dict[str, dict[str, object]] = {
    PLAIN: {},
    "precision = 'bfloat16'": {"precision": "bfloat16"},
    PIECES: {},
    "checkpoint_layers = true": {"checkpoint_layers": True},
}
#: Pictures of the loader: JPEGs as of a shop; and the sides of what is made of them.
WIDTH, HEIGHT, QUALITY = 480, 640, 90
LOADER_SIZES = [96, 224]
TORCHVISION, DECODED, PACKED = "torchvision and Pillow", "ours, decoded each time", "ours, packed"


class Times(NamedTuple):
    """Seconds of one turn."""

    clock: float
    wall: float


def timed(step: Callable[[], object], at_least: float) -> Times:
    """Of one call, the mean over as many as take a while; CPU time where one thread does it all."""
    count, start, wall = 0, clock(), time.perf_counter()
    while clock() - start < at_least or not count:
        step()
        count += 1
    return Times((clock() - start) / count, (time.perf_counter() - wall) / count)


def clock() -> float:
    if GPU:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def in_turns(steps: dict[str, Callable[[], object]], repeats: int, at_least: float) -> dict[str, list[Times]]:
    taken: dict[str, list[Times]] = {who: [] for who in steps}
    for _ in range(repeats):
        for who, step in steps.items():
            taken[who].append(timed(step, at_least))
    return taken


def median(times: list[Times], which: str = "clock") -> float:
    return statistics.median(getattr(one, which) for one in times)


def ratio(of: list[Times], to: list[Times]) -> float:
    """The median over the turns: what slows the machine for a while slows both."""
    return statistics.median(a.clock / b.clock for a, b in zip(of, to, strict=True))


def steps_rows(cell: Cell, repeats: int, at_least: float, goals: list[str]) -> Iterator[str]:
    steps = {who: make(cell) for who, make in STEPS.items()}
    first = [float(total) for who, step in steps.items() if (total := step()) is not None and who != HEADS]
    assert len(first) == 3 and max(first) - min(first) < (1e-2 if GPU else 1e-4) * first[0], first
    taken = in_turns(steps, repeats, at_least)
    for who, times in taken.items():
        share = ratio(taken[FLOOR], times)
        speeds = [f"{cell.batch / median(times, which):,.1f}" for which in ("clock", "wall")]
        yield table_row(
            *cell[:3], f"{cell.classes:,}", who, *speeds, "-" if who == HEADS else f"**{100 * share:.1f} %**"
        )
    named = f"{cell.backbone}, {cell.size} px, B = {cell.batch}, C = {cell.classes:,}"
    ours = taken[OURS]
    goals.append(goal(f"{named}: share of the floor", ratio(taken[FLOOR], ours), WANTED_SHARE, "at least {:.0%}"))
    goals.append(goal(f"{named}: heads on features", ratio(ours, taken[HEADS]), WANTED_HEADS, "{:,.0f}x ours"))
    for whom in (BARE, PML):
        goals.append(goal(f"{named}: never slower than {whom}", ratio(taken[whom], ours), 1.0, "{:.3f}x"))


def goal(what: str, found: float, least: float, form: str) -> str:
    value = form.removeprefix("at least ").replace("0%", "1%")  # 94.9 % is not 95 %
    return table_row(f"{what}: {form.format(least)}", value.format(found), "yes" if found >= least else "no")


def options_rows(cell: Cell, repeats: int, at_least: float) -> Iterator[str]:
    makes = {name: partial(our_step, cell, settings_of(name, cell)) for name in OPTIONS}
    taken = in_turns({name: make() for name, make in makes.items()}, repeats, at_least)
    mb = {name: added_mb(make) for name, make in makes.items()}
    for name, times in taken.items():
        yield table_row(
            *cell[:3],
            name,
            f"{1000 * median(times):,.1f}",
            f"**{ratio(times, taken[PLAIN]):.2f}x**",
            f"{mb[name]:,.0f}",
            f"**{mb[name] / mb[PLAIN]:.2f}x**",
        )


def settings_of(name: str, cell: Cell) -> TrainingSettings:
    changed = {"piece_size": cell.batch // 4} if name == PIECES else OPTIONS[name]
    return SETTINGS.model_copy(update=changed)


def added_mb(make: Callable[[], Step]) -> float:
    """By the second step, to the peak: of the GPU, or of a fresh process."""
    if GPU:
        return _added(make)
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver"), max_tasks_per_child=1) as pool:
        return pool.submit(_added, make).result()


def _added(make: Callable[[], Step]) -> float:
    torch.set_num_threads(1)
    step = make()
    step()  # which makes what stays: gradients, and what the optimizer remembers
    if GPU:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _resident("VmRSS")
    step()
    return _resident("VmHWM") - before


def _resident(what: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


def loader_rows(size: int, count: int, repeats: int, goals: list[str]) -> Iterator[str]:
    """A pass over the pictures; those of ours that are packed have been packed before, as from the second epoch on."""
    catalog, order = jpegs(count), np.array_split(np.arange(count), max(1, count // 32))
    augmentation, preprocessing = Augmentation(min_scale=0.5), Preprocessing(size, fit="crop")
    crop = transforms.RandomResizedCrop(size, (0.5, 1), interpolation=transforms.InterpolationMode.BICUBIC)
    normalize = transforms.Normalize(preprocessing.mean, preprocessing.std)
    theirs = transforms.Compose([crop, transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalize])
    mean, std = (255 * torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))

    def plain() -> None:
        for rows in order:
            opened = (Image.open(io.BytesIO(catalog.column("image")[row])).convert("RGB") for row in rows)
            torch.stack([theirs(picture) for picture in opened])

    def ours(inputs: PictureInputs) -> None:
        for _, images in inputs.batches(1, order):
            (images.float() - mean) / std

    passes: dict[str, Callable[[], object]] = {TORCHVISION: plain}
    for name, packed in ((DECODED, False), (PACKED, True)):
        squares = squares_of(catalog, preprocessing, augmentation.source_px(size), packed=packed)
        passes[name] = partial(ours, PictureInputs(squares, count, augmentation, size, seed=0))
        passes[name]()
    taken = in_turns(passes, repeats, 0)
    for name, times in taken.items():
        gain = ratio(taken[TORCHVISION], times)
        speeds = [f"{count / median(times, which):,.0f}" for which in ("clock", "wall")]
        yield table_row(size, name, *speeds, f"**{gain:.1f}x**")
        if name != TORCHVISION:
            goals.append(goal(f"loader at {size} px, {name}: never slower than {TORCHVISION}", gain, 1.0, "{:.1f}x"))


def jpegs(count: int) -> Catalog:
    """Pictures of soft shapes with some noise, which compress as photographs do."""
    rng, encoded = np.random.default_rng(0), []
    for _ in range(count):
        soft = Image.fromarray(rng.integers(0, 256, (10, 8, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT))
        noisy = np.asarray(soft, dtype=np.int16) + rng.integers(-8, 9, (HEIGHT, WIDTH, 3), dtype=np.int16)
        picture = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(picture, "JPEG", quality=QUALITY)
        encoded.append(picture.getvalue())
    return Catalog(pa.table({"item_id": [str(row) for row in range(count)], "image": encoded}))


def table_row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def report(rows: dict[str, list[str]], goals: list[str], repeats: int) -> str:
    device = torch.cuda.get_device_name() if GPU else f"An {platform.machine()} CPU shared with other jobs, 1 thread"
    kind = "wall time" if GPU else "CPU time"
    parts = {name: "\n".join(lines) for name, lines in rows.items()}
    return f"""# Training: pictures per second

`{"" if GPU else "OMP_NUM_THREADS=1 "}python {" ".join(sys.argv)}`

{device}, torch {torch.__version__}. The median of {repeats} turns; the sides of a table take turns in one process, and
shares and ratios are medians over the turns, of {kind}. Trust these, not the pictures per second.

## A step

The same weights, pictures (in memory already), labels and loss (Proxy Anchor) for all; BatchNorm stands still;
{"bfloat16" if GPU else "float32"}. *{FLOOR}*: the encoder alone, its gradient given, no loss and no optimizer.
*{BARE}*: the loss as its formula, AdamW. *{PML}*: the loop of its README with its ProxyAnchorLoss. *{OURS}*: the loop
of a run, with gradients clipped, a schedule, and steps that are not finite left out. *{HEADS}*: the loop of a run with
a backbone that stands still, on its features.

| backbone | px | B | C | who | pictures/s | of the wall | share of the floor |
|---|--:|--:|--:|---|--:|--:|--:|
{parts["steps"]}

## What some settings cost and spare

One of our steps, {"float32 here" if not GPU else "bfloat16 unless said"}; MB: what a step adds to the peak of
{"the GPU" if GPU else "a fresh process"} beyond weights, gradients and what the optimizer remembers.

| backbone | px | B | `[training]` | ms | time | MB | memory |
|---|--:|--:|---|--:|--:|--:|--:|
{parts["options"]}

## The loader

JPEGs of {WIDTH} x {HEIGHT} px to float32 batches: a random crop of at least half the area, resized, mirrored or not,
normalized. Per core: pictures per second of CPU time, whatever the number of threads. *{PACKED}*: from the second epoch
on, and in any later run.

| px | who | pictures/s per core | of the wall | |
|--:|---|--:|--:|--:|
{parts["loader"]}

## What we wanted

| wanted | measured | met |
|---|--:|---|
{chr(10).join(goals)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="a small network and few pictures")
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    multiprocessing.get_context("forkserver").set_forkserver_preload(["training_steps"])
    cells = QUICK if options.quick else ON_GPU if GPU else CELLS
    rows: dict[str, list[str]] = {"steps": [], "options": [], "loader": []}
    goals: list[str] = []

    def show(table: str, found: Iterator[str]) -> None:
        for row in found:
            rows[table].append(row)
            print(row, flush=True)

    for cell in cells:
        show("steps", steps_rows(cell, options.repeats, 0.02, goals))
    for cell in {cell[:3]: cell for cell in cells}.values():
        show("options", options_rows(cell, options.repeats, 0.02))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOOKALIKE_CACHE"] = folder
        for size in LOADER_SIZES[:1] if options.quick else LOADER_SIZES:
            show("loader", loader_rows(size, 32 if options.quick else 512, options.repeats, goals))
    if options.to:
        options.to.write_text(report(rows, goals, options.repeats), encoding="utf-8")


if __name__ == "__main__":
    main()
