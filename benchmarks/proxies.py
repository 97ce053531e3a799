"""Proxy Anchor and soft orthogonality against what there is: time and memory of one step, forward and backward.

    OMP_NUM_THREADS=1 python benchmarks/proxies.py --to docs/benchmarks/proxies.md

Times are medians of repeats taken in turn; memory is what one step adds to the peak of a fresh process. A small shared
machine: trust the ratios only.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from lookalike.losses import Proxies, ProxyAnchorLoss, ProxyOrthogonality

Step = Callable[[], object]
OURS, PML, DIRECT = "ours", "pml", "direct"
#: work, C, B (0: the proxies alone), D, against whom
CELLS = [
    ("Proxy Anchor", 100, 64, 128, PML),
    ("Proxy Anchor", 1_000, 64, 128, PML),
    ("Proxy Anchor", 11_318, 256, 128, PML),
    ("Proxy Anchor", 11_318, 1024, 128, PML),
    ("Proxy Anchor", 11_318, 1024, 512, PML),
    ("orthogonality", 100, 0, 128, DIRECT),
    ("orthogonality", 11_318, 0, 128, DIRECT),
    ("orthogonality", 11_318, 0, 512, DIRECT),
]


def step_of(work: str, num_classes: int, batch: int, dim: int, who: str) -> Step:
    torch.manual_seed(0)
    if work == "orthogonality":
        proxies, none = Proxies(num_classes, dim), torch.empty(0, dim)
        ours = ProxyOrthogonality(proxies)
        total = (lambda: ours(none)) if who == OURS else (lambda: direct_orthogonality(proxies()))
        return training_step(total, proxies.weight)
    embeddings = torch.randn(batch, dim, requires_grad=True)
    labels = torch.randint(num_classes, (batch // 4,)).repeat_interleave(4)
    if who == OURS:
        loss: torch.nn.Module = ProxyAnchorLoss(num_classes, dim)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its imports
            from pytorch_metric_learning import losses
        loss = losses.ProxyAnchorLoss(num_classes, dim, margin=0.1, alpha=32)
    return training_step(lambda: loss(embeddings, labels), embeddings, *loss.parameters())


def direct_orthogonality(unit: torch.Tensor) -> torch.Tensor:
    size = len(unit)
    return F.mse_loss(unit @ unit.T, torch.eye(size), reduction="sum") / (size * (size - 1))


def training_step(total: Callable[[], torch.Tensor], *trained: torch.Tensor) -> Step:
    def step() -> float:
        for tensor in trained:
            tensor.grad = None
        value = total()
        value.backward()
        return value.item()

    return step


def seconds(step: Step, at_least: float) -> float:
    """Of one step, the mean over as many as take a while."""
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < at_least or not count:
        step()
        count += 1
    return spent / count


def peak_mb() -> float:
    """Of this process alone: ru_maxrss begins at that of the process it was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def added_mb(cell: tuple[str, int, int, int], who: str) -> float:
    """By one step of a fresh process in which a tiny one has loaded what a step needs."""
    command = [sys.executable, __file__, "--peak", *map(str, cell), who]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured(cell: tuple[str, int, int, int], other: str, repeats: int) -> str:
    steps = {who: step_of(*cell, who) for who in (OURS, other)}
    values = [step() for step in steps.values()]
    same = abs(values[0] - values[1]) / abs(values[1]) if cell[0] == "orthogonality" else float("nan")
    assert not same > 1e-4, values
    times: dict[str, list[float]] = {who: [] for who in steps}
    few = max(seconds(step, 0.1) for step in steps.values()) > 0.02
    for _ in range(repeats if few else 5 * repeats):
        for who, step in steps.items():
            times[who].append(seconds(step, 0.1))
    ms = {who: 1000 * statistics.median(taken) for who, taken in times.items()}
    mb = {who: added_mb(cell, who) for who in steps}
    memory = f"{mb[other] / mb[OURS]:.1f}x" if mb[OURS] > 4 else "-"
    work, classes, batch, dim = cell
    return (
        f"| {work} | {classes:,} | {batch or '-'} | {dim} | {ms[other]:.2f} | {ms[OURS]:.2f} "
        f"| {ms[other] / ms[OURS]:.1f}x | {mb[other]:.0f} | {mb[OURS]:.0f} | {memory} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--to", type=Path)
    parser.add_argument("--peak", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        work, *sizes, who = options.peak
        step_of(work, 8, min(8, int(sizes[1])), 4, who)()
        step = step_of(work, *map(int, sizes), who)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: what setting up took is given back
        before = peak_mb()
        step()
        print(peak_mb() - before)
        return
    threads = torch.get_num_threads()
    lines = [
        "# Proxy losses: time and memory of one step",
        "",
        f"`OMP_NUM_THREADS={threads} python {' '.join(sys.argv)}`",
        "",
        f"A 2-core {platform.machine()} CPU shared with others, {threads} thread(s), torch {torch.__version__}. "
        f"float32, forward and backward; median of {options.repeats} turns (5 times as many of short steps) taken one "
        "after the other; memory is what one step adds to the peak of a fresh process (the gradients themselves are in "
        "it; below 4 MB no ratio is given). The "
        "machine is noisy: trust the ratios only. Existing: pytorch-metric-learning's `ProxyAnchorLoss`; for "
        "orthogonality the direct C x C form.",
        "",
        "| work | C | B | D | existing, ms | ours, ms | time | existing, MB | ours, MB | memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for *cell, other in CELLS:
        lines.append(measured(tuple(cell), other, options.repeats))
        print(lines[-1], flush=True)
    if options.to:
        options.to.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
