"""What the settings of a run say its loop is fed with: inputs, and batches of rows."""

from collections.abc import Callable

import numpy as np

from lookalike.catalog import Catalog
from lookalike.catalog.batches import Batches, ClassBatches, RandomBatches
from lookalike.catalog.near_batches import NeighborBatches, by_category, by_vectors
from lookalike.encoders import Augmentation, Encoder
from lookalike.errors import CatalogError, TrainingError, did_you_mean
from lookalike.losses import Loss
from lookalike.recipes.build import typical_px
from lookalike.recipes.data import RunData
from lookalike.recipes.recipe import Recipe
from lookalike.side import SideVectors, texts_of
from lookalike.training.inputs import FeatureInputs, Inputs, PictureInputs, squares_of


def check_inputs(recipe: Recipe, catalog: Catalog) -> None:
    """Refuse, before any long work, batches for which the catalog lacks a column.

    Raises:
        CatalogError: it has no domains, or no categories.
        SideError: it has no descriptions.
    """
    settings = recipe.training
    if settings.batches == "balanced" and "domain" not in catalog:
        raise CatalogError(
            f"training.batches = 'balanced' needs domains, and {catalog.name} has none: name the column with "
            "domain=... (--domain), or take 'classes'"
        )
    if settings.batches == "categories" and settings.category_column not in catalog:
        raise CatalogError(
            f"training.batches = 'categories' needs categories, and {catalog.name} has no column "
            f"{settings.category_column!r}: set training.category_column to one it has, or take 'classes'."
            f"{did_you_mean(settings.category_column, catalog.table.column_names)}"
        )
    if settings.batches == "near_texts":
        texts_of(catalog, recipe.text.column)


def build_inputs(recipe: Recipe, data: RunData, encoder: Encoder) -> Inputs:
    """Pictures if the backbone is trained, else its features.

    Raises:
        CatalogError: the disk has no room for decoded pictures.
    """
    settings = recipe.training
    if not settings.tune_backbone:
        return FeatureInputs(data.features[data.training])
    augmentation = Augmentation(settings.min_crop, flip=settings.flip)
    catalog, preprocessing = data.training_catalog, encoder.preprocessing
    size = preprocessing.image_size
    # Squares larger than the pictures are would be of no use.
    side = min(augmentation.source_px(size), max(size, typical_px(catalog) or size))
    squares = squares_of(catalog, preprocessing, side, packed=settings.pack_pictures)
    return PictureInputs(squares, len(catalog), augmentation, size, settings.seed, encoder.device)


def build_batches(recipe: Recipe, data: RunData, loss: Loss, side_vectors: Callable[[], SideVectors]) -> Batches:
    """The batches of the training items.

    Args:
        recipe: names them.
        data: the training items.
        loss: what they are for.
        side_vectors: of the training items; asked for if they are needed.

    Raises:
        TrainingError: pictures by chance, for a loss that compares pictures of one class.
        SideError: fewer than two classes have a description.
    """
    settings, catalog, labels = recipe.training, data.training_catalog, data.training_labels
    shape = (labels, settings.classes_per_batch, settings.images_per_class, settings.seed)
    if settings.batches == "random":
        if not any(True for _ in loss.parameters()):
            raise TrainingError(
                f"{recipe.loss.name} compares pictures of one class, of which training.batches = 'random' gives few or "
                "none: take 'classes', or loss.name = 'normalized_softmax'"
            )
        return RandomBatches(labels, settings.classes_per_batch * settings.images_per_class, settings.seed)
    domains = catalog.column("domain") if "domain" in catalog else None
    if settings.batches in ("classes", "balanced"):
        return ClassBatches(*shape, domains, balanced=settings.batches == "balanced")
    if settings.batches == "categories":
        order = by_category(_categories(recipe, catalog, labels))
    else:
        order = by_vectors(side_vectors().of_classes(labels, int(labels.max()) + 1, scaling=recipe.text.scaling))
    return NeighborBatches(*shape, order, domains)


def _categories(recipe: Recipe, catalog: Catalog, labels: np.ndarray) -> np.ndarray:
    """The category of each class, int64 [C]: that of its first item."""
    values = [str(value) for value in catalog.column(recipe.training.category_column)]
    numbers = np.unique(values, return_inverse=True)[1]
    return np.asarray(numbers[np.unique(labels, return_index=True)[1]])
