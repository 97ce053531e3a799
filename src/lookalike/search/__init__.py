"""8. QUERY -> MATCHES."""

from lookalike.search.duplicates import Duplicate
from lookalike.search.intake import AddReport
from lookalike.search.match import Match
from lookalike.search.searcher import Index

__all__ = ["AddReport", "Duplicate", "Index", "Match"]
