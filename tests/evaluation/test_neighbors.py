"""Nearest neighbors against brute force, with what is left out, and in blocks of any size."""

from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation import neighbors
from lookalike.evaluation.cosines import Precision, error_bound, product, unit_rows
from lookalike.evaluation.neighbors import largest, nearest, neighbor_blocks
from lookalike.index import ExactIndex

PRECISIONS = get_args(Precision)


def generic(rows: int, dim: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))


def brute_force(queries: Tensor, gallery: Tensor, k: int, exclude: Tensor | None = None) -> tuple[list, list]:
    """One query at a time, in float64, every cosine from its definition."""
    numbers, cosines = [], []
    for place, query in enumerate(queries.double().numpy()):
        found = []
        for number, row in enumerate(gallery.double().numpy()):
            if exclude is None or number != exclude[place]:
                found.append((query @ row / np.linalg.norm(query) / np.linalg.norm(row), number))
        found = sorted(found, reverse=True)[:k]
        numbers.append([number for _, number in found])
        cosines.append([cosine for cosine, _ in found])
    return numbers, cosines


@pytest.mark.parametrize("k", [1, 3, 20])
def test_equals_brute_force(k: int) -> None:
    queries, gallery = 100 * generic(7), generic(20, seed=1) * torch.logspace(-3, 3, 20)[:, None]
    numbers, cosines = nearest(queries, gallery, k)
    expected, near = brute_force(queries, gallery, k)
    assert numbers.tolist() == expected and numbers.dtype == torch.int64
    np.testing.assert_allclose(cosines.numpy(), near, atol=1e-6)
    assert cosines.dtype == torch.float32


def test_each_query_left_out_of_its_own_result() -> None:
    x = generic(20)
    itself = torch.arange(20)
    numbers, _ = nearest(x, x, 19, exclude=itself)
    assert numbers.tolist() == brute_force(x, x, 19, itself)[0]
    assert all(number not in row for number, row in enumerate(numbers.tolist()))


def test_the_query_is_left_out_by_its_number_and_not_by_its_value() -> None:
    x = generic(6)
    x[4] = x[1]  # the same picture twice
    numbers, cosines = nearest(x, x, 1, exclude=torch.arange(6))
    assert numbers[1].item() == 4 and numbers[4].item() == 1
    assert cosines[1].item() == pytest.approx(1)


def test_any_row_can_be_left_out() -> None:
    x = generic(6)
    exclude = torch.tensor([3, 0])
    numbers, _ = nearest(x[:2], x, 5, exclude=exclude)
    assert numbers.tolist() == brute_force(x[:2], x, 5, exclude)[0]
    assert 0 in numbers[0].tolist() and 3 not in numbers[0].tolist()


