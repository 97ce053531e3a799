"""What was asked, as one vector: pictures, items of the index, words, or several of these."""

import math

import numpy as np
from PIL import Image

from lookalike.catalog.images import ImageSource, decode, describe_source
from lookalike.errors import ImageError, StoredIndexError

#: left, top, right, bottom as shares of a picture, 0..1.
Region = tuple[float, float, float, float]


def picture_of(source: ImageSource, side_px: int, region: Region | None = None) -> Image.Image:
    """The picture, or a part of it, decoded at the size at which an index decodes it.

    Raises:
        ImageError: it cannot be read.
        StoredIndexError: the region is none.
    """
    if region is not None:
        _check_region(region)
        # A part of a picture reduced for the whole of it would be blurred.
        side_px = math.ceil(side_px / min(region[2] - region[0], region[3] - region[1], 1.0))
    try:
        picture = decode(source, side_px)
    except ImageError as error:
        raise ImageError(f"the query {describe_source(source)}: {error}") from None
    if region is None:
        return picture
    left, top, right, bottom = region
    width, height = picture.size
    return picture.crop((int(left * width), int(top * height), math.ceil(right * width), math.ceil(bottom * height)))


def mean_direction(vectors: np.ndarray) -> np.ndarray:
    """Unit rows [N, D] to the unit row [D] nearest to all of them.

    Raises:
        StoredIndexError: they cancel out.
    """
    if len(vectors) == 1:
        return np.asarray(vectors[0])
    total = vectors.sum(axis=0, dtype=np.float64)
    length = np.linalg.norm(total)
    if not length > 1e-6 * len(vectors):
        raise StoredIndexError("the pictures asked with have no direction in common; ask with fewer of them")
    return np.asarray(total / length, dtype=np.float32)


def mixed(picture: np.ndarray, words: np.ndarray, words_weight: float, sample: np.ndarray) -> np.ndarray:
    r"""One query [D] whose score is the weighed sum of a picture's and a description's, each in units of its spread.

    .. math:: q = (1 - w) p / \sigma_p + w t / \sigma_t, \quad \sigma_v = \mathrm{std}_x(x \cdot v)

    The cosines of pictures to a picture spread more than those to words, so that plain sums would hardly hear the
    words. What is added to every score alike changes no order, so this orders items as the sum of the two z-scores
    does. At w = 0 and w = 1 it is the search by the one alone. [ours]

    Args:
        picture: unit row [D].
        words: unit row [D].
        words_weight: w, 0..1.
        sample: embeddings of some items [N, D], to know the spreads by.
    """
    parts = np.stack([picture, words]).astype(np.float64)
    spreads = (sample @ parts.T).std(axis=0) if len(sample) > 1 else np.ones(2)
    # Items that are all alike have no order to weigh.
    weights = np.array([1 - words_weight, words_weight]) / np.where(spreads > 1e-9, spreads, 1.0)
    return mean_direction(parts[weights > 0] * weights[weights > 0, None] / weights.sum())


def check(num_images: int, num_items: int, words: str | None, region: Region | None, words_weight: float) -> None:
    """Refuse a question without an answer.

    Raises:
        StoredIndexError: nothing is asked, or a value is out of its range.
    """
    if not num_images and not num_items and words is None:
        raise StoredIndexError("search by image=..., by item_id=..., by words=..., or by several of these")
    if region is not None and num_images != 1:
        raise StoredIndexError(f"region is a part of one picture, and there are {num_images}; search by one image=...")
    if not 0 <= words_weight <= 1:
        raise StoredIndexError(f"words_weight = {words_weight}: it must be from 0 (pictures only) to 1 (words only)")


def _check_region(region: Region) -> None:
    left, top, right, bottom = region
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise StoredIndexError(
            f"region = {tuple(region)}: it is (left, top, right, bottom) in shares of the picture, "
            "0 <= left < right <= 1 and 0 <= top < bottom <= 1"
        )
