"""Rows for indexes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

MakeRows = Callable[..., pa.Table]


def make_rows_of(ids: Sequence[str], dim: int = 4, vectors: Any = None, **attributes: Any) -> pa.Table:
    """Rows with these ids; the vectors are given (any length but zero) or follow from the ids."""
    if vectors is None:
        vectors = [np.random.default_rng(list(item.encode())).standard_normal(dim) for item in ids]
    matrix = np.asarray(vectors, dtype=np.float64).reshape(len(ids), dim)
    matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    return pa.table(
        {
            "item_id": pa.array(ids, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel(), pa.float32()), dim),
            "thumbnail": pa.array([f"picture of {item}".encode() for item in ids], pa.binary()),
            **attributes,
        }
    )


@pytest.fixture(scope="session")
def make_rows() -> MakeRows:
    return make_rows_of
