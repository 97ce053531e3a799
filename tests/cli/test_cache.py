"""`lookalike cache` on a folder of its own: what it counts, what it removes and what it leaves alone."""

import os
import time
from pathlib import Path
from typing import get_args

import pytest

from lookalike.cli.cache import KINDS
from lookalike.files import CacheKind
from tests.cli.conftest import Command

OLD = time.time() - 40 * 86_400


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with files of two kinds, one of them old, one just being written, and a stranger's."""
    folder = tmp_path / "cache"
    for name, size in {
        "features/a/new.safetensors": 2**20,
        "features/a/old.safetensors": 2**21,
        "features/.being-written.tmp": 10,
        "texts/new.safetensors": 2**19,
        "mine/notes.txt": 3,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(size))
    os.utime(folder / "features/a/old.safetensors", (OLD, OLD))
    monkeypatch.setenv("LOOKALIKE_CACHE", str(folder))
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_shows_and_leaves_all(lookalike: Command, kept: Path) -> None:
    before = files(kept)
    shown = lookalike("cache").out
    assert "features          2 files    3.0 MiB" in shown
    assert "texts             1 files    0.5 MiB" in shown
    assert f"in all: 3.5 MiB at {kept}" in shown
    assert files(kept) == before


def test_clear_removes_only_what_is_ours_and_whole(lookalike: Command, kept: Path) -> None:
    assert "removed: 3.5 MiB from" in lookalike("cache", "--clear").out
    assert files(kept) == {"features/.being-written.tmp", "mine/notes.txt"}


def test_clear_of_a_kind(lookalike: Command, kept: Path) -> None:
    assert "removed: 0.5 MiB" in lookalike("cache", "--clear", "--kind", "texts").out
    assert "features/a/new.safetensors" in files(kept)
    assert "texts/new.safetensors" not in files(kept)


def test_clear_of_the_unused(lookalike: Command, kept: Path) -> None:
    before = files(kept)
    assert "removed: 2.0 MiB" in lookalike("cache", "--clear", "--unused-days", "30").out
    assert before - files(kept) == {"features/a/old.safetensors"}


def test_a_file_left_by_a_killed_process_is_removed_after_a_day(lookalike: Command, kept: Path) -> None:
    os.utime(kept / "features/.being-written.tmp", (OLD, OLD))
    lookalike("cache", "--clear")
    assert files(kept) == {"mine/notes.txt"}


def test_links_are_not_followed(lookalike: Command, kept: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "catalog.csv").write_text("id")
    (kept / "features" / "link").symlink_to(outside)
    (kept / "features" / "file").symlink_to(outside / "catalog.csv")
    lookalike("cache", "--clear")
    assert (outside / "catalog.csv").exists()
    assert (kept / "features" / "file").is_symlink()


def test_an_unknown_kind_is_told(lookalike: Command, kept: Path) -> None:
    result = lookalike("cache", "--clear", "--kind", "pack")
    assert result.code == 1
    assert "--kind 'pack': there is none. Did you mean 'packed'?" in result.err
    assert len(files(kept)) == 5


def test_all_that_is_kept_is_shown() -> None:
    assert tuple(KINDS) == get_args(CacheKind)


def test_no_cache_yet(lookalike: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "none"))
    assert "in all: 0.0 MiB" in lookalike("cache").out
