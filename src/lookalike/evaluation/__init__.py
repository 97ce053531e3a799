"""5. HOW GOOD."""

from lookalike.evaluation.protocol import Protocol, evaluate, protocols_for
from lookalike.evaluation.retrieval import Retrieval, retrieval_metrics

__all__ = ["Protocol", "Retrieval", "evaluate", "protocols_for", "retrieval_metrics"]
