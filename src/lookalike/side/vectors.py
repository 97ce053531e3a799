"""SideVectors: one vector per item, and per class, with the name of what made them."""

from dataclasses import dataclass, replace

import numpy as np

from lookalike.catalog import Catalog
from lookalike.errors import SideError
from lookalike.side.cached import cached_vectors
from lookalike.side.fasttext import FastTextEncoder
from lookalike.side.scaling import Scaling, scaled
from lookalike.side.text_encoders import TextEncoder


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

    def scaled(self, scaling: Scaling = "centered") -> "SideVectors":
        """The same items with their vectors scaled; see `scaling.scaled`."""
        return replace(self, vectors=scaled(self.vectors, scaling), maker=f"{self.maker} {scaling}")

    def of_classes(self, labels: np.ndarray, num_classes: int, *, scaling: Scaling = "centered") -> np.ndarray:
        """One vector per class: the mean of its items that have one.

        Args:
            labels: int64 [N], class numbers; -1 for none.
            num_classes: C.
            scaling: of the means. Descriptions of one shop share most of their words, so that their vectors all point
                one way; what tells classes apart is the rest, which "centered" keeps.

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
        means = np.zeros_like(sums)
        means[described] = sums[described] / counts[described, None]
        return scaled(means, scaling)


def texts_of(catalog: Catalog, column: str = "text") -> list[str | None]:
    """What a column says of each item.

    Raises:
        SideError: there is no such column.
    """
    if column not in catalog:
        named = "name it with text=... (--text)" if column == "text" else "set text.column to one it has"
        raise SideError(f"{catalog.name} has no {column} column; {named}, or choose a loss without text")
    return [None if value is None else str(value) for value in catalog.column(column)]


def describe_items(
    catalog: Catalog, encoder: TextEncoder | None = None, *, column: str = "text", dim: int = 64, epochs: int = 0
) -> SideVectors:
    """Vectors of the catalog's descriptions, from the cache where they are known.

    Args:
        catalog: N items.
        encoder: by default a fastText model trained on the descriptions.
        column: with the descriptions; "label" describes each item by the name of its class.
        dim: T, of the fastText model.
        epochs: of its training; 0: as many as it takes.

    Raises:
        SideError: the catalog has no such column, or it holds no word.
    """
    texts = texts_of(catalog, column)
    encoder = encoder or FastTextEncoder.fit(texts, dim, epochs)
    return SideVectors(catalog.column("item_id"), cached_vectors(encoder, texts), encoder.fingerprint)
