"""Backbones: any timm model by name, with its published weights, a local file's, or none."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lookalike.errors import EncoderError, did_you_mean

POOLINGS = ("avg", "max", "avgmax", "catavgmax", "token")


@dataclass(frozen=True)
class BackboneConfig:
    """What a backbone needs to be built again. `pooling` None means the model's own."""

    name: str
    image_size: int
    pooling: str | None = None


def default_input(name: str) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Image size in pixels, channel means and channel deviations the model was made for.

    Raises:
        EncoderError: timm has no such model.
    """
    check_name(name)
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None:
        return 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return config.input_size[-1], tuple(config.mean), tuple(config.std)


def has_fixed_input(name: str) -> bool:
    """Whether the model takes one image size only, unless it is built for another."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return bool(config is not None and config.fixed_input_size)


def build(config: BackboneConfig, *, pretrained: bool = False, weights: str | Path | None = None) -> nn.Module:
    """A model that maps normalized pictures [B, 3, S, S] to features [B, F]; `num_features` of it is read off later.

    Args:
        config: which model.
        pretrained: load the weights timm publishes (needs the network or a filled Hub cache).
        weights: a local `.safetensors` file of the model's own parameter names; wins over `pretrained`.

    Raises:
        EncoderError: no such model, no such pooling for it, or weights that cannot be had or do not fit.
    """
    check_name(config.name)
    model = _create(config, pretrained=pretrained and weights is None)
    if weights is not None:
        _load(model, Path(weights), config.name)
    return model


def check_name(name: str) -> None:
    """Refuse a name timm does not know, with the nearest names."""
    architecture = name.split(".")[0]
    if not timm.is_model(architecture):
        raise EncoderError(f"there is no backbone {name!r}.{did_you_mean(name, timm.list_models())}")
    published = timm.list_models(f"{architecture}.*", pretrained=True)
    if name != architecture and name not in published:
        raise EncoderError(f"backbone {architecture!r} has no published {name!r}.{did_you_mean(name, published)}")


def feature_dim(model: nn.Module, image_size: int) -> int:
    """F, measured with one picture: what a model says of itself is not always what comes out."""
    was_training = model.training
    try:
        with torch.inference_mode():
            features = model.eval()(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise EncoderError(
            f"the backbone cannot take pictures of {image_size} px ({error}); choose another image_size"
        ) from error
    model.train(was_training)
    if features.ndim != 2:
        raise EncoderError(f"the backbone gives features of shape {tuple(features.shape)}; set a pooling: avg")
    return int(features.shape[1])


def _create(config: BackboneConfig, pretrained: bool) -> nn.Module:
    options: dict[str, Any] = {}
    if config.pooling is not None:
        if config.pooling not in POOLINGS:
            raise EncoderError(f"there is no pooling {config.pooling!r}.{did_you_mean(config.pooling, POOLINGS)}")
        options["global_pool"] = config.pooling
    if has_fixed_input(config.name):
        options["img_size"] = config.image_size
    try:
        model: nn.Module = timm.create_model(config.name, pretrained=pretrained, num_classes=0, **options)
    except Exception as error:  # a download can fail in as many ways as there are libraries below it
        if pretrained:
            raise EncoderError(_not_downloaded(config.name, error)) from error
        raise EncoderError(f"backbone {config.name!r} cannot be built with {options}: {error}") from error
    return model


def _not_downloaded(name: str, error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"the published weights of {name!r} could not be loaded ({reason}); connect to the network once, or give a "
        "local file (encoder.weights = 'FILE.safetensors'), or train from nothing (encoder.pretrained = false)"
    )


def _load(model: nn.Module, path: Path, name: str) -> None:
    if path.suffix != ".safetensors":
        raise EncoderError(f"{path}: weights are read from .safetensors files only, since others can run code")
    if not path.exists():
        raise EncoderError(f"there is no weights file {path}")
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{path} is damaged or not a .safetensors file: {error}") from None
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
    wrong = [key for key in wanted if key in found and found[key].shape != wanted[key].shape]
    if missing or wrong:
        what = f"lacks {missing[0]!r}" if missing else f"has another shape of {wrong[0]!r}"
        raise EncoderError(
            f"{path} does not fit backbone {name!r}: it {what} ({len(missing)} missing, {len(wrong)} of another shape)"
        )
    # A classifier the file may hold beside is not wanted. Half precision files are computed with in float32.
    model.load_state_dict({key: found[key] for key in wanted if key in found}, strict=False)
