"""The losses against what there is, and against each other: time and memory of one step, forward and backward.

    OMP_NUM_THREADS=1 python benchmarks/losses.py --to docs/benchmarks/losses.md

Whatever is compared runs in turn in one process, from the same numbers, and must give the same loss. Memory is what one
step adds to the peak of a fresh process. Takes about ten minutes; `--quick` takes seconds.
"""

import argparse
import ctypes
import multiprocessing
import platform
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from loss_steps import (
    ANCHOR,
    APART,
    BENT,
    CLASS_TEXT,
    COMPOSED,
    COSFACE,
    DENSITY,
    DIRECT,
    LINES,
    ORTHOGONALITY,
    PML,
    SOFTMAX,
    TEXT,
    TEXT_TRIPLETS,
    TRIPLET_TEXT,
    TRIPLETS,
    Cell,
    Step,
    products_of,
    products_step,
    step_of,
)

#: Of one measurement, and after which no further turn of a row is begun.
SECONDS, SECONDS_OF_A_ROW = 0.05, 5.0
#: A step of so many seconds is timed from the first one on.
SLOW = 1.0
#: What a step adds below this is not told from noise.
LEAST_MB = 1.0

#: By the server whose forks are the fresh processes.
PRELOADED = ["lookalike.losses", "pytorch_metric_learning.losses"]

SIZES = [(100, 64, 128), (1_000, 64, 128), (11_318, 256, 128), (11_318, 1024, 128), (11_318, 1024, 512)]
SIZES += [(100_000, 1024, 128), (500_000, 256, 128)]
#: Against others.
PEERS = [
    *(Cell(TRIPLETS, PML if batch <= 1024 else "", 0, batch) for batch in (64, 256, 512, 1024, 2048, 4096)),
    *(Cell(work, PML, *size) for work in (ANCHOR, SOFTMAX, COSFACE) for size in SIZES),
    Cell(TEXT, DIRECT, 100, 64),
    Cell(TEXT, DIRECT, 11_318, 1024),
    Cell(TEXT, "", 1_000_000, 64),
    *(Cell(ORTHOGONALITY, DIRECT, classes, 0, dim) for classes, dim in ((100, 128), (11_318, 128), (11_318, 512))),
    Cell(ORTHOGONALITY, "", 100_000, 0),
]
#: Against a plainer one of ours: what text, lines and density cost.
COSTS = [
    *(Cell(TEXT_TRIPLETS, TRIPLETS, 0, batch) for batch in (64, 256, 512, 1024)),
    *(Cell(TEXT, SOFTMAX, *size) for size in ((100, 64, 128), (11_318, 1024, 128), (11_318, 1024, 512))),
    *(Cell(BENT, TEXT, *size) for size in ((100, 64, 128), (11_318, 1024, 128), (11_318, 1024, 512))),
    *(Cell(LINES, SOFTMAX, *size) for size in ((100, 64, 128), (11_318, 256, 128), (11_318, 1024, 128))),
    Cell(DENSITY, "", 0, 512),
    *(Cell(COMPOSED, APART, *size) for size in ((100, 64, 128), (11_318, 256, 128))),
]


class Result(NamedTuple):
    ms: float
    mb: float
    other_ms: float
    other_mb: float
    products_ms: float

    @property
    def time(self) -> float:
        return self.other_ms / self.ms

    @property
    def memory(self) -> float:
        return self.other_mb / self.mb if self.mb >= LEAST_MB else float("nan")


