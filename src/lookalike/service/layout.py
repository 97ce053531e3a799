"""The map of an index, made in a process of its own that gives way to all others: `python -m` this INDEX FILE."""

import base64
import json
import os
import sys
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.evaluation.maps import FEWEST, SIDE, layout
from lookalike.files import write_text
from lookalike.index.lance import TABLE
from lookalike.index.rows import ITEM_ID, VECTOR, spread, vectors_of
from lookalike.service.columns import describe

#: Items on a map; of a larger index an even sample. At 512 dimensions their vectors take 200 MB here.
MOST = 100_000


def make_map(folder: Path, file: Path) -> None:
    """Write the map of the index in `folder` as the JSON that the service answers (`schemas.Map`)."""
    choices = {c.name: c.values for c in describe(folder) if c.values and c.distinct > 1 and c.name != ITEM_ID}
    table = lancedb.connect(folder).open_table(TABLE)
    total = table.count_rows()
    columns = [ITEM_ID, VECTOR, *choices]
    if total > MOST:
        rows = table.take_offsets(spread(total, MOST).tolist()).select(columns).to_arrow()
    else:
        rows = table.search().select(columns).to_arrow()
    places = layout(vectors_of(rows)) if rows.num_rows >= FEWEST else np.zeros((rows.num_rows, 2))
    said = {
        "state": "ready",
        "items": rows.num_rows,
        "of": total,
        "ids": rows.column(ITEM_ID).to_pylist(),
        "places": _base64(np.round(places * SIDE).astype("<u2")),
        "columns": [
            {"name": name, "values": values, "codes": _base64(_codes(rows.column(name), values))}
            for name, values in choices.items()
            if values
        ],
    }
    write_text(file, json.dumps(said))


def _codes(column: pa.ChunkedArray, values: list[str]) -> np.ndarray:
    """The number of each row's value, 255 where there is none: uint8 [N]."""
    numbers = pc.fill_null(pc.index_in(column, value_set=pa.array(values)), 255)
    return np.asarray(numbers.to_numpy(), dtype=np.uint8)


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


if __name__ == "__main__":
    os.nice(10)
    make_map(Path(sys.argv[1]), Path(sys.argv[2]))
