"""A bar for anything that may take above two seconds; silent when nobody watches."""

import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

# Of several processes started by torchrun the first one speaks.
SPEAKS = os.environ.get("RANK", "0") == "0"
# Bars go to stderr, so that what a command prints can be piped.
console = Console(stderr=True, quiet=not SPEAKS)


def progress_bar() -> Progress:
    """A rich progress display in the house's look; use as a context manager."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def track(steps: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Go through `steps` under a bar called `what`."""
    with progress_bar() as bar:
        task = bar.add_task(what, total=total, note="")
        for step in steps:
            yield step
            bar.advance(task)


def note(sentence: str) -> None:
    """Tell the user something in passing, on stderr."""
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
