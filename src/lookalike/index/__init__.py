"""7. EMBEDDINGS, STORED (no torch)."""

from lookalike.index.exact import ExactIndex
from lookalike.index.index import Hit, VectorIndex
from lookalike.index.lance import LanceIndex
from lookalike.index.manifest import Manifest
from lookalike.index.plan import Plan

__all__ = ["ExactIndex", "Hit", "LanceIndex", "Manifest", "Plan", "VectorIndex"]
