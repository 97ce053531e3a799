"""8. QUERY -> MATCHES.

The names are loaded when they are first used: a match can be read where there is no index.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.search.duplicates import Duplicate as Duplicate
    from lookalike.search.intake import AddReport as AddReport
    from lookalike.search.match import Match as Match
    from lookalike.search.searcher import Index as Index

_HOME = {"AddReport": "intake", "Duplicate": "duplicates", "Index": "searcher", "Match": "match"}

__all__ = ["AddReport", "Duplicate", "Index", "Match"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"lookalike.search.{_HOME[name]}"), name)
    raise AttributeError(f"module 'lookalike.search' has no attribute {name!r}")
