"""A process that packs pictures into squares: killed, or left alone, by the tests of packing."""

import sys

import numpy as np
import pyarrow as pa
from PIL import Image

from lookalike.catalog import Catalog, packed
from tests.pictures import encoded

SIDE, COUNT = 64, 240


def square(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def noise(count: int = COUNT, seed: int = 0) -> Catalog:
    rng = np.random.default_rng(seed)
    images = [encoded(Image.fromarray(rng.integers(0, 256, (48, 40, 3), dtype=np.uint8))) for _ in range(count)]
    return Catalog(pa.table({"item_id": [str(row) for row in range(count)], "image": images}))


if __name__ == "__main__":
    packed.PART_BYTES = 10 * 3 * SIDE**2
    print("packing", flush=True)
    packed.pack(noise(), square, SIDE, sys.argv[1])
    print("packed", flush=True)
