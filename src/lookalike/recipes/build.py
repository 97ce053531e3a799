"""From settings to things: the only file that knows both."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import torch
from torch import nn

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder
from lookalike.encoders.backbones import default_input, has_fixed_input
from lookalike.errors import EncoderError, ImageError, RecipeError, did_you_mean
from lookalike.losses import LOSSES, Loss
from lookalike.progress import note
from lookalike.recipes.recipe import EncoderSettings, LossSettings, Recipe

#: Constructor arguments the run fills in; a recipe cannot set them.
#: How many pictures are looked at to settle the image size, and the smallest it settles on, in pixels.
SAMPLED, SMALLEST = 64, 96
FILLED_IN = ("num_classes", "dim", "proxies", "class_side_vectors", "class_distances")


def with_image_size(recipe: Recipe, catalog: Catalog) -> Recipe:
    """The recipe with its image size settled: small pictures are not enlarged for nothing."""
    if recipe.encoder.image_size:
        return recipe
    own, _, _ = default_input(recipe.encoder.backbone)
    if has_fixed_input(recipe.encoder.backbone):
        return recipe.override({"encoder.image_size": own})
    rows = np.linspace(0, len(catalog) - 1, min(SAMPLED, len(catalog))).astype(int)
    longer = [side for row in rows.tolist() if (side := _longer_side(catalog, row))]
    wanted = -(-int(np.median(longer)) // 32) * 32 if longer else own
    return recipe.override({"encoder.image_size": min(own, max(SMALLEST, wanted))})


def _longer_side(catalog: Catalog, row: int) -> int | None:
    try:
        return max(catalog.image(row).size)
    except ImageError:
        return None


def build_encoder(settings: EncoderSettings) -> Encoder:
    """A new encoder."""
    return Encoder.create(
        settings.backbone,
        settings.dim,
        pretrained=settings.pretrained,
        weights=settings.weights or None,
        image_size=settings.image_size or None,
        pooling=settings.pooling or None,
        fit=settings.fit,
    )


def frozen_encoder(run: Path) -> Encoder | None:
    """The backbone a run began with, its features taken as they are: the baseline of its encoder.

    None, with a note, where it cannot be had any more: no recipe beside the encoder, or its weights are gone.
    """
    try:
        recipe = Recipe.load(run / "recipe.toml")
        torch.manual_seed(recipe.training.seed)  # a backbone without weights is drawn as it was
        encoder = build_encoder(recipe.encoder)
    except (RecipeError, EncoderError) as error:
        note(f"the frozen baseline is left out: {error}")
        return None
    encoder.head = nn.Identity()  # type: ignore[assignment]
    return encoder


def build_loss(
    settings: LossSettings, num_classes: int, dim: int, class_side_vectors: Callable[[], np.ndarray]
) -> Loss:
    """A new loss for these classes; the text vectors [C, T] are asked for only if it takes them."""
    loss = LOSSES[settings.name]
    known = _arguments(loss)
    filled: dict[str, Any] = {}
    if "num_classes" in known:
        filled |= {"num_classes": num_classes, "dim": dim}
    if "class_side_vectors" in known:
        filled["class_side_vectors"] = torch.from_numpy(class_side_vectors())
    return loss(**filled, **settings.arguments)


def check_loss_settings(settings: LossSettings, where: str) -> None:
    """Refuse an unknown loss, an argument its constructor does not have, and a value of another type."""
    if settings.name not in LOSSES:
        raise RecipeError(f"{where}: there is no loss {settings.name!r}.{did_you_mean(settings.name, LOSSES)}")
    known = {name: p for name, p in _arguments(LOSSES[settings.name]).items() if name not in FILLED_IN}
    for name, value in settings.arguments.items():
        if name in FILLED_IN:
            raise RecipeError(f"{where}: loss.{name} is filled in by the run and cannot be set")
        if name not in known:
            nearest = did_you_mean(name, known)
            raise RecipeError(f"{where}: loss.{name} is not a setting of {settings.name}.{nearest}")
        _check_type(f"{where}: loss.{name}", value, known[name].annotation)


def _check_type(name: str, value: object, wanted: Any) -> None:
    if get_origin(wanted) is not None and type(value) in {type(choice) for choice in get_args(wanted)}:
        if value not in get_args(wanted):
            raise RecipeError(f"{name} = {value!r}: choose one of {', '.join(map(str, get_args(wanted)))}")
    elif wanted is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RecipeError(f"{name} = {value!r}: a number is needed")
    elif isinstance(wanted, type) and not isinstance(value, wanted):
        raise RecipeError(f"{name} = {value!r}: {wanted.__name__} is needed")


def _arguments(loss: type[Loss]) -> dict[str, inspect.Parameter]:
    return {name: p for name, p in inspect.signature(loss.__init__).parameters.items() if name != "self"}
