from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import StoredIndexError
from lookalike.index import ExactIndex
from lookalike.index.rows import RESERVED, attributes, checked, fitted, vectors_of, widened

MakeRows = Callable[..., pa.Table]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (pa.array([1, None], pa.int8()), pa.array([1, None], pa.int64())),
        (pa.array([1, 2**63 - 1], pa.uint64()), pa.array([1, 2**63 - 1], pa.int64())),
        (pa.array([1.5, None], pa.float32()), pa.array([1.5, None], pa.float64())),
        (pa.array([float("nan"), 1.0]), pa.array([None, 1.0])),
        (pa.array([Decimal("9.99"), None]), pa.array([9.99, None])),
        (pa.array(["a", None], pa.large_string()), pa.array(["a", None])),
        (pa.array(["a", None]).dictionary_encode(), pa.array(["a", None])),
        (pa.array([1, 2], pa.int8()).dictionary_encode(), pa.array([1, 2], pa.int64())),
        (pa.array([True, None]), pa.array([True, None])),
        (pa.array([date(2024, 1, 1)], pa.date64()), pa.array([date(2024, 1, 1)], pa.date32())),
        (
            pa.array([datetime(2024, 1, 1, 12, tzinfo=UTC)], pa.timestamp("ns", "Europe/Berlin")),
            pa.array([datetime(2024, 1, 1, 12)], pa.timestamp("us")),
        ),
        (pa.array([["a"], None]), pa.array([["a"], None])),
    ],
)
def test_types(given: pa.Array, stored: pa.Array) -> None:
    column = attributes(pa.table({"x": given})).column("x").combine_chunks()
    assert column.type == stored.type
    assert column.to_pylist() == stored.to_pylist()


def test_minus_zero_is_zero() -> None:
    column = attributes(pa.table({"x": [-0.0]})).column("x")
    assert str(column[0].as_py()) == "0.0"


def test_a_column_that_says_nothing_is_left_out() -> None:
    assert attributes(pa.table({"x": pa.nulls(2), "y": [1, 2]})).column_names == ["y"]


@pytest.mark.parametrize("name", ["a.b", "a`b", "a\\b", "", "a\nb", *RESERVED])
def test_names_that_cannot_be_stored(name: str) -> None:
    with pytest.raises(StoredIndexError, match="cannot be stored in an index; rename it") as caught:
        attributes(pa.table({name: [1]}))
    assert repr(name) in str(caught.value)


def test_a_name_given_twice() -> None:
    with pytest.raises(StoredIndexError, match="column 'x' is there twice; rename one"):
        attributes(pa.table([[1], [2]], names=["x", "x"]))


def test_a_number_that_does_not_fit() -> None:
    with pytest.raises(StoredIndexError, match=r"column 'x' \(uint64\) cannot be stored: .*; convert it first"):
        attributes(pa.table({"x": pa.array([2**64 - 1], pa.uint64())}))


def _with(rows: pa.Table, name: str, column: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, column)


def _vector(values: list[Any]) -> pa.Array:
    return pa.array([values], pa.list_(pa.float32(), len(values)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows.drop_columns(["vector"]), "rows for an index need a column 'vector'; these have"),
        (
            lambda rows: _with(rows, "vector", _vector([1, 0, 0])),
            "column 'vector' of an index of dimension 4 is fixed_size_list<item: float>[4], not",
        ),
        (
            lambda rows: _with(rows, "thumbnail", pa.array([1])),
            "column 'thumbnail' of an index of dimension 4 is binary",
        ),
        (lambda rows: _with(rows, "item_id", pa.array([None], pa.string())), "an item_id is empty; every row"),
        (lambda rows: pa.concat_tables([rows, rows]), "item_id 'a' is given twice in one add; give each item once"),
        (
            lambda rows: _with(rows, "vector", _vector([2, 0, 0, 0])),
            "the vector of item 'a' has length 2, not 1; embeddings must be unit vectors",
        ),
        (lambda rows: _with(rows, "vector", _vector([0, 0, 0, 0])), "the vector of item 'a' has length 0, not 1"),
        (
            lambda rows: _with(rows, "vector", _vector([np.nan, 0, 0, 1])),
            "the vector of item 'a' has length nan, not 1",
        ),
        (
            lambda rows: _with(rows, "vector", pa.array([None], pa.list_(pa.float32(), 4))),
            "a vector is missing; every row of an index needs one",
        ),
    ],
)
def test_rows_that_are_refused(change: Callable[[pa.Table], pa.Table], sentence: str, make_rows: MakeRows) -> None:
    good = make_rows(["a"])
    assert checked(good, 4).num_rows == 1
    with pytest.raises(StoredIndexError) as caught:
        checked(change(good), 4)
    assert str(caught.value).startswith(sentence)


def test_a_column_of_another_type_is_refused_by_name(make_rows: MakeRows) -> None:
    index = ExactIndex(4)
    index.add(make_rows(["a"], price=[1], color=["red"]))
    index.add(make_rows(["b"], price=[2.0]))  # a whole number after all
    index.add(make_rows(["c"], price=pa.nulls(1)))
    for wrong in ([9.99], ["cheap"], [True]):
        with pytest.raises(
            StoredIndexError, match=r"column 'price' is int64 in the index and .* in the new items; conv"
        ):
            index.add(make_rows(["a"], price=wrong))
    assert index.get(["a", "b", "c"]).column("price").to_pylist() == [1, 2, None]


def test_widened_and_fitted_keep_order(make_rows: MakeRows) -> None:
    old, new = make_rows(["a"], x=[1]), make_rows(["b"], y=["z"])
    schema = widened(old.schema, new)
    assert schema.names == ["item_id", "vector", "thumbnail", "x", "y"]
    assert fitted(new, schema).select(["x", "y"]).to_pylist() == [{"x": None, "y": "z"}]


def test_vectors_of_a_table_in_pieces(make_rows: MakeRows) -> None:
    rows = make_rows(["a", "b", "c"])
    pieces = pa.concat_tables([rows.slice(0, 1), rows.slice(1)])
    assert np.array_equal(vectors_of(pieces), vectors_of(rows))
    assert np.array_equal(vectors_of(rows.slice(1, 1))[0], vectors_of(rows)[1])
    assert vectors_of(rows.slice(0, 0)).shape == (0, 4)
