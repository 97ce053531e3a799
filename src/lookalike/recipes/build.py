"""From settings to things: the only file that knows both."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import numpy as np
import torch
from torch import nn

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder
from lookalike.encoders.backbones import own_input
from lookalike.errors import EncoderError, ImageError, LossInputError, RecipeError, did_you_mean
from lookalike.losses import (
    LOSSES,
    REGULARIZERS,
    CrossBatchMemory,
    Loss,
    Proxies,
    SimilarityPreservation,
    WeightedSum,
    from_pml,
)
from lookalike.losses.memory import compares_items
from lookalike.progress import note
from lookalike.recipes.recipe import EncoderSettings, LossSettings, Recipe

#: How many pictures are looked at to settle the image size, and the smallest it settles on, in pixels.
SAMPLED, SMALLEST = 64, 96
#: What the name of a loss of pytorch-metric-learning begins with.
PML = "pml."
#: What can be added to a loss.
KNOWN = LOSSES | REGULARIZERS
#: Constructor arguments the run fills in; a recipe cannot set them.
FILLED_IN = ("num_classes", "dim", "proxies", "class_side_vectors", "class_distances")


def with_image_size(recipe: Recipe, catalog: Catalog) -> Recipe:
    """The recipe with its image size settled: small pictures are not enlarged for nothing."""
    if recipe.encoder.image_size:
        return recipe
    own = own_input(recipe.encoder.backbone)
    if own.is_fixed:
        return recipe.override({"encoder.image_size": own.size})
    return recipe.override({"encoder.image_size": min(own.size, max(SMALLEST, typical_px(catalog) or own.size))})


def typical_px(catalog: Catalog) -> int | None:
    """The median of the longer sides of some pictures, up to a multiple of 32; None if none can be read."""
    rows = np.linspace(0, len(catalog) - 1, min(SAMPLED, len(catalog))).astype(int)
    longer = [side for row in rows.tolist() if (side := _longer_side(catalog, row))]
    return -(-int(np.median(longer)) // 32) * 32 if longer else None


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
        crop_share=settings.crop_share or None,
        head_norm=settings.head_norm,
        freeze_patch_embedding=settings.freeze_patch_embedding,
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
    settings: LossSettings,
    num_classes: int,
    dim: int,
    class_side_vectors: Callable[[], np.ndarray],
    keep_similarities: float = 0.0,
) -> Loss:
    """A new loss for these classes, with what is added to it; all of ours with a class table share one.

    The text vectors [C, T] are asked for only if a part takes them, and once.
    """
    proxies = cache(partial(Proxies, num_classes, dim))
    text = cache(class_side_vectors)
    parts = {
        name.removeprefix(PML): (weight, _build_part(name, arguments, num_classes, dim, proxies, text))
        for name, (weight, arguments) in _parts(settings).items()
    }
    if settings.memory.size:
        name = settings.name.removeprefix(PML)
        parts[name] = (1.0, CrossBatchMemory(parts[name][1], **settings.memory.model_dump()))
    if keep_similarities:
        parts["kept"] = (keep_similarities, SimilarityPreservation())
    return WeightedSum(parts) if len(parts) > 1 else parts[settings.name.removeprefix(PML)][1]


def _build_part(
    name: str,
    arguments: dict[str, Any],
    num_classes: int,
    dim: int,
    proxies: Callable[[], Proxies],
    class_side_vectors: Callable[[], np.ndarray],
) -> Loss:
    if name.startswith(PML):
        return from_pml(name.removeprefix(PML), num_classes, dim, **arguments)
    loss = KNOWN[name]
    filled: dict[str, Any] = {}
    known = _arguments(loss)
    if "proxies" in known:
        filled["proxies"] = proxies()
    # A loss that can leave its text out has a switch.
    switch = known.get("text_margins")
    if "class_side_vectors" in known and (switch is None or arguments.get("text_margins", switch.default)):
        filled["class_side_vectors"] = torch.from_numpy(class_side_vectors())
    return loss(**filled, **arguments)


def _parts(settings: LossSettings) -> dict[str, tuple[float, dict[str, Any]]]:
    """Weight and arguments of the loss and of what is added to it, by name."""
    added = {name: (part.weight, part.arguments) for name, part in settings.plus.items()}
    return {settings.name: (1.0, settings.arguments)} | added


def check_loss_settings(settings: LossSettings, where: str) -> None:
    """Refuse an unknown loss, an argument its constructor does not have, and a value of another type."""
    _check_part(settings.name, settings.arguments, LOSSES, f"{where}: loss", f"{where}: there is no loss")
    if settings.memory.size and settings.name.startswith(PML):
        raise RecipeError(f"{where}: loss.memory is for our losses: set loss.memory_size = {settings.memory.size}")
    if settings.memory.size and not compares_items(LOSSES[settings.name]):
        raise RecipeError(
            f"{where}: loss.memory is of no use to {settings.name}, which does not compare items: take loss.name = "
            f"{' or '.join(repr(name) for name, loss in LOSSES.items() if compares_items(loss))}, or leave it out"
        )
    for name, part in settings.plus.items():
        if name == settings.name:
            raise RecipeError(f"{where}: loss.plus.{name} is the loss itself: remove it")
        _check_part(name, part.arguments, KNOWN, f"{where}: loss.plus.{name}", f"{where}: loss.plus: there is no")
    tables = [name for name in _parts(settings) if name in LOSSES and "proxies" in _arguments(LOSSES[name])]
    for name in settings.plus:
        if not tables and name in REGULARIZERS and "proxies" in _arguments(REGULARIZERS[name]):
            raise RecipeError(
                f"{where}: loss.plus.{name} needs the proxies of a loss, and {settings.name} has none here: take "
                f"loss.name = 'normalized_softmax', or remove it"
            )


def _check_part(name: str, arguments: dict[str, Any], table: Mapping[str, type[Loss]], place: str, absent: str) -> None:
    for key in (*FILLED_IN, "name"):
        if key in arguments:
            raise RecipeError(f"{place}.{key} is filled in by the run and cannot be set")
    if name.startswith(PML):
        try:
            with torch.random.fork_rng(devices=[]):
                from_pml(name.removeprefix(PML), 2, 2, **arguments)
        except LossInputError as error:
            raise RecipeError(f"{place}: {error}") from None
        return
    if name not in table:
        raise RecipeError(f"{absent} {name!r}.{did_you_mean(name, table)}")
    known = {key: p for key, p in _arguments(table[name]).items() if key not in FILLED_IN}
    for key, value in arguments.items():
        if key not in known:
            raise RecipeError(f"{place}.{key} is not a setting of {name}.{did_you_mean(key, known)}")
        _check_type(f"{place}.{key}", value, known[key].annotation)


def _check_type(name: str, value: object, wanted: Any) -> None:
    if isinstance(wanted, UnionType):  # what may be left out
        (wanted,) = (kind for kind in get_args(wanted) if kind is not NoneType)
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise RecipeError(f"{name} = {value!r}: choose one of {', '.join(map(str, get_args(wanted)))}")
    elif wanted is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RecipeError(f"{name} = {value!r}: a number is needed")
    elif isinstance(wanted, type) and not isinstance(value, wanted):
        raise RecipeError(f"{name} = {value!r}: {wanted.__name__} is needed")


def _arguments(loss: type[Loss]) -> dict[str, inspect.Parameter]:
    return {name: p for name, p in inspect.signature(loss.__init__).parameters.items() if name != "self"}
