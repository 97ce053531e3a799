"""What retrieval found, query by query: figures, intervals, slices, comparisons."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from lookalike.errors import EvaluationError
from lookalike.evaluation.clustering import Clusters
from lookalike.evaluation.intervals import bootstrap, class_bootstrap, sign_flip_p

#: What is resampled: classes, whose queries stand or fall together, or single queries.
By = Literal["class", "query"]


class Slice(NamedTuple):
    """A figure on some of the queries: mean, number of queries, 95 % interval over classes (NaN where it is one)."""

    mean: float
    queries: int
    low: float
    high: float


@dataclass(frozen=True)
class Retrieval:
    """How well queries find items of their own class.

    Attributes:
        recall_at: K -> share of queries with an item of their class among the K nearest, in [0, 1].
        r_precision: mean share of the R nearest that are of the query's class; R is how many there are to find.
        map_at_r: the same, weighted by precision at each hit (Musgrave, Belongie, Lim, ECCV 2020, sec. 3.2).
        num_queries: queries counted.
        num_skipped: queries left out: unlabeled, or the gallery holds nothing of their class that they may see.
        num_gallery: items searched.
        query_numbers: int64 [Q], which of the rows given each counted query is.
        query_labels: int64 [Q]; with several labels an item, the number of its set of labels.
        first_hit: int64 [Q], rank of the first hit, from 1; a large number where none was looked at.
        per_query: name -> float64 [Q], the values behind the other metrics; `ranks.figures_of` says what they are.
        clusters: of the queries, where they were asked for.
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
    clusters: Clusters | None = None

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics."""
        return [f"recall_at_{k}" for k in self.recall_at] + list(self.per_query)

    @property
    def nmi(self) -> float:
        """Normalized mutual information of k-means clusters and classes.

        Raises:
            EvaluationError: no clusters were made.
        """
        if self.clusters is None:
            raise EvaluationError("clusters take long and were not made: call retrieval_metrics(..., clustering=True)")
        return self.clusters.nmi

    def values(self, metric: str) -> np.ndarray:
        """The values per query whose mean the metric is: "recall_at_1", "map_at_r", "ndcg_at_8" or others.

        Raises:
            EvaluationError: there is no such metric.
        """
        recall = re.fullmatch(r"recall_at_(\d+)", metric)
        if recall and int(recall[1]) in self.recall_at:
            return (self.first_hit <= int(recall[1])).astype(np.float64)
        if metric in self.per_query:
            return self.per_query[metric]
        raise EvaluationError(f"there is no metric {metric!r}; there are {', '.join(self.metrics)}")

    def interval(self, metric: str, level: float = 0.95, by: By = "class") -> tuple[float, float]:
        """Bootstrap interval of a metric over classes, or over queries as if each were drawn by itself."""
        return self._interval(self.values(metric), level, by)

    def gain_interval(
        self, other: "Retrieval", metric: str, level: float = 0.95, by: By = "class"
    ) -> tuple[float, float]:
        """Interval of (this - other), query by query: the same queries answered by two models.

        Raises:
            EvaluationError: the two did not answer the same queries.
        """
        return self._interval(self._gains(other, metric), level, by)

    def gain_p_value(self, other: "Retrieval", metric: str, by: By = "class") -> float:
        """Two-sided p of (this - other) under chance: a paired sign-flip test, whole classes (or queries) flipped.

        Raises:
            EvaluationError: the two did not answer the same queries.
        """
        gains = self._gains(other, metric)
        return sign_flip_p(gains, self.query_labels if by == "class" else np.arange(len(gains)))

    def slices(self, metric: str, by: Iterable[Any] | None = None) -> dict[Any, Slice]:
        """A metric on each part of the queries.

        Args:
            metric: one of `metrics`.
            by: for each row given as a query (counted or not) its domain, category or whatever; its class by default.
        """
        values = self.values(metric)
        parts = self.query_labels if by is None else np.asarray(by)[self.query_numbers]
        names, numbers = np.unique(parts, return_inverse=True)
        members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
        return {
            name: Slice(float(values[own].mean()), len(own), *class_bootstrap(values[own], self.query_labels[own]))
            for name, own in zip(names.tolist(), members, strict=True)
        }

    def to_dict(self) -> dict[str, object]:
        """Figures and intervals of Recall@K, R-precision and MAP@R, ready for JSON."""
        metrics = [*(f"recall_at_{k}" for k in self.recall_at), "r_precision", "map_at_r"]
        intervals = {m: self.interval(m) for m in metrics}
        counts = {name: getattr(self, name) for name in ("num_queries", "num_skipped", "num_gallery")}
        return {m: float(self.values(m).mean()) for m in metrics} | {
            # JSON knows no NaN: with one class there is no interval.
            "intervals": {m: None if np.isnan(bounds[0]) else list(bounds) for m, bounds in intervals.items()},
            **counts,
        }

    def _interval(self, values: np.ndarray, level: float, by: By) -> tuple[float, float]:
        if by == "query":
            return bootstrap(values, np.ones(len(values)), level=level)
        return class_bootstrap(values, self.query_labels, level=level)

    def _gains(self, other: "Retrieval", metric: str) -> np.ndarray:
        if not np.array_equal(self.query_numbers, other.query_numbers):
            raise EvaluationError("two results can be compared only if they answer the same queries")
        gains: np.ndarray = self.values(metric) - other.values(metric)
        return gains
