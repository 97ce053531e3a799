"""7. EMBEDDINGS, STORED (no torch)."""

from lookalike.index.checksums import Verified
from lookalike.index.exact import ExactIndex
from lookalike.index.index import Hit, VectorIndex
from lookalike.index.lance import LanceIndex
from lookalike.index.manifest import Manifest
from lookalike.index.plan import Plan
from lookalike.index.versions import Version

__all__ = ["ExactIndex", "Hit", "LanceIndex", "Manifest", "Plan", "VectorIndex", "Verified", "Version"]