#: What we wanted: of a cell so much less time or memory, or (cost) at most so many times the time of the other.
GOALS: list[tuple[Cell, str, float]] = [
    *((Cell(TRIPLETS, PML, 0, 512), what, least) for what, least in (("time", 25), ("memory", 50))),
    *((Cell(TRIPLETS, PML, 0, 1024), what, least) for what, least in (("time", 60), ("memory", 50))),
    *((Cell(TEXT_TRIPLETS, TRIPLETS, 0, batch), "cost", 1.15) for batch in (512, 1024)),
    *((Cell(ANCHOR, PML, 11_318, 1024), what, least) for what, least in (("time", 9), ("memory", 20))),
    *((Cell(ANCHOR, PML, 11_318, 1024, 512), what, least) for what, least in (("time", 2.4), ("memory", 8))),
    *((Cell(SOFTMAX, PML, 11_318, 1024), what, least) for what, least in (("time", 2), ("memory", 3))),
    (Cell(SOFTMAX, PML, 11_318, 1024, 512), "time", 1.3),
    *((Cell(ORTHOGONALITY, DIRECT, 11_318, 0), what, least) for what, least in (("time", 40), ("memory", 30))),
    (Cell(TEXT, SOFTMAX, 11_318, 1024), "cost", 2.2),
    (Cell(TEXT, SOFTMAX, 11_318, 1024, 512), "cost", 1.3),
]


def clock() -> float:
    """CPU time where one thread does it all: other jobs share the machine."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(step: Step, at_least: float) -> float:
    """Of one step, the mean over as many as take a while."""
    count, start = 0, clock()
    while (spent := clock() - start) < at_least or not count:
        step()
        count += 1
    return spent / count


def peak_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def added_mb(cell: Cell, who: str, threads: int) -> float:
    """By one step, to the peak of this process, in which a smaller one has loaded what a step needs."""
    torch.set_num_threads(threads)
    for _ in range(2):
        step_of(Cell(cell.work, cell.against, min(1_000, cell.classes), min(256, cell.batch), cell.dim), who)()
    step = step_of(cell, who)
    ctypes.CDLL(None).malloc_trim(0)  # what setting up took and gave back must not hide what the step takes
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak_mb()
    step()
    return peak_mb() - before


def in_a_fresh_process(cell: Cell, who: str) -> float:
    context = multiprocessing.get_context("forkserver")  # which has imported, and done nothing else
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        return pool.submit(added_mb, cell, who, torch.get_num_threads()).result()


def measured(cell: Cell, repeats: int, at_least: float) -> Result:
    sides = ["ours", *([cell.against] if cell.against else [])]
    steps = {who: step_of(cell, who) for who in sides}
    begun = clock()
    values: list[float] = []
    taken: dict[str, list[float]] = {who: [] for who in steps}
    for who, step in steps.items():
        start = clock()
        values.append(step())
        if (spent := clock() - start) > SLOW:  # then what the first step has to load is nothing
            taken[who].append(spent)
    if cell.against in (PML, DIRECT):
        assert abs(values[0] - values[1]) <= 1e-3 * abs(values[1]), (cell, values)
    if products_of(cell):
        steps["products"], taken["products"] = products_step(cell), []
        steps["products"]()
    while not all(taken.values()) or (len(taken["ours"]) < repeats and clock() - begun < SECONDS_OF_A_ROW):
        for who, step in steps.items():
            if who == "ours" or not taken[who] or taken[who][0] < SECONDS_OF_A_ROW / 2:
                taken[who].append(seconds(step, at_least))
    ms = {who: 1000 * statistics.median(times) for who, times in taken.items()}
    del steps
    mb = {who: in_a_fresh_process(cell, who) for who in sides}
    none = float("nan")
    return Result(
        ms["ours"], mb["ours"], ms.get(cell.against, none), mb.get(cell.against, none), ms.get("products", none)
    )


def shown(number: float, form: str, after: str = "") -> str:
    return "-" if number != number else format(number, form) + after


def row(cell: Cell, result: Result) -> str:
    ratios = [result.time, result.memory] if cell in PEERS else [1 / result.time, 1 / result.memory]
    form = ".1f" if cell in PEERS else ".2f"
    cells = [cell.work, f"{cell.classes:,}" if cell.classes else "-", str(cell.batch or "-"), str(cell.dim)]
    cells += [cell.against or "-", shown(result.other_ms, ".2f"), f"{result.ms:.2f}"]
    cells += [f"**{shown(ratios[0], form, 'x')}**", shown(result.other_mb, ",.1f"), f"{result.mb:,.1f}"]
    cells += [f"**{shown(ratios[1], form, 'x')}**", shown(100 * result.products_ms / result.ms, ".0f", " %")]
    return "| " + " | ".join(cells).replace("**-**", "-") + " |"


def goal(cell: Cell, what: str, bound: float, result: Result) -> str:
    value = {"time": result.time, "memory": result.memory, "cost": 1 / result.time}[what]
    wanted = f"at most {bound:g}x the time" if what == "cost" else f"{bound:g}x less {what}"
    met = value <= bound if what == "cost" else value >= bound
    return f"| {named(cell)} | {cell.against} | {wanted} | {shown(value, '.2f', 'x')} | {'yes' if met else 'no'} |"


def never_slower(whom: str, results: dict[Cell, Result]) -> str:
    slower = [cell for cell in results if cell.against == whom and results[cell].time < 1]
    found = "; ".join(f"{named(cell)}: {results[cell].time:.2f}x" for cell in slower)
    return f"| all | {whom} | never slower | {found or 'never'} | {'no' if slower else 'yes'} |"


def named(cell: Cell) -> str:
    sizes = [f"{key} = {n:,}" for key, n in (("C", cell.classes), ("B", cell.batch), ("D", cell.dim)) if n]
    return ", ".join([cell.work, *sizes])


def report(results: dict[Cell, Result], repeats: int) -> str:
    threads = torch.get_num_threads()
    goals = [goal(cell, what, bound, results[cell]) for cell, what, bound in GOALS if cell in results]
    goals += [never_slower(whom, results) for whom in (PML, DIRECT)]
    head = "| loss | C | B | D | against | its ms | ours, ms | time | its MB | ours, MB | memory | products |"
    line = "|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|"
    return f"""# The losses: time and memory of one step

