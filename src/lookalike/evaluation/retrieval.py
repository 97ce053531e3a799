"""Recall@K, R-precision and MAP@R from one pass over exact neighbors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation.intervals import class_bootstrap
from lookalike.evaluation.neighbors import nearest

Array = np.ndarray | Tensor


@dataclass(frozen=True)
class Retrieval:
    """How well queries find items of their own class.

    Attributes:
        recall_at: K -> share of queries with an item of their class among the K nearest, in [0, 1].
        r_precision: mean share of the R nearest that are of the query's class; R is how many there are to find.
        map_at_r: the same, weighted by precision at each hit (Musgrave, Belongie, Lim, ECCV 2020, sec. 3.2).
        num_queries: queries counted.
        num_skipped: queries left out because the gallery holds nothing of their class.
        num_gallery: items searched.
        query_numbers: int64 [Q], which of the rows given each counted query is.
        query_labels: int64 [Q].
        first_hit: int64 [Q], rank of the first hit, from 1; a large number where none was looked at.
        per_query: name -> float64 [Q], the values behind `r_precision` and `map_at_r`.
    """

    recall_at: dict[int, float]
    r_precision: float
    map_at_r: float
    num_queries: int
    num_skipped: int
    num_gallery: int
    query_numbers: np.ndarray
    query_labels: np.ndarray
    first_hit: np.ndarray
    per_query: dict[str, np.ndarray]

    def values(self, metric: str) -> np.ndarray:
        """The values per query whose mean the metric is: "recall_at_1", "r_precision" or "map_at_r".

        Raises:
            EvaluationError: there is no such metric.
        """
        recall = re.fullmatch(r"recall_at_(\d+)", metric)
        if recall and int(recall[1]) in self.recall_at:
            return (self.first_hit <= int(recall[1])).astype(np.float64)
        if metric in self.per_query:
            return self.per_query[metric]
        known = [f"recall_at_{k}" for k in self.recall_at] + list(self.per_query)
        raise EvaluationError(f"there is no metric {metric!r}; there are {', '.join(known)}")

    def interval(self, metric: str, level: float = 0.95) -> tuple[float, float]:
        """Bootstrap interval of a metric over classes."""
        return class_bootstrap(self.values(metric), self.query_labels, level=level)

    def gain_interval(self, other: "Retrieval", metric: str, level: float = 0.95) -> tuple[float, float]:
        """Interval of (this - other), query by query: the same queries answered by two models.

        Raises:
            EvaluationError: the two did not answer the same queries.
        """
        if not np.array_equal(self.query_numbers, other.query_numbers):
            raise EvaluationError("two results can be compared only if they answer the same queries")
        return class_bootstrap(self.values(metric) - other.values(metric), self.query_labels, level=level)

    def to_dict(self) -> dict[str, object]:
        """Figures and intervals, ready for JSON."""
        metrics = [*(f"recall_at_{k}" for k in self.recall_at), "r_precision", "map_at_r"]
        intervals = {m: self.interval(m) for m in metrics}
        counts = {name: getattr(self, name) for name in ("num_queries", "num_skipped", "num_gallery")}
        return {m: float(self.values(m).mean()) for m in metrics} | {
            # JSON knows no NaN: with one class there is no interval.
            "intervals": {m: None if np.isnan(bounds[0]) else list(bounds) for m, bounds in intervals.items()},
            **counts,
        }


def retrieval_metrics(
    queries: Array,
    query_labels: Array,
    gallery: Array | None = None,
    gallery_labels: Array | None = None,
    k: Sequence[int] = (1, 2, 4, 8),
) -> Retrieval:
    """Judge embeddings by retrieval with exact cosine neighbors.

    Args:
        queries: [Q, D].
        query_labels: integers [Q].
        gallery: [G, D]; without it the queries search among themselves, each left out of its own result.
        gallery_labels: integers [G], with `gallery`.
        k: the K of Recall@K, each at least 1; a K above the gallery's size counts all of it.

    Raises:
        EvaluationError: shapes that do not fit, a K below 1, or no query whose class is in the gallery.
    """
    among_themselves = gallery is None
    x, labels = _tensors(queries, query_labels, "query")
    y, classes = (x, labels) if gallery is None else _tensors(gallery, gallery_labels, "gallery")
    if x.shape[1] != y.shape[1]:
        raise EvaluationError(f"queries have {x.shape[1]} dimensions, the gallery {y.shape[1]}: not of one model")
    if not k or min(k) < 1:
        raise EvaluationError(f"Recall@K needs K of at least 1, not {list(k)}")

    to_find = _count_of(labels, classes) - int(among_themselves)
    counted = (to_find > 0).nonzero().squeeze(1)
    if len(counted) == 0:
        raise EvaluationError(
            f"not one of {len(labels)} queries has an item of its class to find; a class needs at least two pictures"
        )
    depth = min(len(y) - int(among_themselves), max(*k, int(to_find.max())))
    numbers, _ = nearest(x[counted], y, depth, exclude=counted if among_themselves else None)
    hits = classes[numbers] == labels[counted, None]

    first = torch.where(hits.any(dim=1), hits.int().argmax(dim=1) + 1, np.iinfo(np.int64).max).numpy()
    r_precision, average_precision = _at_r(hits, to_find[counted])
    return Retrieval(
        recall_at={size: float((first <= size).mean()) for size in k},
        r_precision=float(r_precision.mean()),
        map_at_r=float(average_precision.mean()),
        num_queries=len(counted),
        num_skipped=len(labels) - len(counted),
        num_gallery=len(y),
        query_numbers=counted.numpy(),
        query_labels=labels[counted].numpy(),
        first_hit=first,
        per_query={"r_precision": r_precision, "map_at_r": average_precision},
    )


def _tensors(embeddings: Array, labels: Array | None, what: str) -> tuple[Tensor, Tensor]:
    if labels is None:
        raise EvaluationError(f"the {what} embeddings need {what}_labels, integers [N]")
    x, y = torch.as_tensor(embeddings).cpu(), torch.as_tensor(labels).cpu()
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) == 0:
        raise EvaluationError(
            f"{what} embeddings must be [N, D] with labels [N], not {tuple(x.shape)}, {tuple(y.shape)}"
        )
    if y.is_floating_point():
        raise EvaluationError(f"{what} labels must be integers, not {y.dtype}")
    return x, y.long()


def _count_of(labels: Tensor, among: Tensor) -> Tensor:
    """How often each label occurs in `among`."""
    classes, counts = among.unique(return_counts=True)
    places = torch.searchsorted(classes, labels).clamp_max(len(classes) - 1)
    return torch.where(classes[places] == labels, counts[places], 0)


def _at_r(hits: Tensor, to_find: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """R-precision and average precision at R, per query."""
    hits = hits[:, : int(to_find.max())]  # a large K of Recall@K looks further than any R
    ranks = torch.arange(1, hits.shape[1] + 1, dtype=torch.float64)
    counted = hits & (ranks <= to_find[:, None])
    precision = counted.cumsum(dim=1) / ranks
    found = counted.sum(dim=1, dtype=torch.float64) / to_find
    average = (precision * counted).sum(dim=1) / to_find
    return found.numpy(), average.numpy()
