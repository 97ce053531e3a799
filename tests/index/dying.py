"""Changes that end at a chosen moment around the writing of the list of files. Run as a program: by kill -9.

Starting an interpreter and importing takes above a second, so that is done once. LanceDB itself starts threads and may
not be forked: only the children import it.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import lance_namespace  # noqa: F401  (most of what importing LanceDB costs)
import pyarrow.compute  # noqa: F401
import sqlglot  # noqa: F401

Die = Callable[..., NoReturn]
CHANGES = ("add", "remove", "tidy", "optimize", "rollback")
MOMENTS = ("committed", "written", "listed")


def change(path: Path, what: str, moment: str, die: Die, rows: Any) -> None:
    """Open the index at `path` and change it until the moment comes."""
    from lookalike.index import LanceIndex
    from lookalike.index.inventory import Inventory

    index = LanceIndex.open(path)
    pwrite = os.pwrite

    def at_rest(descriptor: int, byte: bytes, place: int) -> None:
        die() if byte == b"0" else pwrite(descriptor, byte, place)

    def halfway(table: object, folder: Path) -> None:
        min((folder / "_deletions").iterdir(), key=os.path.getmtime).unlink()
        die()

    deadly = {
        "committed": patch.object(Inventory, "renew", die),  # the list is yet to be made
        "written": patch.object(Path, "replace", die),  # it is there, under another name
        "listed": patch("os.pwrite", at_rest),  # the lock does not say so
        "halfway": patch("lookalike.index.writing.tidy", halfway),  # a file is gone, and there is no newer version
    }
    changes = {
        "add": lambda: index.add(rows),
        "remove": lambda: index.remove("a"),
        "tidy": index.tidy,
        "optimize": lambda: index.optimize(approximate=True),
        "rollback": lambda: index.rollback(1),
    }
    with deadly[moment]:
        changes[what]()


def _kill(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import make_rows_of

    children = []
    for given in sys.argv[1:]:
        children.append(os.fork())
        if children[-1] == 0:
            try:
                change(Path(given), *Path(given).name.split(), _kill, make_rows_of(["a", "new"]))
            finally:
                os._exit(0)
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
