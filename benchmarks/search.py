"""Search in many vectors: this index beside faiss, hnswlib and qdrant, each in a process of its own, one thread.

    python benchmarks/search.py --rows 200000 --peers venv/bin/python --to docs/benchmarks/search.md

`--peers` is the Python of a virtual environment with faiss-cpu, hnswlib and qdrant-client; without it the peers are
left out. Qdrant is the one that runs inside a program (its client's local mode), which reads every row.
The vectors are made: clusters of about 50, as the pictures of a product are; the queries are new members of them. Every
engine is asked in ways of growing effort until recall@10 reaches the target; that way is timed, one query at a time:
300 of them, or as many as 90 s allow. "lookalike" asks the vector index of LanceDB, "in memory" keeps the rows there
(as an index does by itself while they are few enough, docs/search.md; else it is left out), and "every row" reads them
from disk for each query. CPU is that of all threads, a query. The filter leaves a fifth of the rows. Memory is the peak
of the process over what it had with the vectors loaded.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

K, TARGET, QUERIES, FILTER = 10, 0.99, 300, "price < 20"
#: An engine that takes so long in all is asked no more of the queries, ms.
MOST_MS = 90_000
OURS = ["lookalike", "lookalike, in memory", "lookalike, every row"]
ENGINES = [*OURS, "faiss Flat", "faiss IVF", "qdrant", "hnswlib", "faiss HNSW"]
ARRAYS = ["vectors", "prices", "queries", "best", "best_filtered"]
#: Answers one query, with the filter or without: row numbers.
Ask = Callable[[np.ndarray, bool], list[int]]


def made(rows: int, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors [rows, dim], prices [rows] and queries [QUERIES, dim]."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((rows // 50, dim), dtype=np.float32)

    def draw(count: int) -> np.ndarray:
        points = centers[rng.integers(0, len(centers), count)]
        points += np.float32(0.7) * rng.standard_normal((count, dim), dtype=np.float32)
        return points / np.linalg.norm(points, axis=1, keepdims=True)

    return draw(rows), rng.integers(0, 100, rows), draw(QUERIES)


def truth(vectors: np.ndarray, queries: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Row numbers of the K best of the allowed rows, [queries, K]."""
    rows = np.flatnonzero(allowed)
    parts = [queries[start : start + 20] @ vectors.T for start in range(0, len(queries), 20)]
    return np.concatenate([rows[np.argpartition(-part[:, rows], K, axis=1)[:, :K]] for part in parts])


# --- the engines: build, then ways of asking, of growing effort ---


def lookalike(vectors: np.ndarray, prices: np.ndarray, kind: str) -> tuple[float, list[tuple[str, Ask]]]:
    import pyarrow as pa

    from lookalike.index import LanceIndex, resident

    if kind == "every row":
        resident.MOST_BYTES = 0
    rows, dim = vectors.shape
    folder = tempfile.mkdtemp(prefix="lookalike.search.")
    table = pa.table(
        {
            "item_id": [str(row) for row in range(rows)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim),
            "thumbnail": pa.nulls(rows, pa.binary()),
            "price": prices,
        }
    )
    index = LanceIndex.create(folder, dim)
    start = time.perf_counter()
    for first in range(0, rows, 50_000):
        index.add(table.slice(first, 50_000))
    plan = index.optimize(approximate=not kind)
    if kind == "in memory":
        index.search(vectors[:2], K)  # loads them
    seconds = time.perf_counter() - start
    how = "all" if plan is None else f"probes {plan.probes} of {plan.clusters}, refine {plan.refine}"

    def ask(query: np.ndarray, filtered: bool) -> list[int]:
        return [int(hit.item_id) for hit in index.search(query[None], K, FILTER if filtered else None)[0]]

    return seconds, [(how, ask)]


def faiss(vectors: np.ndarray, prices: np.ndarray, kind: str) -> tuple[float, list[tuple[str, Ask]]]:
    import faiss

    faiss.omp_set_num_threads(1)
    rows, dim = vectors.shape
    clusters = int(4 * rows**0.5)
    start = time.perf_counter()
    if kind == "Flat":
        index: Any = faiss.IndexFlatIP(dim)
    elif kind == "HNSW":
        index = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
    else:
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, clusters, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, rows // (64 * clusters))])
    index.add(vectors)
    seconds = time.perf_counter() - start
    chosen = faiss.IDSelectorBatch(np.flatnonzero(prices < 20))

    def way(**effort: int) -> Ask:
        settings = {
            "Flat": faiss.SearchParameters, "HNSW": faiss.SearchParametersHNSW, "IVF": faiss.SearchParametersIVF,
        }[kind]  # fmt: skip

        def ask(query: np.ndarray, filtered: bool) -> list[int]:
            asked = settings(sel=chosen, **effort) if filtered else settings(**effort)
            return [int(row) for row in index.search(query[None], K, params=asked)[1][0]]

        return ask

    if kind == "Flat":
        return seconds, [("all", way())]
    name = "efSearch" if kind == "HNSW" else "nprobe"
    return seconds, [(f"{name} {effort}", way(**{name: effort})) for effort in (8, 16, 32, 64, 128, 256, 512, 1024)]


