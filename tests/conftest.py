"""For all tests: a cache of their own, and a tiny catalog of drawn pictures (`pictures.py`) on disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lookalike.catalog import Catalog
from tests.pictures import COLORS, draw, encoded

# Before torch is loaded, here and in the processes tests start: on tiny networks more threads only wait for each other
# (ten times as long on a busy machine), and sums depend on how many there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the user's cache; processes started by a test do not either."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("LOOKALIKE_CACHE", str(folder))
        yield folder


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of folders: four classes with so many PNG pictures each."""

    def make(images: int = 3, root: Path = tmp_path / "shop") -> Path:
        for label in COLORS:
            (root / label).mkdir(parents=True, exist_ok=True)
            for number in range(images):
                (root / label / f"{number}.png").write_bytes(encoded(draw(label, number)))
        return root

    return make


@pytest.fixture
def shop(make_folder: Callable[..., Path]) -> Catalog:
    """A tiny catalog of drawn pictures on disk: 4 classes with 3 pictures each."""
    return Catalog.read(make_folder())
