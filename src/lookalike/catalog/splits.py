"""Class-disjoint splits: what is tested was never seen in training."""

from collections.abc import Sequence

import numpy as np

from lookalike.errors import CatalogError


def hold_out_classes(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which items belong to held-out classes.

    Args:
        labels: [N] class numbers; items with -1 (no label) are never held out.
        share: of the classes, in (0, 1); at least one is held out and at least one stays.
        seed: the same seed holds out the same classes.

    Returns:
        bool [N].

    Raises:
        CatalogError: fewer than two classes, or a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise CatalogError(f"the share of classes to hold out must lie between 0 and 1, not {share}")
    classes = np.unique(labels[labels >= 0])
    if len(classes) < 2:
        raise CatalogError(f"classes cannot be held out: there are {len(classes)}, and at least 2 are needed")
    count = min(max(1, round(share * len(classes))), len(classes) - 1)
    held_out = np.random.default_rng(seed).permutation(classes)[:count]
    return np.isin(labels, held_out)


def later_half(labels: Sequence[str | None]) -> np.ndarray:
    """Which items belong to the later half of the classes in the order of their names, as CUB and Cars196 are split.

    Of an odd number of classes one more stays. Items without a label never belong to it.

    Args:
        labels: of N items.

    Returns:
        bool [N].

    Raises:
        CatalogError: fewer than two classes.
    """
    classes = sorted({label for label in labels if label is not None})
    if len(classes) < 2:
        raise CatalogError(f"classes cannot be split: there are {len(classes)}, and at least 2 are needed")
    later = {*classes[(len(classes) + 1) // 2 :]}
    return np.array([label in later for label in labels], dtype=bool)
