"""Run as a program by test_kill: forks one writer per line of stdin; the test kills them.

Starting an interpreter and importing takes above a second, so that is done once. LanceDB itself starts threads and may
not be forked: only the children import it.
"""

import os
import sys
from pathlib import Path

import lance_namespace  # noqa: F401  (most of what importing LanceDB costs)
import numpy as np
import pyarrow as pa
import pyarrow.compute
import sqlglot  # noqa: F401

DIM, BATCHES, ROWS, THUMBNAIL_BYTES = 64, 12, 50, 4000


def rows_of(batch: int, generation: int) -> pa.Table:
    """The rows of a batch as of a generation: content follows from both."""
    rng = np.random.default_rng([batch, generation])
    vectors = rng.standard_normal((ROWS, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return pa.table(
        {
            "item_id": [f"{batch}/{number}" for number in range(ROWS)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
            "thumbnail": pa.array([rng.bytes(THUMBNAIL_BYTES) for _ in range(ROWS)], pa.binary()),
            "generation": [generation] * ROWS,
        }
    )


def write(folder: str, journal: str, generation: int) -> None:
    """Change batches until killed; the journal says what was begun and what is done: batch, generation (-1: none)."""
    from lookalike.index import LanceIndex

    # Unbuffered: what is written here survives the process.
    note = os.open(journal, os.O_WRONLY | os.O_APPEND)
    os.write(note, b"open\n")
    index = LanceIndex.open(folder)
    while True:
        generation += 1
        batch = (generation * 7) % BATCHES
        rows = rows_of(batch, generation)
        changes = [generation]
        if generation % 4 == 0:
            changes = [generation, -1]
        elif generation % 7 == 0:  # to the version kept here, which holds the rows that are there now
            before = index.get([f"{batch}/0"]).column("generation").to_pylist()
            index.keep()
            changes = [generation, before[0] if before else -1]
        for number, change in enumerate(changes):
            os.write(note, f"begin {batch} {change}\n".encode())
            if number == 0:
                index.add(rows)
            elif change == -1 and generation % 4 == 0:
                index.remove(rows.column("item_id").to_pylist())
            else:
                index.rollback(index.versions[-1].number)
            os.write(note, f"done {batch} {change}\n".encode())
        if generation % 6 == 0:
            index.tidy()
        if generation % 5 == 0:
            index.optimize(approximate=True)


if __name__ == "__main__":
    folder, journal = sys.argv[1:]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                write(folder, journal, int(line))
            finally:
                with Path(journal).open("a") as file:
                    file.write("failed\n")
                os._exit(1)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("gone", flush=True)
