"""`lookalike cache`: what is kept between calls, and how to be rid of it."""

import time
from pathlib import Path
from stat import S_ISREG
from typing import Annotated

import typer

from lookalike.files import CacheKind, cache_folder

#: What each folder of the cache holds. No other folder is ever cleared.
KINDS: dict[CacheKind, str] = {
    "packed": "decoded pictures, for tuning a backbone",
    "features": "of pictures, by frozen backbones",
    "texts": "vectors of descriptions",
    "maps": "of indexes, for the page",
}


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove it.")] = False,
    kind: Annotated[str | None, typer.Option("--kind", help=f"Only one of: {', '.join(KINDS)}.")] = None,
    unused_days: Annotated[
        int | None, typer.Option("--unused-days", min=0, help="Only files not read or written for so many days.")
    ] = None,
) -> None:
    """Show what is kept between calls and how large it is; with --clear, remove it. It is made again when needed.

    It lies in ~/.cache/lookalike, or in the folder that LOOKALIKE_CACHE names. A run that reads from it is not
    disturbed. Catalogs, runs and indexes never lie there.

    \b
    lookalike cache
    lookalike cache --clear --kind packed
    lookalike cache --clear --unused-days 30
    """
    from lookalike.errors import LookalikeError, did_you_mean

    if kind is not None and kind not in KINDS:
        raise LookalikeError(f"--kind {kind!r}: there is none.{did_you_mean(kind, list(KINDS))}")
    total = 0
    for name, holds in KINDS.items():
        if kind not in (None, name):
            continue
        files = _files(cache_folder(name), unused_days)
        size = sum(map(_remove if clear else _size, files))
        total += size
        print(f"{name:<9} {len(files):>9,} files {_readable(size):>10}   {holds}")
    print(f"{'removed' if clear else 'in all'}: {_readable(total)} {'from' if clear else 'at'} {cache_folder()}")


def _files(folder: Path, unused_days: int | None) -> list[Path]:
    """All in the folder that were not used for so long, but for what is being written now."""
    oldest = time.time() - 86_400 * (unused_days or 0)
    found = []
    for path in folder.rglob("*"):
        try:
            about = path.lstat()
        except FileNotFoundError:  # removed by another process meanwhile
            continue
        is_being_written = path.name.startswith(".") and about.st_mtime > time.time() - 86_400
        if S_ISREG(about.st_mode) and not is_being_written and max(about.st_atime, about.st_mtime) <= oldest:
            found.append(path)
    return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _remove(file: Path) -> int:
    """Bytes that were freed."""
    size = _size(file)
    file.unlink(missing_ok=True)
    return size


def _readable(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"
