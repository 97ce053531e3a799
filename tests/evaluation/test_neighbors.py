"""Nearest neighbors against brute force, with what is left out, and in blocks of any size."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation import neighbors
from lookalike.evaluation.neighbors import nearest


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
    matmul = Tensor.__matmul__
    monkeypatch.setattr(Tensor, "__matmul__", lambda a, b: held.append(a.shape[0] * b.shape[1]) or matmul(a, b))
    monkeypatch.setattr(neighbors, "BLOCK", 60)
    nearest(generic(11), generic(20), 2)
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
