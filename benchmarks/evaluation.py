"""All figures of retrieval, ours and those of pytorch-metric-learning and open-metric-learning: time, memory, values.

    OMP_NUM_THREADS=1 python benchmarks/evaluation.py --to docs/benchmarks/evaluation.md --oml oml/bin/python

open-metric-learning asks for an older numpy, so it has an environment of its own; without --oml it is left out. Each
number comes from a fresh process, the implementations in turn; medians over the repeats. A small shared machine: trust
the ratios only.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import Tensor

OURS, ROUNDED = "ours", "ours, bfloat16"
PRODUCT = "product alone"
PEER, PEER_SET, OML = "PML, its default", "PML, k set", "OML"
#: gallery rows, dimensions, rows a class on average, noise, queries of their own (0: each row among all), repeats, who
CELLS = [
    (5_924, 128, 60, 4.0, 0, 3, (OURS, ROUNDED, PRODUCT, PEER_SET, OML, PEER)),
    (10_000, 128, 100, 4.0, 0, 3, (OURS, ROUNDED, PRODUCT, PEER_SET, OML, PEER)),
    (12_000, 128, 5, 1.5, 0, 3, (OURS, ROUNDED, PRODUCT, PEER_SET, OML)),
    (60_502, 512, 5, 3.0, 6_000, 2, (OURS, ROUNDED, PRODUCT, PEER_SET, OML)),
    (60_502, 512, 5, 3.0, 0, 1, (OURS, ROUNDED, PRODUCT)),
]
NAMES = {"precision_at_1": "Recall@1", "r_precision": "R-precision", "mean_average_precision_at_r": "MAP@R"}
#: Queries of one block of the product alone, and of PML where k is set.
BATCH = 256


def clusters(rows: int, dim: int, each: float, noise: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(int(rows / each), (rows,), generator=generator)
    centers = torch.randn(int(rows / each), dim, generator=generator)
    x = centers[labels].add_(noise * torch.randn(rows, dim, generator=generator))
    return torch.nn.functional.normalize(x), labels


def figures(who: str, x: Tensor, labels: Tensor, *gallery: Tensor) -> list[float]:
    """Recall@1, R-precision and MAP@R (OML: the first alone); ours computes Recall@K, MAP@K, nDCG and others beside."""
    if who == PRODUCT:
        y = gallery[0] if gallery else x
        held = torch.empty(min(BATCH, len(x)), len(y))
        for start in range(0, len(x), BATCH):
            rows = x[start : start + BATCH]
            torch.mm(rows, y.T, out=held[: len(rows)])
        return []
    if who in (OURS, ROUNDED):
        from lookalike.evaluation import retrieval_metrics

        found = retrieval_metrics(x, labels, *gallery, precision="float32" if who == OURS else "bfloat16")
        return [found.recall_at[1], found.r_precision, found.map_at_r]
    warnings.simplefilter("ignore")  # of their imports
    if who == OML:
        from oml.functional.knn import batched_knn
        from oml.functional.metrics import calc_retrieval_metrics

        rows, own = torch.cat([x, *gallery[:1]]), torch.arange(len(x))
        among = torch.arange(len(x), len(rows)) if gallery else own
        of = torch.cat([labels, *gallery[1:]])
        _, found, right = batched_knn(rows, own, among, top_n=8, labels_gt=of)
        counted = calc_retrieval_metrics(
            found, right, cmc_top_k=(1, 2, 4, 8), precision_top_k=(1, 2, 4, 8), verbose=False
        )
        return [float(counted["cmc"][1])]
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    all_at_once = who == PEER
    search = CustomKNN(CosineSimilarity(), batch_size=None if all_at_once else BATCH)
    calculator = AccuracyCalculator(
        include=tuple(NAMES),
        k=None if all_at_once else "max_bin_count",
        device=torch.device("cpu"),
        knn_func=search,
        kmeans_func=len,
    )
    theirs = calculator.get_accuracy(x, labels, *gallery)
    return [theirs[name] for name in NAMES]


def peak_mb() -> float:
    """Of this process alone: ru_maxrss begins at that of the process it was forked from."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def measure(who: str, rows: int, dim: int, each: float, noise: float, queries: int) -> dict[str, object]:
    figures(who, *clusters(60, dim, 5, 1.0))  # whatever is loaded or set up once
    x, labels = clusters(rows + queries, dim, each, noise)
    asked = (x[:queries], labels[:queries], x[queries:], labels[queries:]) if queries else (x, labels)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: what setting up took is given back
    before, begin = peak_mb(), time.process_time()
    values = figures(who, *asked)
    return {"seconds": time.process_time() - begin, "mb": peak_mb() - before, "values": values}


