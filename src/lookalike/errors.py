"""Every error a user can cause, drawn as a tree.

LookalikeError
├── CatalogError           the catalog: file, column, row, picture
│   └── ImageError         one picture that cannot be used
├── RecipeError            a setting: unknown, misspelt, out of range
├── EncoderError           a backbone or a saved encoder
├── SideError              text encoders and side vectors
├── LossInputError         what a loss was given
├── TrainingError          a run that cannot start or cannot go on
│   └── ProcessLostError   another process of the run has ended
├── EvaluationError        embeddings and labels that give no figure
├── StoredIndexError       a stored index, or a query to it
│   └── FilterError        the `where` of a query
└── ServiceError           a service that refuses, fails or does not answer

A message is one sentence with what (and the value), where (file, row, column, option) and what to do.
The command line prints it without a trace and exits with 1.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class LookalikeError(Exception):
    """Base of all errors a user can cause and mend.

    Attributes:
        is_told: of several processes of a run, whether another one says it; None: it has to do with none of this.
    """

    is_told: bool | None = None


class CatalogError(LookalikeError, ValueError):
    """A catalog that cannot be read or used."""


class ImageError(CatalogError):
    """One picture that cannot be decoded within the limits."""


class RecipeError(LookalikeError, ValueError):
    """A setting that is unknown, misspelt or out of range."""


class EncoderError(LookalikeError, ValueError):
    """A backbone or a saved encoder that cannot be used."""


class SideError(LookalikeError, ValueError):
    """Side information (text) that is missing or unusable."""


class LossInputError(LookalikeError, ValueError):
    """Inputs a loss cannot work with."""


class TrainingError(LookalikeError, RuntimeError):
    """A run that cannot start or cannot go on."""


class ProcessLostError(TrainingError):
    """Another process of the run has ended; what it said before says why."""


class EvaluationError(LookalikeError, ValueError):
    """Embeddings and labels that give no figure."""


class StoredIndexError(LookalikeError, RuntimeError):
    """A stored index that cannot be used, or a query it cannot answer."""


class FilterError(StoredIndexError, ValueError):
    """The `where` of a query cannot be understood."""


class ServiceError(LookalikeError, RuntimeError):
    """What a service said instead of an answer; `status` is that of HTTP, 0 if there was no answer at all."""

    def __init__(self, sentence: str, status: int = 0):
        super().__init__(sentence)
        self.status = status


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known names, else all of them.

    >>> did_you_mean("tripet", ["triplet", "proxy_anchor"])
    " Did you mean 'triplet'?"
    """
    names = list(known)
    by_lower = {name.lower(): name for name in reversed(names)}
    nearest = [by_lower[name] for name in get_close_matches(given.lower(), by_lower, n=3, cutoff=0.5)]
    if nearest:
        return " Did you mean " + " or ".join(repr(name) for name in nearest) + "?"
    shown = ", ".join(sorted(names)[:20])
    return f" Known: {shown}." if shown else ""
