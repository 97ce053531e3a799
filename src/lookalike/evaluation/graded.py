"""Neighbors that are more or less right: the share that agrees in each attribute, and nDCG of grades."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation.cosines import Precision, unit_rows
from lookalike.evaluation.neighbors import BLOCK, neighbor_blocks
from lookalike.evaluation.relevance import UNLABELED

Array = np.ndarray | Tensor
#: The grades, at least 0, of all gallery rows for some queries: row numbers int64 [b] -> [b, G].
Grades = Callable[[Tensor], Tensor]


def attribute_precision(
    embeddings: Array, attributes: Mapping[str, Array], k: int = 10, *, precision: Precision = "float32"
) -> dict[str, np.ndarray]:
    """The share of each item's k nearest that agree with it in an attribute; all attributes in one pass.

    Args:
        embeddings: [N, D]; each item searches all others.
        attributes: name -> integers [N], -1 where unknown. An unknown neighbor does not agree.
        k: neighbors looked at.
        precision: as in `retrieval_metrics`.

    Returns:
        name -> float64 [N], its mean is the figure (`np.nanmean`); NaN where the item's own attribute is unknown.

    Raises:
        EvaluationError: attributes that are not [N], or k not in 1..N - 1.
    """
    x = torch.as_tensor(embeddings)
    values = {name: torch.as_tensor(column).to(x.device) for name, column in attributes.items()}
    for name, column in values.items():
        if column.shape != x.shape[:1]:
            raise EvaluationError(
                f"attribute {name!r} has shape {tuple(column.shape)}, not one value for {len(x)} items"
            )
    shares = {name: np.full(len(x), np.nan) for name in values}
    for rows, numbers, _ in neighbor_blocks(
        x, x, _depths(len(x), len(x) - 1, k), exclude=torch.arange(len(x), device=x.device), precision=precision
    ):
        for name, column in values.items():
            own = column[rows]
            agree = (column[numbers] == own[:, None]).double().mean(dim=1)
            shares[name][rows.cpu().numpy()] = torch.where(own == UNLABELED, torch.nan, agree).cpu().numpy()
    return shares


def graded_ndcg(
    queries: Array, gallery: Array | None, grades: Grades, k: int = 10, *, precision: Precision = "float32"
) -> np.ndarray:
    """nDCG@K per query: the sum of grade / log2(rank + 1) over the first K, over that of the best order there is.

    Args:
        queries: [Q, D].
        gallery: [G, D]; without it the queries search among themselves, each left out of its own result.
        grades: how right each gallery row is for some queries, such as `shared_grades` or `similar_grades`.
        k: the K, at most the size of the gallery.
        precision: as in `retrieval_metrics`.

    Returns:
        float64 [Q] in [0, 1]; NaN where all grades are 0.

    Raises:
        EvaluationError: k is out of range, or a grade is negative.
    """
    x = torch.as_tensor(queries)
    y = x if gallery is None else torch.as_tensor(gallery)
    exclude = torch.arange(len(x), device=x.device) if gallery is None else None
    depths = _depths(len(x), len(y) - (gallery is None), k)
    discount = 1 / (torch.arange(1, k + 1, dtype=torch.float64, device=x.device) + 1).log2()
    found = np.full(len(x), np.nan)
    blocks = neighbor_blocks(x, y, depths, exclude=exclude, precision=precision, block=BLOCK // 2)
    for rows, numbers, _ in blocks:
        graded = grades(rows).clone()
        if bool((graded < 0).any()):
            raise EvaluationError(
                "grades must be at least 0: an item cannot be worse than nothing to do with the query"
            )
        if exclude is not None:
            graded.scatter_(1, rows[:, None], 0)
        gain = (graded.gather(1, numbers).double() * discount).sum(dim=1)
        ideal = (graded.topk(k, dim=1).values.double() * discount).sum(dim=1)
        found[rows.cpu().numpy()] = (gain / ideal).cpu().numpy()  # 0 / 0 is NaN
    return found


def shared_grades(levels: Sequence[tuple[float, Array, Array]]) -> Grades:
    """The highest grade of what a query and a gallery row share: (grade, query labels [Q], gallery labels [G]) each.

    `[(0.5, category, category), (1.0, label, label)]`: 1 for the same product, 0.5 for another of its category.
    """
    tables = [(grade, torch.as_tensor(own), torch.as_tensor(theirs)) for grade, own, theirs in levels]

    def grades(rows: Tensor) -> Tensor:
        graded = torch.zeros(len(rows), len(tables[0][2]), device=rows.device)
        for grade, own, theirs in tables:
            asked = own.to(rows.device)[rows, None]
            graded.clamp_min_(grade * ((asked == theirs.to(rows.device)) & (asked != UNLABELED)))
        return graded

    return grades


def similar_grades(query_vectors: Array, gallery_vectors: Array) -> Grades:
    """The cosine of side vectors (of texts), float [Q, T] and [G, T]; negative ones count 0."""
    own, theirs = (unit_rows(torch.as_tensor(v), "side") for v in (query_vectors, gallery_vectors))
    return lambda rows: (own[rows] @ theirs.T).clamp_min(0)


def _depths(queries: int, most: int, k: int) -> Tensor:
    if not 1 <= k <= most:
        raise EvaluationError(f"k must lie in 1..{most} for so many items, not {k}")
    return torch.full((queries,), k)
