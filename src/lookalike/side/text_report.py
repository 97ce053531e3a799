"""What the descriptions of a catalog are worth: how many there are, what they hold, which classes they hold alike."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lookalike.catalog import Catalog
from lookalike.progress import track
from lookalike.side.cleaning import STEPS, Cleaning, words
from lookalike.side.distances import from_vectors
from lookalike.side.scaling import SCALINGS, hubness
from lookalike.side.text_encoders import make_text_encoder
from lookalike.side.vectors import SideVectors

#: Pairs of classes shown, and classes compared; of more, as many evenly spread.
PAIRS, MOST_CLASSES = 5, 4_000
#: Squared distance below which descriptions tell two classes hardly apart.
ALIKE = 0.01


@dataclass(frozen=True)
class ClassDistances:
    """Squared distances between the classes' mean description vectors, in [0, 4].

    Attributes:
        classes: compared: those with a description.
        mean, deviation: over all pairs, by scaling; a small deviation: all pairs look alike.
        hubness: by scaling; above 1: a few classes are near to nearly all.
        alike: classes that have another one within 0.01 of them ("centered").
        nearest, farthest: (class, class, distance), with "centered" vectors.
    """

    classes: int
    mean: dict[str, float]
    deviation: dict[str, float]
    hubness: dict[str, float]
    alike: int
    nearest: list[tuple[str, str, float]]
    farthest: list[tuple[str, str, float]]


@dataclass(frozen=True)
class TextReport:
    """What was found in the text column.

    Attributes:
        items: N.
        usable: items whose text holds a word.
        distinct: different usable texts.
        words_per_text: min, median and max over the distinct texts.
        commonest: the text most items share, and how many do.
        cleaning: distinct texts that each step of the clean-up would change.
        brands: words that the step "brands" would drop, those that begin most texts first.
        classes: distances between classes; None without labels, or with fewer than two described classes.
    """

    items: int
    usable: int
    distinct: int
    words_per_text: dict[str, float]
    commonest: tuple[str, int] | None
    cleaning: dict[str, int]
    brands: list[str]
    classes: ClassDistances | None

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)


def text_report(catalog: Catalog) -> TextReport | None:
    """Read the descriptions and compare the classes by them (TF-IDF: seconds); None without a text column."""
    if "text" not in catalog:
        return None
    texts = catalog.column("text")
    counts = Counter(text for text in texts if words(text))
    distinct = list(counts)
    lengths = [len(words(text)) for text in distinct]
    beginnings = Counter(words(text)[0] for text in distinct)
    brands = Cleaning.learn(STEPS, distinct).brands
    steps = {step: Cleaning((step,), brands) for step in STEPS}
    changed = Counter(
        step for text in track(distinct, "trying the clean-up") for step, clean in steps.items() if clean(text) != text
    )
    return TextReport(
        items=len(catalog),
        usable=counts.total(),
        distinct=len(distinct),
        words_per_text={"min": min(lengths), "median": float(np.median(lengths)), "max": max(lengths)}
        if lengths
        else {},
        commonest=counts.most_common(1)[0] if counts else None,
        cleaning={step: changed[step] for step in STEPS},
        brands=sorted(brands, key=lambda brand: (-beginnings[brand], brand)),
        classes=_class_distances(catalog, texts) if "label" in catalog and distinct else None,
    )


def _class_distances(catalog: Catalog, texts: list[str | None]) -> ClassDistances | None:
    encoder = make_text_encoder("tfidf", texts)
    side = SideVectors(catalog.column("item_id"), encoder.encode(texts), encoder.fingerprint)
    labels, names = catalog.label_numbers()
    described = np.unique(labels[side.known & (labels >= 0)])
    if len(described) < 2:
        return None
    chosen = described[np.linspace(0, len(described) - 1, min(len(described), MOST_CLASSES)).astype(int)]
    upper = np.triu_indices(len(chosen), 1)
    by_scaling = {
        scaling: from_vectors(side.of_classes(labels, len(names), scaling=scaling)[chosen])  # type: ignore[arg-type]
        for scaling in SCALINGS
    }
    centered = by_scaling["centered"]
    order = np.argsort(centered[upper], kind="stable")

    def named(pairs: np.ndarray) -> list[tuple[str, str, float]]:
        found = [(int(upper[0][pair]), int(upper[1][pair])) for pair in pairs.tolist()]
        return [(names[chosen[a]], names[chosen[b]], round(float(centered[a, b]), 4)) for a, b in found]

    others = centered + MOST_CLASSES * np.eye(len(chosen))
    return ClassDistances(
        classes=len(chosen),
        mean={name: float(matrix[upper].mean()) for name, matrix in by_scaling.items()},
        deviation={name: float(matrix[upper].std()) for name, matrix in by_scaling.items()},
        hubness={name: hubness(matrix) for name, matrix in by_scaling.items()},
        alike=int((others.min(axis=1) < ALIKE).sum()),
        nearest=named(order[:PAIRS]),
        farthest=named(order[::-1][:PAIRS]),
    )