def hnswlib(vectors: np.ndarray, prices: np.ndarray) -> tuple[float, list[tuple[str, Ask]]]:
    import hnswlib

    rows, dim = vectors.shape
    start = time.perf_counter()
    index = hnswlib.Index(space="ip", dim=dim)
    index.init_index(max_elements=rows, ef_construction=200, M=32)
    index.set_num_threads(1)
    index.add_items(vectors)
    seconds = time.perf_counter() - start
    allowed = prices < 20

    def way(effort: int) -> Ask:
        def ask(query: np.ndarray, filtered: bool) -> list[int]:
            index.set_ef(effort)
            keep = (lambda row: bool(allowed[row])) if filtered else None
            return [int(row) for row in index.knn_query(query[None], K, filter=keep)[0][0]]

        return ask

    return seconds, [(f"ef {effort}", way(effort)) for effort in (16, 32, 64, 128, 256, 512)]


def qdrant(vectors: np.ndarray, prices: np.ndarray) -> tuple[float, list[tuple[str, Ask]]]:
    import warnings

    from qdrant_client import QdrantClient, models

    warnings.simplefilter("ignore")  # that this many rows are many for it
    rows, dim = vectors.shape
    client = QdrantClient(":memory:")
    start = time.perf_counter()
    client.create_collection("rows", models.VectorParams(size=dim, distance=models.Distance.DOT))
    client.upload_collection("rows", vectors, ({"price": price} for price in prices.tolist()), ids=range(rows))
    seconds = time.perf_counter() - start
    cheap = models.Filter(must=[models.FieldCondition(key="price", range=models.Range(lt=20))])

    def ask(query: np.ndarray, filtered: bool) -> list[int]:
        found = client.query_points("rows", query=query, limit=K, query_filter=cheap if filtered else None)
        return [int(point.id) for point in found.points]

    return seconds, [("all", ask)]


def build(engine: str, vectors: np.ndarray, prices: np.ndarray) -> tuple[float, list[tuple[str, Ask]]]:
    name, _, kind = engine.partition(" ")
    if name == "faiss":
        return faiss(vectors, prices, kind)
    if name == "hnswlib":
        return hnswlib(vectors, prices)
    if name == "qdrant":
        return qdrant(vectors, prices)
    return lookalike(vectors, prices, engine.partition(", ")[2])


def peak_mb() -> float:
    """The most memory this program had (the figure of `resource` begins with that of the program that started it)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measured(engine: str, folder: Path) -> dict[str, Any]:
    """What one engine does, in this process."""
    vectors, prices, queries, *best = (np.load(folder / f"{name}.npy") for name in ARRAYS)
    before = peak_mb()
    seconds, ways = build(engine, vectors, prices)
    row: dict[str, Any] = {"engine": engine, "build": seconds}
    row["memory"] = peak_mb() - before
    for filtered in (False, True):
        for how, ask in ways:
            times, found, cpu = [], [], time.process_time()
            for query in queries:
                start = time.perf_counter()
                found.append(ask(query, filtered))
                times.append(1000 * (time.perf_counter() - start))
                if sum(times) > MOST_MS:
                    break
            cpu = time.process_time() - cpu
            truths = best[filtered][: len(found)].tolist()
            shares = [len(set(truly) & set(got)) / K for truly, got in zip(truths, found, strict=True)]
            row["filtered" if filtered else "plain"] = {
                "how": how, "recall": float(np.mean(shares)), "mean": float(np.mean(times)),
                "cpu": 1000 * cpu / len(times), "p50": float(np.median(times)), "p99": float(np.quantile(times, 0.99)),
            }  # fmt: skip
            if np.mean(shares) >= TARGET:
                break
    return row


def line(row: dict[str, Any]) -> str:
    plain, filtered = row["plain"], row["filtered"]
    cells = [row["engine"], f"{row['build']:.1f}", f"{row['memory']:,.0f}"]
    for part in (plain, filtered):
        cells += [part["how"], f"{part['recall']:.3f}", f"{part['cpu']:.1f}", f"{part['p50']:.1f}"]
        cells += [f"{part['p99']:.1f}", f"{1000 / part['mean']:,.0f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--peers", help="Python with faiss-cpu, hnswlib and qdrant-client")
    parser.add_argument("--to", type=Path, help="Markdown file to write")
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine:
        print(json.dumps(measured(given.engine, given.data)))
        return

    lines = [
        "| engine | build, s | memory, MB | asked | recall@10 | CPU, ms | p50, ms | p99, ms | queries/s "
        "| filtered: asked | recall@10 | CPU, ms | p50, ms | p99, ms | queries/s |",
        "|---|--:|--:|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|",
    ]
    with tempfile.TemporaryDirectory(prefix="search.") as folder:
        vectors, prices, queries = made(given.rows, given.dim)
        best = [truth(vectors, queries, allowed) for allowed in (prices >= 0, prices < 20)]
        for name, array in zip(ARRAYS, (vectors, prices, queries, *best), strict=True):
            np.save(Path(folder) / f"{name}.npy", array)
        del vectors, best
        print("\n".join(lines))
        for engine in given.engines:
            python = sys.executable if engine.startswith("lookalike") else given.peers
            if python is None:
                continue
            command = [python, __file__, "--engine", engine, "--data", folder]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "LANCE_CPU_THREADS": "1", "TMPDIR": folder}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            lines.append(line(json.loads(done.stdout.splitlines()[-1])))
            print(lines[-1], flush=True)
    if given.to:
        head = f"# Search in {given.rows:,} x {given.dim} vectors\n\n" + (__doc__ or "").split("\n", 2)[2]
        machine = f"\n{platform.machine()}, {os.cpu_count()} cores, shared with other programs, Python "
        given.to.write_text(head + machine + platform.python_version() + "\n\n" + "\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