def in_a_fresh_process(python: str, who: str, *sizes: float) -> dict[str, object]:
    command = [python, __file__, "--measure", who, *map(str, sizes)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.returncode}


def lines_of(oml: str | None, *cell: object) -> list[str]:
    *sizes, repeats, all_who = cell
    all_who = [who for who in all_who if oml or who != OML]
    runs: dict[str, list[dict]] = {who: [] for who in all_who}
    for _ in range(repeats):
        for who in all_who:
            runs[who].append(in_a_fresh_process(oml if oml and who == OML else sys.executable, who, *sizes))
    rows, dim, _, _, queries = sizes
    name = f"{queries:,} in {rows:,} x {dim}" if queries else f"{rows:,} x {dim}"
    ours, product = (statistics.median(run["seconds"] for run in runs[who]) for who in (OURS, PRODUCT))
    lines = []
    for who, taken in runs.items():
        if any("failed" in run for run in taken):
            lines.append(f"| {name} | {who} | failed, code {taken[-1]['failed']} | | | | |")
            continue
        seconds, mb = (statistics.median(run[what] for run in taken) for what in ("seconds", "mb"))
        pairs = list(zip(taken[0]["values"], runs[OURS][0]["values"], strict=False))
        apart = max((abs(one - other) for one, other in pairs), default=0.0)
        assert apart <= 1e-6 or who == OML, (who, pairs)  # it takes distances of float32, not cosines
        lines.append(
            f"| {name} | {who} | {seconds:.2f} | {seconds / product:.2f}x | {seconds / ours:.2f}x | {mb:.0f} "
            f"| {f'{apart:.0e}' if pairs else '-'} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path)
    parser.add_argument("--oml", help="the Python of an environment with open-metric-learning")
    parser.add_argument("--cells", type=int, nargs="+", default=list(range(len(CELLS))))
    parser.add_argument("--measure", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        who, rows, dim, each, noise, queries = options.measure
        print(json.dumps(measure(who, int(rows), int(dim), float(each), float(noise), int(queries))))
        return
    lines = [
        "# Evaluation: time and memory of all figures of retrieval",
        "",
        f"`OMP_NUM_THREADS={torch.get_num_threads()} python {' '.join(sys.argv)}`",
        "",
        f"A 2-core {platform.machine()} CPU shared with others, {torch.get_num_threads()} thread(s), torch "
        f"{torch.__version__}. Drawn clusters, cosines, every row a query among all others but where queries are "
        "named. Fresh processes in turn, medians of 3 (60,502: of 2 and 1), seconds of CPU time; memory is what a run "
        "adds to the peak beside the embeddings, our copy of their unit rows included. 'Difference' is the largest of "
        "Recall@1, R-precision and MAP@R to ours; ours makes Recall, precision, MAP, nDCG and MRR at 1, 2, 4 and 8 as "
        "well, in an order to the last digit. PML: pytorch-metric-learning's `AccuracyCalculator` with "
        "`CustomKNN(CosineSimilarity())`, by default with all neighbors of all queries at once, or with "
        f'`k="max_bin_count"` in batches of {BATCH}. OML: open-metric-learning\'s `batched_knn` of 8 neighbors and '
        "`calc_retrieval_metrics` with cmc, precision and map; it has neither R-precision nor MAP@R; its difference "
        "is that of Recall@1, in which it counts queries whose class has nothing else as wrong (ours and PML leave "
        f"them out). The product alone is float32 in blocks of {BATCH} queries.",
        "",
        "| embeddings | who | seconds | to the product | to ours | MB added | difference |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    print("\n".join(lines), flush=True)
    for number in options.cells:
        found = lines_of(options.oml, *CELLS[number])
        print("\n".join(found), flush=True)
        lines += found
    if options.to:
        options.to.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