@pytest.mark.parametrize("block", [1, 20, 41, 60, 10_000])
@pytest.mark.parametrize("among_themselves", [False, True])
def test_the_size_of_a_block_changes_nothing(
    block: int, among_themselves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = generic(20)
    queries, exclude = (gallery, torch.arange(20)) if among_themselves else (generic(11, seed=1), None)
    expected, near = nearest(queries, gallery, 4, exclude=exclude)
    monkeypatch.setattr(neighbors, "BLOCK", block)
    numbers, cosines = nearest(queries, gallery, 4, exclude=exclude)
    assert torch.equal(numbers, expected)
    torch.testing.assert_close(cosines, near, atol=1e-6, rtol=0)


def test_the_size_of_a_block_bounds_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    product = neighbors.product
    monkeypatch.setattr(neighbors, "product", lambda x, y, p, out: held.append(out.numel()) or product(x, y, p, out))
    monkeypatch.setattr(neighbors, "PER_CANDIDATE", 1)
    found = nearest(generic(11), generic(20), 2)
    assert held == [11 * 20]
    held.clear()
    monkeypatch.setattr(neighbors, "BLOCK", 3 * (20 + 10))  # 10 candidates: 2 and 8 more
    assert torch.equal(nearest(generic(11), generic(20), 2)[0], found[0])
    assert held == [60, 60, 60, 40]


@pytest.mark.parametrize("length", [1e-38, 1e-30, 1e-14, 1e14, 1e30])
def test_very_short_and_very_long_rows_count_by_their_direction(length: float) -> None:
    gallery = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    gallery[1] *= length
    numbers, cosines = nearest(torch.tensor([[3.0, 4.0]]) * length, gallery, 3)
    assert numbers.tolist() == [[1, 2, 0]]
    assert cosines[0].tolist() == pytest.approx([1, 0.8, 0.6], abs=1e-6)


def test_half_precision_is_made_whole_first() -> None:
    x = generic(20).bfloat16()
    assert nearest(x, x, 3)[0].tolist() == brute_force(x.float(), x.float(), 3)[0]


def test_nothing_asked_nothing_found() -> None:
    numbers, cosines = nearest(torch.zeros(0, 5), generic(4), 3)
    assert numbers.shape == cosines.shape == (0, 3)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize(("what", "row"), [("query", 2), ("gallery", 1)])
def test_rows_without_a_direction_are_refused(bad: float, what: str, row: int) -> None:
    queries, gallery = generic(4), generic(5)
    (queries if what == "query" else gallery)[row] = bad
    sentence = (
        f"1 {what} embeddings are zero or not finite, the first in row {row}; the model has collapsed or diverged: "
        "train again with smaller learning rates"
    )
    with pytest.raises(EvaluationError, match=sentence):
        nearest(queries, gallery, 2)


def test_one_bad_number_in_a_row_is_enough() -> None:
    x = generic(4)
    x[3, 2] = float("nan")
    x[1, 0] = float("-inf")
    with pytest.raises(EvaluationError, match="2 query embeddings are zero or not finite, the first in row 1"):
        nearest(x, generic(4), 1)


@pytest.mark.parametrize(("k", "exclude", "most"), [(0, False, 5), (6, False, 5), (5, True, 4), (-1, True, 4)])
def test_k_out_of_range_is_refused(k: int, exclude: bool, most: int) -> None:
    x = generic(5)
    with pytest.raises(EvaluationError, match=rf"k must lie in 1\.\.{most} for a gallery of 5, not {k}"):
        nearest(x, x, k, exclude=torch.arange(5) if exclude else None)


def by_definition(queries: Tensor, gallery: Tensor, k: int, exclude: Tensor | None = None) -> list[list[int]]:
    """The order promised: float32 unit rows, cosines in float64, equal ones by number."""
    x, y = (unit_rows(rows, "query").double().numpy() for rows in (queries, gallery))
    orders = []
    for place, query in enumerate(x):
        numbers = [n for n in range(len(y)) if exclude is None or n != exclude[place]]
        orders.append(sorted(numbers, key=lambda n: (-round(float((y[n] * query).sum()), 12), n))[:k])
    return orders


def few_directions(rows: int, seed: int = 0, dim: int = 3) -> Tensor:
    """Most rows have twins, and some lie nearer to each other than float32 can tell."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((5, dim))
    directions[3] = directions[2] + 2e-7 * directions[0]
    directions[4] = directions[2] + 1e-3 * directions[0]
    return torch.from_numpy(directions[rng.integers(0, 5, rows)]).float()


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 60), st.integers(1, 60), st.integers(0, 10**6), st.booleans(), st.sampled_from(PRECISIONS))
def test_equal_cosines_come_in_the_order_of_their_numbers(
    rows: int, k: int, seed: int, among_themselves: bool, precision: Precision
) -> None:
    gallery = few_directions(rows, seed)
    queries, exclude = (gallery, torch.arange(rows)) if among_themselves else (generic(4, 3, seed), None)
    k = min(k, rows - among_themselves)
    expected = by_definition(queries, gallery, k, exclude)
    found = {
        row: numbers
        for block in neighbor_blocks(
            queries, gallery, torch.full((len(queries),), k), exclude=exclude, precision=precision
        )
        for row, numbers in zip(block.rows.tolist(), block.numbers.tolist(), strict=True)
    }
    assert [found[row] for row in range(len(queries))] == expected


@pytest.mark.parametrize("slack", [0, 1, 8])
@pytest.mark.parametrize("block", [1, 3000, 10**6])
def test_a_crowd_of_ties_is_cut_by_number_whatever_the_blocks(
    block: int, slack: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbors, "BLOCK", block)
    monkeypatch.setitem(neighbors.SLACK, "float32", slack or 1)
    gallery = few_directions(700, seed=3, dim=40)
    numbers, cosines = nearest(gallery[:9], gallery, 20, exclude=torch.arange(9))
    assert numbers.tolist() == by_definition(gallery[:9], gallery, 20, torch.arange(9))
    assert (numbers[:, 1:] > numbers[:, :-1]).all() and (cosines > 1 - 1e-6).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("factor", [1, 300])
def test_errors_within_the_bound_change_nothing_and_larger_ones_do(
    precision: Precision, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst product that keeps its promise: errors as large as allowed, signs by chance."""
    gallery = torch.cat([generic(300, 16, 1), generic(300, 16, 1) + 1e-4 * generic(300, 16, 2)])
    right, noise = product, torch.Generator().manual_seed(0)
    error = factor * (error_bound(16, precision) - error_bound(16, "float32") * (precision == "bfloat16"))

    def wrong(x: Tensor, y: Tensor, precision: Precision, out: Tensor) -> None:
        right(x.double(), y.double(), "float32", exact := torch.empty(out.shape, dtype=torch.float64))
        out.copy_(exact + error * (torch.rand(out.shape, generator=noise).round() * 2 - 1))

    def found() -> Tensor:
        asked = neighbor_blocks(gallery, gallery, torch.full((600,), 7), exclude=torch.arange(600), precision=precision)
        numbers = torch.empty(600, 7, dtype=torch.int64)
        for block in asked:
            numbers[block.rows] = block.numbers
        return numbers

    expected = found()
    monkeypatch.setattr(neighbors, "product", wrong)
    assert torch.equal(found(), expected) == (factor == 1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dim", [1, 16, 384])
def test_the_error_bound_holds(dim: int, precision: Precision) -> None:
    x, y = (unit_rows(generic(200, dim, seed), "query") for seed in (0, 1))
    out = torch.empty(200, 200)
    product(x, y, precision, out)
    assert (out.double() - x.double() @ y.double().T).abs().max() <= error_bound(dim, precision)


def test_the_precision_of_products_elsewhere_is_left_alone() -> None:
    before = torch.get_float32_matmul_precision()
    list(neighbor_blocks(generic(4), generic(5), torch.full((4,), 2), precision="bfloat16"))
    assert torch.get_float32_matmul_precision() == before


def test_equals_the_exact_index_of_searches() -> None:
    gallery, queries = few_directions(300, seed=1, dim=8), generic(10, 8, 2)
    index = ExactIndex(8)
    ids = pa.array([f"{number:04}" for number in range(300)])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(unit_rows(gallery, "gallery").flatten().numpy()), 8)
    index.add(pa.table({"item_id": ids, "vector": vectors, "thumbnail": pa.nulls(300, pa.binary())}))
    hits = index.search(queries.numpy(), 30)
    numbers, cosines = nearest(queries, gallery, 30)
    assert [[int(hit.item_id) for hit in row] for row in hits] == numbers.tolist()
    np.testing.assert_allclose([[hit.score for hit in row] for row in hits], cosines, atol=1e-6)


def test_each_query_gets_the_depth_it_needs() -> None:
    x, depths = generic(30), torch.arange(30) % 7
    seen = {}
    for rows, numbers, cosines in neighbor_blocks(x, x, depths, exclude=torch.arange(30), block=100):
        assert numbers.shape == cosines.shape and numbers.shape[1] >= int(depths[rows].max())
        seen |= dict(zip(rows.tolist(), numbers.tolist(), strict=True))
    assert sorted(seen) == [row for row in range(30) if row % 7]
    expected = brute_force(x, x, 29, torch.arange(30))[0]
    assert all(numbers == expected[row][: len(numbers)] for row, numbers in seen.items())


def test_a_query_does_not_see_its_group() -> None:
    x, groups = generic(12), torch.arange(12) % 3
    blocks = list(neighbor_blocks(x, x, torch.full((12,), 10), groups=(groups, groups)))
    assert sum(len(block.rows) for block in blocks) == 12
    for rows, numbers, cosines in blocks:
        for row, found, near in zip(rows.tolist(), numbers.tolist(), cosines, strict=True):
            seen = [number for number in range(12) if groups[number] != groups[row]]
            order = sorted(seen, key=lambda n: -torch.cosine_similarity(x[row], x[n], dim=0))
            assert found == [*order, -1, -1]
            assert (near[8:] == -torch.inf).all()


@pytest.mark.parametrize(("columns", "k"), [(64, 5), (64 * 40, 3), (64 * 40, 11), (64 * 400, 11)])
def test_the_largest_are_those_of_topk(columns: int, k: int) -> None:
    scores = torch.randn(9, columns).round(decimals=1)
    values, numbers = largest(scores, k)
    assert torch.equal(values, scores.topk(k, dim=1).values)
    assert torch.equal(scores.gather(1, numbers), values)
    assert all(len(set(row)) == k for row in numbers.tolist())
