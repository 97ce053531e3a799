"""What every sampler of classes keeps to."""

from collections import Counter
from collections.abc import Sequence

import numpy as np


def check_class_batches(batches: Sequence[np.ndarray], labels: np.ndarray, num_classes: int, num_images: int) -> None:
    """P classes with K images each, or all classes where there are fewer; and no image left out."""
    known = np.flatnonzero(labels >= 0)
    assert {row for batch in batches for row in batch.tolist()} == {*known.tolist()}
    present = len({*labels[known].tolist()})
    for batch in batches:
        assert batch.dtype == np.int64
        per_class = Counter(labels[batch].tolist())
        assert len(per_class) == min(num_classes, present)
        assert {*per_class.values()} == {num_images}
        # Each class stands together: image k of class p is row p * K + k.
        assert (labels[batch].reshape(-1, num_images) == labels[batch][::num_images, None]).all()
