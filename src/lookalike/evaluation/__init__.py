"""5. HOW GOOD."""

from lookalike.evaluation.clustering import Clusters, clustering_metrics
from lookalike.evaluation.graded import attribute_precision, graded_ndcg, shared_grades, similar_grades
from lookalike.evaluation.protocol import Protocol, evaluate, protocols_for
from lookalike.evaluation.retrieval import Retrieval, retrieval_metrics
from lookalike.evaluation.verification import fnmr_at_fmr, threshold_for_precision

__all__ = [
    "Clusters",
    "Protocol",
    "Retrieval",
    "attribute_precision",
    "clustering_metrics",
    "evaluate",
    "fnmr_at_fmr",
    "graded_ndcg",
    "protocols_for",
    "retrieval_metrics",
    "shared_grades",
    "similar_grades",
    "threshold_for_precision",
]
