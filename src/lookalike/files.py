"""Write to a temporary name, then rename: a file is there whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

#: What is kept between calls, each in a folder of that name; `lookalike cache` shows and clears them.
CacheKind = Literal["packed", "features", "texts", "maps"]


@contextmanager
def written_whole(path: Path, is_forced: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well it becomes `path`, else it is removed.

    A killed process leaves the old file or the new one. The content is forced to disk before the rename, so a power
    cut does too; that takes some milliseconds, and `is_forced` false does without.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if is_forced:
            _to_disk(temporary)
        # mkstemp makes private files; give the usual rights of a new file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        if is_forced:
            _to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, is_forced: bool = True) -> None:
    """Write `text` as UTF-8, whole or not at all; see `written_whole`."""
    with written_whole(path, is_forced) as temporary:
        temporary.write_text(text, encoding="utf-8")


def cache_folder(kind: CacheKind | None = None) -> Path:
    """Where what was computed is kept: $LOOKALIKE_CACHE, or the user's cache folder; of one kind, or the whole."""
    chosen = os.environ.get("LOOKALIKE_CACHE")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lookalike"
    return (Path(chosen) if chosen else usual) / (kind or "")


def sha256(*parts: bytes | memoryview) -> str:
    """Hex digest of the parts, each preceded by its length so that no two lists of parts collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
