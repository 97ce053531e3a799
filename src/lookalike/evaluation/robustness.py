"""What is lost when queries are cropped, blurred, compressed, turned, darker or brighter; the gallery stays clean."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder, embed_catalog
from lookalike.evaluation.protocol import ModelEmbeddings, Protocol
from lookalike.evaluation.retrieval import Retrieval, retrieval_metrics

CLEAN = "clean"
SEED = 0
#: A picture and what to draw from, to the picture that is asked with.
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def crop(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Four fifths of each side, anywhere."""
    width, height = (math.ceil(0.8 * side) for side in picture.size)
    left, top = (int(rng.integers(whole - kept + 1)) for whole, kept in zip(picture.size, (width, height), strict=True))
    return picture.crop((left, top, left + width, top + height))


def blur(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A Gaussian whose deviation is a fiftieth of the shorter side."""
    return picture.filter(ImageFilter.GaussianBlur(min(picture.size) / 50))


def compress(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """JPEG of quality 15."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=15)
    return Image.open(buffer).convert("RGB")


def rotate(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """By 5 to 15 degrees to either side, on white."""
    degrees = float(rng.uniform(5, 15) * rng.choice([-1, 1]))
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")


def darken(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Three fifths of the light."""
    return ImageEnhance.Brightness(picture).enhance(0.6)


def brighten(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Seven fifths of the light."""
    return ImageEnhance.Brightness(picture).enhance(1.4)


CHANGES: dict[str, Change] = {
    "cropped": crop,
    "blurred": blur,
    "compressed": compress,
    "turned": rotate,
    "darker": darken,
    "brighter": brighten,
}


@dataclass(frozen=True)
class Changed(Catalog):
    """A catalog seen through a change; what is drawn follows from the row, whatever is read before it."""

    change: Change = field(default=lambda picture, rng: picture)

    def image(self, row: int, short_side_px: int | None = None) -> Image.Image:
        """The changed picture; decoded whole, as a reduced one has lost detail already."""
        return self.change(super().image(row), np.random.default_rng([SEED, row]))


def judge_robustness(
    encoder: Encoder, embedded: ModelEmbeddings, model: str, k: Sequence[int] = (1,), batch_size: int = 64
) -> dict[str, dict[str, Retrieval]]:
    """Judge the queries of each protocol as they are and after each change, against the same clean gallery.

    A changed query does not see its own clean picture.

    Args:
        encoder: makes the embeddings of the changed queries.
        embedded: from `embed_models`.
        model: the name of the encoder there.
        k: of Recall@K.
        batch_size: pictures at a time.

    Returns:
        protocol name -> "clean" or the name of the change -> figures.
    """
    clean, protocols = embedded.embeddings[model], embedded.protocols
    asked = np.unique(np.concatenate([protocol.queries for protocol in protocols]))
    part = embedded.catalog.take(asked)
    seen = {CLEAN: clean}
    for name, change in CHANGES.items():
        found = embed_catalog(encoder, Changed(part.table, part.name, change=change), batch_size)
        seen[name] = clean.copy()
        seen[name][asked[found.rows]] = found.embeddings
    return {
        protocol.name: {name: _judge(protocol, x, clean, embedded.labels, k) for name, x in seen.items()}
        for protocol in protocols
    }


def _judge(
    protocol: Protocol, queries: np.ndarray, clean: np.ndarray, labels: np.ndarray, k: Sequence[int]
) -> Retrieval:
    gallery = protocol.queries if protocol.gallery is None else protocol.gallery
    return retrieval_metrics(
        queries[protocol.queries],
        labels[protocol.queries],
        clean[gallery],
        labels[gallery],
        k,
        groups=protocol.queries,
        gallery_groups=gallery,
    )
