"""Visual similarity search by deep metric learning, weakly supervised by text.

The package reads like the pipeline; every room is one step of the way from a catalog to matches:

    catalog      what we learn from: pictures, labels, descriptions
    side         what the words say: text vectors of items and classes
    encoders     picture to embedding
    losses       what is wrong with a batch of embeddings
    evaluation   how good the embeddings are
    training     the run
    index        embeddings, stored
    search       query to matches
    service      matches, for people and programs
    recipes      a run in one typed file
    cli          all of it from the command line

The public names below are loaded when they are first used, so that `import lookalike` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.catalog import Catalog as Catalog
    from lookalike.encoders import Encoder as Encoder
    from lookalike.evaluation import evaluate as evaluate
    from lookalike.recipes import Recipe as Recipe
    from lookalike.recipes import train as train
    from lookalike.search import Index as Index
    from lookalike.search import Match as Match
    from lookalike.service import Client as Client
    from lookalike.training import Run as Run

_HOME = {
    "Catalog": "catalog",
    "Client": "service",
    "Encoder": "encoders",
    "Index": "search",
    "Match": "search",
    "Recipe": "recipes",
    "Run": "training",
    "evaluate": "evaluation",
    "train": "recipes",
}
_ROOMS = ("catalog", "encoders", "evaluation", "index", "losses", "recipes", "search", "service", "side", "training")

__all__ = ["Catalog", "Client", "Encoder", "Index", "Match", "Recipe", "Run", "__version__", "evaluate", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"lookalike.{_HOME[name]}"), name)
    if name in _ROOMS:
        return import_module(f"lookalike.{name}")
    raise AttributeError(f"module 'lookalike' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
