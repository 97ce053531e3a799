"""SideVectors: one vector per item, and per class, with the name of what made them."""

from dataclasses import dataclass

import numpy as np

from lookalike.catalog import Catalog
from lookalike.errors import SideError
from lookalike.side.text_encoders import FastTextEncoder, TextEncoder


@dataclass(frozen=True)
class SideVectors:
    """What another modality says of the items.

    Attributes:
        item_ids: [N].
        vectors: float32 [N, T], unit rows; zeros where an item has no side information.
        maker: fingerprint of what made them.
    """

    item_ids: list[str]
    vectors: np.ndarray
    maker: str

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.item_ids):
            raise SideError(f"{len(self.item_ids)} items have side vectors of shape {self.vectors.shape}")

    @property
    def known(self) -> np.ndarray:
        """bool [N]: which items have side information at all."""
        return np.asarray(np.any(self.vectors != 0, axis=1))

    def of_classes(self, labels: np.ndarray, num_classes: int, *, center: bool = True) -> np.ndarray:
        """One vector per class: the mean of its items that have one.

        Args:
            labels: int64 [N], class numbers; -1 for none.
            num_classes: C.
            center: subtract the mean class first. Descriptions of one shop share most of their words, so that their
                vectors all point one way; what tells classes apart is the rest.

        Returns:
            float32 [C, T], unit rows; zeros for a class without side information, which then has the same middling
            distance to all.

        Raises:
            SideError: fewer than two classes have side information.
        """
        usable = self.known & (labels >= 0)
        sums = np.zeros((num_classes, self.vectors.shape[1]))
        np.add.at(sums, labels[usable], self.vectors[usable])
        counts = np.bincount(labels[usable], minlength=num_classes)
        described = counts > 0
        if described.sum() < 2:
            raise SideError(
                f"{int(described.sum())} of {num_classes} classes have a description; text margins need at least two: "
                "fill the text column, or choose a loss without text (loss.name = 'normalized_softmax')"
            )
        means = sums[described] / counts[described, None]
        if center:
            means -= means.mean(axis=0)
        vectors = np.zeros_like(sums)
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        vectors[described] = np.divide(means, lengths, out=np.zeros_like(means), where=lengths > 1e-12)
        return vectors.astype(np.float32)


def describe_items(
    catalog: Catalog, encoder: TextEncoder | None = None, *, dim: int = 64, epochs: int = 20
) -> SideVectors:
    """Vectors of the catalog's descriptions; by default of a fastText model trained on them.

    Raises:
        SideError: the catalog has no text column, or it holds no word.
    """
    if "text" not in catalog:
        raise SideError(
            f"{catalog.name} has no text column; name it with text=... (--text), or choose a loss without text"
        )
    texts = catalog.column("text")
    encoder = encoder or FastTextEncoder.fit(texts, dim, epochs)
    return SideVectors(catalog.column("item_id"), encoder.encode(texts), encoder.fingerprint)