`OMP_NUM_THREADS={threads} python {" ".join(sys.argv)}`

An {platform.machine()} CPU shared with other jobs, {threads} thread(s), torch {torch.__version__}. float32, forward and
backward, four items a class. {"CPU time" if threads == 1 else "Time"}: the median of up to {repeats} turns, fewer where
a step takes long; both sides of a row take turns in one process, and give the same loss from the same numbers. Memory:
what one step adds to the peak of a fresh process, the gradients in it, tables and text vectors not. *products*: the
share of our time that the matrix products alone would take, as one call each into memory that is there. The machine is
noisy: trust the ratios, and those within a quarter.

## Against what there is

*time* and *memory* are how many times less ours takes. {PML} is asked for the same loss; *{DIRECT}* is the formula as
one would write it first. "-": not tried, as it would take more than 6 GB or a minute, or too small to tell.

{head}
{line}
{chr(10).join(row(cell, results[cell]) for cell in PEERS if cell in results)}

Adaptive additive softmax is the linear one, with {CLASS_TEXT} columns of text. The C x C matrix of its margins
is held besides what a step adds: 512 MB at C = 11,318, 4 TB at C = 1,000,000.

## What text, lines and density cost

*time* and *memory* are how many times that of the plainer loss ours takes. Text: {TRIPLET_TEXT} columns with triplets,
{CLASS_TEXT} with classes; bent is the default curve of the margins, against the linear one. Lines have two vertices.
The parts of the composed loss are adaptive additive softmax, density-aware line and proxy orthogonality, added up.

{head}
{line}
{chr(10).join(row(cell, results[cell]) for cell in COSTS if cell in results)}

## What we wanted

| loss | against | wanted | measured | met |
|---|---|---|--:|---|
{chr(10).join(goals)}

Counted in matrix products alone, {CLASS_TEXT} columns of text make 2.33x at D = 128 and 1.33x at D = 512 of a
normalized softmax, and {TRIPLET_TEXT} columns 1.34x of triplets at D = 128.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="the small sizes only")
    parser.add_argument("--only", default="", help="only losses with this in their name")
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    cells = [cell for cell in PEERS + COSTS if options.only in cell.work]
    if options.quick:
        cells = [cell for cell in cells if cell.classes <= 1_000 and cell.batch <= 64]
    results: dict[Cell, Result] = {}
    for cell in cells:
        results[cell] = measured(cell, options.repeats, 0.01 if options.quick else SECONDS)
        print(row(cell, results[cell]), flush=True)
    text = report(results, options.repeats)
    if options.to:
        options.to.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
