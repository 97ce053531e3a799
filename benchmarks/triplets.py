"""All triplets of a batch, forward and backward: ours and pytorch-metric-learning in turn, time and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/triplets.py

Each number comes from fresh processes: one per implementation, size and repeat, the implementations in turn. Time is
the median step of a process; memory what a step adds to its peak (ru_maxrss). Medians over the repeats.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

PER_CLASS, DIM = 4, 128
OURS, TEXT, PEER = "ours", "ours, text margins", "pytorch-metric-learning"
#: Steps of one process: as many as pass in this time, at least 3.
SECONDS = 1.0


def loss_of(name: str, labels: Tensor) -> Callable[[Tensor], Tensor]:
    if name == PEER:
        warnings.simplefilter("ignore")  # of its imports
        from pytorch_metric_learning import distances, losses

        peer = losses.TripletMarginLoss(margin=0.1, distance=distances.LpDistance(power=2))
        return lambda x: peer(x, labels)
    from lookalike.losses import AdaptiveTripletLoss, TripletLoss

    if name == OURS:
        plain = TripletLoss(0.1, mining="all", average="active")
        return lambda x: plain(x, labels)
    adaptive, side = AdaptiveTripletLoss(average="active"), torch.randn(len(labels), DIM)
    return lambda x: adaptive(x, labels, side_vectors=side)


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(name: str, batch: int) -> tuple[float, float]:
    """Median milliseconds of a step, and MiB its first adds to the peak."""
    torch.manual_seed(0)

    def step(loss: Callable[[Tensor], Tensor], x: Tensor) -> float:
        x = x.clone().requires_grad_()
        begin = time.perf_counter()
        loss(x).backward()
        return 1000 * (time.perf_counter() - begin)

    small = torch.arange(48) // PER_CLASS
    step(loss_of(name, small), torch.randn(48, DIM))  # whatever is loaded or set up once
    x, loss = torch.randn(batch, DIM), loss_of(name, torch.arange(batch) // PER_CLASS)
    before = peak_kib()
    step(loss, x)
    added = (peak_kib() - before) / 1024
    times, end = [], time.perf_counter() + SECONDS
    while len(times) < 3 or time.perf_counter() < end:
        times.append(step(loss, x))
    return statistics.median(times), added


def in_a_fresh_process(name: str, batch: int) -> tuple[float, float]:
    command = [sys.executable, __file__, "--measure", name, str(batch)]
    time_ms, mib = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return time_ms, mib


def main(sizes: list[int], repeats: int) -> None:
    print(
        f"{os.cpu_count()} CPUs, {platform.machine()}; torch {torch.__version__}, {torch.get_num_threads()} threads\n"
    )
    print(
        "| B | ours ms | text ms | peer ms | peer / ours | text / ours | ours MiB | text MiB | peer MiB | peer / ours |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for batch in sizes:
        found: dict[str, list[tuple[float, float]]] = {OURS: [], TEXT: [], PEER: []}
        for _ in range(repeats):
            for name, results in found.items():
                results.append(in_a_fresh_process(name, batch))
        ms, mib = ([statistics.median(r[i] for r in results) for results in found.values()] for i in (0, 1))
        memory = f"{mib[2] / mib[0]:.0f}x" if mib[0] >= 1 else "-"
        cells = [f"{t:.2f}" for t in ms] + [f"{ms[2] / ms[0]:.1f}x", f"{ms[1] / ms[0]:.2f}x"]
        print("| " + " | ".join([str(batch), *cells, *(f"{m:.1f}" for m in mib), memory]) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "B"), help="only this, in this process")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure[0], int(arguments.measure[1]))))
    else:
        main(arguments.sizes, arguments.repeats)
