"""What a run works on: which items train, validate and test, and the frozen backbone's features of all of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lookalike.catalog import Catalog
from lookalike.catalog.splits import hold_out_classes
from lookalike.encoders import Encoder
from lookalike.encoders.cache import cached_features
from lookalike.errors import CatalogError, EvaluationError
from lookalike.evaluation import Protocol, protocols_for
from lookalike.progress import note
from lookalike.recipes.recipe import Recipe
from lookalike.recipes.weak_labels import with_weak_labels
from lookalike.side.weak_labels import WeakLabels

SHOWN = 5


@dataclass(frozen=True)
class RunData:
    """Readable, labeled items. All arrays have one entry (or row) per item of `catalog`.

    Attributes:
        catalog: without the items that cannot be read or have no label.
        labels: int64 [N], numbers over all classes.
        features: float32 [N, F], of the frozen backbone.
        training: bool [N], what is trained on.
        validation: bool [N], classes held out of training to choose the best epoch.
        test: bool [N], classes never touched before the end.
        broken: (item_id, reason) of pictures left out.
    """

    catalog: Catalog
    labels: np.ndarray
    features: np.ndarray
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    broken: list[tuple[str, str]]

    @cached_property
    def training_catalog(self) -> Catalog:
        """The training items alone; taken once, since their pictures are copied."""
        return self.catalog.take(np.flatnonzero(self.training))

    @property
    def training_labels(self) -> np.ndarray:
        """int64 [T], the classes of the training items numbered 0..C-1."""
        return np.unique(self.labels[self.training], return_inverse=True)[1].astype(np.int64)

    def test_protocols(self) -> list[Protocol]:
        """Who queries whom in the end; none if nothing can be judged."""
        return self._protocols(self.test)

    def validation_protocols(self) -> list[Protocol]:
        """Who queries whom to choose the best weights; test items are not even distractors here."""
        return self._protocols(self.validation, ~self.test)

    def _protocols(self, held_out: np.ndarray, visible: np.ndarray | None = None) -> list[Protocol]:
        try:
            return protocols_for(self.catalog, held_out, visible)
        except EvaluationError:
            return []


@dataclass(frozen=True)
class LabeledItems:
    """The items of a catalog that take part: those with a label, in a known split.

    Attributes:
        catalog: of N items.
        labels: int64 [N], class numbers.
        test: bool [N].
        weak: what the labels of the training items were made from, if from descriptions.
    """

    catalog: Catalog
    labels: np.ndarray
    test: np.ndarray
    weak: WeakLabels | None = None


def labeled_items(recipe: Recipe, catalog: Catalog) -> LabeledItems:
    """What takes part, by the table alone: refuses before any long work.

    Raises:
        CatalogError: no labels, a class both in train and in test, or too little to train on.
        SideError: weak labels are asked for, and the descriptions give none.
    """
    weak = None
    if recipe.weak_labels.how != "off":
        catalog, weak = with_weak_labels(recipe, catalog)
    if "label" not in catalog:
        raise CatalogError(
            f"{catalog.name} has no labels; name the column with label=... (--label), or learn from the descriptions: "
            "weak_labels.how = 'near' (see lookalike describe)"
        )
    labels, _ = catalog.label_numbers()
    test, kept = _test_items(catalog, labels, recipe)
    _check_classes(catalog.name, labels[kept & ~test])
    return LabeledItems(catalog.take(np.flatnonzero(kept)), labels[kept], test[kept], weak)


def prepare(recipe: Recipe, items: LabeledItems, encoder: Encoder) -> RunData:
    """Read every picture once, leave out those that cannot be read, and set validation classes aside.

    Raises:
        CatalogError: what can be read is too little to train on.
    """
    embedded = cached_features(encoder, items.catalog)
    _tell_of_broken(embedded.broken)
    rows = embedded.rows
    catalog, labels, test = items.catalog.take(rows), items.labels[rows], items.test[rows]
    validation = _validation_items(catalog, labels, test, recipe)
    training = ~test & ~validation
    _check_classes(catalog.name, labels[training])
    return RunData(catalog, labels, embedded.embeddings, training, validation, test, embedded.broken)


def _test_items(catalog: Catalog, labels: np.ndarray, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Which items are for testing, and which take part at all."""
    if "split" not in catalog:
        test = hold_out_classes(labels, recipe.evaluation.test_share, recipe.training.seed)
        note(f"no split column: {len(np.unique(labels[test]))} classes are held out as test")
        return test, labels >= 0
    split = np.array([value or "" for value in catalog.column("split")])
    kept = (labels >= 0) & np.isin(split, ["train", "validation", "test"])
    test = split == "test"
    both = np.intersect1d(labels[kept & test], labels[kept & ~test])
    if len(both):
        _, names = catalog.label_numbers()
        raise CatalogError(
            f"{catalog.name}: {len(both)} classes are in train and in test, {names[both[0]]!r} first; metric learning "
            "is judged on classes never seen, so give each class to one split (or drop the split column)"
        )
    if not (kept & ~test).any():
        raise CatalogError(f"{catalog.name}: no labeled item has split 'train'; there are {sorted(set(split))}")
    return test, kept


def _check_classes(name: str, labels: np.ndarray) -> None:
    classes = len(np.unique(labels))
    if classes < 2:
        raise CatalogError(f"{name} has {classes} class to train on; at least 2 are needed")


def _validation_items(catalog: Catalog, labels: np.ndarray, test: np.ndarray, recipe: Recipe) -> np.ndarray:
    """The catalog's own validation items, with all else of their classes; or a share of the training classes."""
    if "split" in catalog and "validation" in catalog.column("split"):
        own = np.array([split == "validation" for split in catalog.column("split")])
        return np.asarray(np.isin(labels, labels[own]) & ~test)
    share = recipe.training.validation_share
    candidates = np.where(test, -1, labels)
    # With three classes or fewer nothing can be spared.
    if share == 0 or len(np.unique(candidates[candidates >= 0])) < 4:
        return np.zeros(len(labels), dtype=bool)
    return hold_out_classes(candidates, share, recipe.training.seed)


def _tell_of_broken(broken: list[tuple[str, str]]) -> None:
    for item, reason in broken[:SHOWN]:
        note(f"left out {item!r}: {reason}")
    if len(broken) > SHOWN:
        note(f"... and {len(broken) - SHOWN} more pictures that cannot be read; see lookalike check")
