"""For all tests: a cache of their own, drawn pictures, and a tiny catalog on disk."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.catalog import Catalog

COLORS = {"bag": (200, 40, 40), "boot": (40, 160, 60), "coat": (40, 60, 200), "dress": (210, 180, 40)}


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the user's cache; processes started by a test do not either."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("LOOKALIKE_CACHE", str(folder))
        yield folder


def draw(label: str, number: int = 0, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """A square of the class's color on gray, whose place follows from the number; not symmetric in any way."""
    picture = np.full((size[1], size[0], 3), 120, dtype=np.uint8)
    left, top = 3 + 5 * (number % 4), 2 + 3 * (number % 3)
    picture[top : top + size[1] // 2, left : left + size[0] // 3] = COLORS[label]
    picture[: size[1] // 6, : size[0] // 4] = 250 - 9 * (number % 20)
    return Image.fromarray(picture)


def encoded(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


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
