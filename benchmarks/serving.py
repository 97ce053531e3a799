"""How many searches a second the service answers, and how long each takes, with 1, 8, 32 and 96 clients at once.

    OMP_NUM_THREADS=1 python benchmarks/serving.py --to docs/benchmarks/serving.md

The clients run beside the service on the same machine and take part of it. Every picture asked with is another one, so
that no answer is one given before. 96 clients are more than may wait: who is told to come back does so a second later.
"""

import argparse
import io
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import pyarrow as pa
from PIL import Image

BACKBONE, IMAGE_SIZE, DIM = "mobilenetv3_small_100", 224, 128
CLIENTS = (1, 8, 32, 96)


def make_index(folder: Path, rows: int) -> None:
    """Random unit vectors: to the index all are alike, and nobody looks at the answers."""
    from lookalike import Encoder, Index
    from lookalike.index import LanceIndex

    Index.create(folder, Encoder.create(BACKBONE, DIM, pretrained=False, image_size=IMAGE_SIZE))
    stored, rng = LanceIndex.open(folder), np.random.default_rng(0)
    for start in range(0, rows, 20_000):
        count = min(20_000, rows - start)
        vectors = rng.standard_normal((count, DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        table = {
            "item_id": [f"item-{start + row}" for row in range(count)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
            "thumbnail": pa.nulls(count, pa.binary()),
            "price": rng.integers(5, 200, count),
        }
        stored.add(pa.table(table))
    if stored.is_optimizing_due:  # as `Index.add` sees to
        stored.optimize()


def photo(number: int) -> bytes:
    """A JPEG of 640 x 480 px, about 60 KB; another one for each number."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 255, (30, 40, 3), np.uint8))
    encoded = io.BytesIO()
    small.resize((640, 480), Image.Resampling.BICUBIC).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


Times = dict[int, list[float]]


def ask(address: str, what: str, clients: int, seconds: float, rows: int) -> tuple[Times, float]:
    """Times of the answers by status, and how long it all took."""
    photos = [photo(number) for number in range(64)] if what == "picture" else []

    def one_client(place: int) -> Times:
        times: Times = {}
        turn = 0
        with httpx2.Client(base_url=address, timeout=60, trust_env=False) as client:
            end = time.perf_counter() + seconds
            while (begun := time.perf_counter()) < end:
                number = place + turn * clients
                turn += 1
                if what == "picture":
                    # Whatever follows the end of a JPEG changes nothing but its hash.
                    file = photos[number % 64] + number.to_bytes(8, "little")
                    answer = client.post("/search", files={"image": file}, data={"k": "24"})
                elif what == "item":
                    answer = client.post("/search", json={"item_id": f"item-{number % rows}", "k": 24})
                else:
                    question = {"item_id": f"item-{number % rows}", "k": 24, "where": "price < 50"}
                    answer = client.post("/search", json=question)
                times.setdefault(answer.status_code, []).append(time.perf_counter() - begun)
                if answer.status_code == 429:
                    time.sleep(float(answer.headers["retry-after"]))
        return times

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(one_client, range(clients)))
    statuses = {status for times in found for status in times}
    return {
        status: [one for times in found for one in times.get(status, [])] for status in statuses
    }, time.perf_counter() - begun


def cpu_seconds(process: int) -> float:
    """What a process has used so far, of all cores (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(process: int, address: str, what: str, clients: int, seconds: float, rows: int) -> str:
    before = cpu_seconds(process)
    # The clients have a process of their own, as the service has.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        times, taken = pool.apply(ask, (address, what, clients, seconds, rows))
    answered, refused = times.pop(200), times.pop(429, [])
    cpu = 1000 * (cpu_seconds(process) - before) / len(answered)
    errors = sum(map(len, times.values()))
    return (
        f"| {what} | {clients} | {len(answered) / taken:.0f} | {share(answered, 50)} | {share(answered, 99)} "
        f"| {cpu:.0f} | {len(refused)} | {share(refused, 50)} | {share(refused, 99)} | {errors} |"
    )


def share(times: list[float], percent: int) -> str:
    """A quantile in ms."""
    return f"{1000 * float(np.quantile(times, percent / 100)):.0f}" if times else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    lines = [
        "# Serving: searches a second, and how long each takes",
        "",
        f"`OMP_NUM_THREADS=1 python {' '.join(sys.argv)}`",
        "",
        f"A {os.cpu_count()}-core {platform.machine()} CPU (load before: {os.getloadavg()[0]:.1f}), service and "
        f"clients share it. {options.rows:,} items of {DIM} dimensions, {BACKBONE} at {IMAGE_SIZE} px, pictures of "
        f"640 x 480 px, k = 24, {options.seconds:g} s each, no two questions alike, every client asks as fast as it is "
        "answered. "
        "Where others use the machine too, the CPU time an answer takes is the figure to trust.",
        "",
        "| search by | clients | answers/s | p50 ms | p99 ms | CPU ms, service | told to come back (429) | p50 ms "
        "| p99 ms | errors |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        make_index(index, options.rows)
        command = [sys.executable, "-m", "lookalike", "serve", str(index), "--port", "0"]
        service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert service.stdout is not None
            found = re.search(r"http://\S+", service.stdout.readline())
            assert found
            print("\n".join(lines), flush=True)
            for what in ("picture", "item", "item, price < 50"):
                for clients in CLIENTS:
                    lines.append(row(service.pid, found[0], what, clients, options.seconds, options.rows))
                    print(lines[-1], flush=True)
        finally:
            service.terminate()
            service.wait()
    if options.to:
        options.to.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
