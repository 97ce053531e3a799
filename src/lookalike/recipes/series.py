"""Many runs in one directory: each is done once, and what was stopped is gone on with."""

import fcntl
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.catalog import Catalog
from lookalike.errors import LookalikeError, TrainingError
from lookalike.files import sha256
from lookalike.recipes.recipe import Recipe
from lookalike.recipes.train import train
from lookalike.training.run import METRICS, is_unfinished

LOCK = ".lock"
#: Characters of a name in the name of a directory.
LONGEST_NAME = 80


@dataclass(frozen=True)
class Planned:
    """A run to be done: where, with what settings, and on which of the catalogs."""

    directory: Path
    recipe: Recipe
    catalog: str

    @property
    def metrics(self) -> dict[str, Any] | None:
        """What came of it; None as long as it is not finished."""
        try:
            found: dict[str, Any] = json.loads((self.directory / METRICS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found

    def run(self, catalog: Catalog) -> str | None:
        """Do it, or go on with it; returns why it could not be done."""
        if not is_unfinished(self.directory):
            shutil.rmtree(self.directory, ignore_errors=True)
        try:
            train(self.recipe, catalog, self.directory)
        except LookalikeError as error:
            return str(error)
        return None


def run_directory(parent: Path, name: str, recipe: Recipe, catalog_digest: str) -> Path:
    """A directory for exactly this recipe and catalog: what lies there is of no others."""
    digest = sha256(recipe.model_dump_json().encode(), catalog_digest.encode())[:8]
    plain = re.sub(r"[^\w.=+]+", "-", name)[:LONGEST_NAME]
    return parent / f"{plain}-{digest}"


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """The only process at work in this directory; the system frees it when the process dies.

    Raises:
        TrainingError: another one is, or the directory cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("w")
    except OSError as error:
        raise TrainingError(f"the directory {directory} cannot be made: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"another process is at work in {directory}: wait for it, or give another --to"
            ) from None
        yield
