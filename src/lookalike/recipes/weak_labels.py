"""Training labels from the descriptions: where there are no labels, or where those there are shall only judge."""

from textwrap import shorten

import numpy as np
import pyarrow as pa

from lookalike.catalog import Catalog
from lookalike.catalog.splits import hold_out_classes
from lookalike.errors import CatalogError
from lookalike.progress import note
from lookalike.recipes.recipe import Recipe
from lookalike.side import describe_items, make_text_encoder, texts_of
from lookalike.side.weak_labels import WeakLabels, weak_labels

LONGEST_NAME = 60


def describe_catalog(recipe: Recipe, catalog: Catalog) -> tuple[WeakLabels, np.ndarray]:
    """Weak labels of all items that are not for testing, and the rows of these items, int64 [M].

    Raises:
        CatalogError: there is no text column, or no item that is not for testing.
        SideError: the texts give no classes.
    """
    rows = np.arange(len(catalog))
    if "split" in catalog:
        rows = np.flatnonzero([split != "test" for split in catalog.column("split")])
    if not len(rows):
        raise CatalogError(f"{catalog.name}: every item has split 'test'; there is nothing to train on")
    return _weak_labels_of(recipe, catalog.take(rows)), rows


def with_weak_labels(recipe: Recipe, catalog: Catalog) -> tuple[Catalog, WeakLabels]:
    """The catalog as a run on weak labels sees it, and the weak labels of what is trained on.

    The label column of every item but the test items holds a weak label, made from those items' texts alone: no label
    of the catalog can reach training. Test items keep their labels, which judge; without labels they are judged by
    weak labels made from their own texts. Where there is no split, the catalog's labels say which classes are held out
    as test; without labels the weak ones do, later, as for any labels.

    Raises:
        CatalogError: no text column, or no item that is not for testing.
        SideError: the texts give no classes.
    """
    catalog = _with_split(recipe, catalog)
    made, rows = describe_catalog(recipe, catalog)
    labels = np.array(catalog.column("label") if "label" in catalog else [None] * len(catalog), dtype=object)
    labels[rows] = label_names(made)
    test = np.setdiff1d(np.arange(len(catalog)), rows)
    if len(test) and "label" not in catalog:
        labels[test] = label_names(_weak_labels_of(recipe, catalog.take(test)), "weak test")
    _tell(made, judged_by_labels="label" in catalog)
    return _with(catalog, "label", labels.tolist()), made


def label_names(made: WeakLabels, kind: str = "weak") -> list[str | None]:
    """[N], a name for each item's class: its number and its commonest text; None for an item in no class."""
    names = []
    for label in range(len(made.sizes)):
        [(text, _)] = made.texts_of(label, most=1)
        names.append(shorten(f"{kind} {label}: {text}", LONGEST_NAME, placeholder=" ..."))
    return [names[label] if label >= 0 else None for label in made.labels.tolist()]


def with_column(catalog: Catalog, column: str, made: WeakLabels, rows: np.ndarray) -> Catalog:
    """The catalog with the weak labels of these rows in a column; of the others it is empty."""
    values = np.full(len(catalog), None, dtype=object)
    values[rows] = label_names(made)
    return _with(catalog, column, values.tolist())


def _weak_labels_of(recipe: Recipe, catalog: Catalog) -> WeakLabels:
    if recipe.text.column not in catalog or recipe.text.column == "label":
        raise CatalogError(
            f"{catalog.name} has no {recipe.text.column} column to make weak labels from; name the descriptions with "
            "text=... (--text)"
        )
    texts = texts_of(catalog, recipe.text.column)
    settings = recipe.weak_labels.model_dump()
    how = settings.pop("how")
    vectors = None
    if how != "same_text":
        encoder = make_text_encoder(recipe.text.encoder, texts, **recipe.text.arguments)
        vectors = describe_items(catalog, encoder, column=recipe.text.column).vectors
    return weak_labels(texts, vectors, how, seed=recipe.training.seed, **settings)


def _with_split(recipe: Recipe, catalog: Catalog) -> Catalog:
    """A split by the catalog's labels, where it has labels and no split."""
    if "label" not in catalog or "split" in catalog:
        return catalog
    labels, _ = catalog.label_numbers()
    test = hold_out_classes(labels, recipe.evaluation.test_share, recipe.training.seed)
    note(f"no split column: {len(np.unique(labels[test]))} classes are held out as test")
    return _with(catalog, "split", np.where(test, "test", "train").tolist())


def _with(catalog: Catalog, column: str, values: list[str | None]) -> Catalog:
    """The catalog with a text column, in place of any of that name."""
    table = catalog.table.drop_columns([column]) if column in catalog else catalog.table
    table = table.append_column(column, pa.array(values, pa.string()))
    return Catalog(table, catalog.name, catalog.understood)


def _tell(made: WeakLabels, *, judged_by_labels: bool) -> None:
    sizes = made.sizes
    judged = "labels, which training never sees, judge" if judged_by_labels else "weak labels judge too"
    note(
        f"weak labels: {100 * made.share_labeled:.0f} % of {len(made.labels):,} items in {len(sizes):,} classes of "
        f"{sizes.min()} to {sizes.max():,}; {judged}"
    )
