"""The files of an index that tests damage: in a copy of their own of the index that a test file makes once."""

import shutil
from pathlib import Path

import pytest

from lookalike.index.lance import TABLE


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "index"))


def files_in(folder: Path, pattern: str) -> list[Path]:
    return sorted((folder / f"{TABLE}.lance").glob(pattern))
