"""Backbones: any timm model by name, with its published weights, a local file's, or none."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import load_model_config_from_hf
from torch import nn

from lookalike.encoders import bn_inception  # noqa: F401 (registers its model with timm)
from lookalike.encoders.mode import looking
from lookalike.encoders.poolings import Pooling
from lookalike.errors import EncoderError, did_you_mean

#: What the name of a model on the Hub begins with.
HUB = "hf-hub:"
#: Files of a model on the Hub that hold its weights; and how long the Hub may take to answer, in seconds.
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PATIENCE = 5.0


@dataclass(frozen=True)
class BackboneConfig:
    """What a backbone needs to be built again.

    Attributes:
        name: of the timm model, or of a model of that kind on the Hub, hf-hub:OWNER/NAME.
        image_size: side of its square input in pixels.
        pooling: of its last feature map, one of `poolings.POOLINGS`; None: the model's own way.
        arguments: more for timm, as a model on the Hub may have them.
    """

    name: str
    image_size: int
    pooling: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnInput:
    """The pictures a model was made for: side in pixels, means and deviations of the channels, cut and resizing."""

    size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop_share: float = 1.0
    resampling: str = "bicubic"
    is_fixed: bool = False


def own_input(name: str) -> OwnInput:
    """What a model wants, by its published configuration.

    Raises:
        EncoderError: timm has no such model, or the Hub cannot be reached.
    """
    config = _published(name)[0]
    if config is None:
        return OwnInput()
    resampling = config.interpolation if config.interpolation in ("bilinear", "bicubic") else "bicubic"
    return OwnInput(
        config.input_size[-1], tuple(config.mean), tuple(config.std), config.crop_pct, resampling,
        config.fixed_input_size,
    )  # fmt: skip


def build(config: BackboneConfig, *, pretrained: bool = False, weights: str | Path | None = None) -> nn.Module:
    """A model that maps normalized pictures [B, 3, S, S] to features [B, F], by its own pooling.

    Args:
        config: which model.
        pretrained: load the weights timm publishes (needs the network or a filled Hub cache).
        weights: a local `.safetensors` file of the model's own parameter names; wins over `pretrained`.

    Raises:
        EncoderError: no such model, or weights that cannot be had or do not fit.
    """
    check_name(config.name)
    model = _create(config, pretrained=pretrained and weights is None)
    if weights is not None:
        _load(model, Path(weights), config.name)
    return model


def without_hub(config: BackboneConfig) -> BackboneConfig:
    """The same model by the name of its architecture, so that building it again needs no network."""
    _, name, arguments = _published(config.name)
    return replace(config, name=name, arguments=arguments | config.arguments)


def check_name(name: str) -> None:
    """Refuse a name timm does not know, with the nearest names."""
    if name.startswith(HUB):
        return
    architecture = name.split(".")[0]
    if not timm.is_model(architecture):
        raise EncoderError(f"there is no backbone {name!r}.{did_you_mean(name, timm.list_models())}")
    published = timm.list_models(f"{architecture}.*", pretrained=True)
    if name != architecture and name not in published:
        raise EncoderError(f"backbone {architecture!r} has no published {name!r}.{did_you_mean(name, published)}")


def patch_embedding(model: nn.Module, name: str) -> nn.Module:
    """The layer of a transformer that makes tokens of patches.

    Raises:
        EncoderError: the model has none.
    """
    found = getattr(model, "patch_embed", None)
    if not isinstance(found, nn.Module):
        raise EncoderError(f"backbone {name!r} has no patch embedding: set encoder.freeze_patch_embedding = false")
    return found


def feature_dim(model: nn.Module, image_size: int, pooling: Pooling | None = None) -> int:
    """F, measured with one picture: what a model says of itself is not always what comes out."""
    try:
        with looking(model):
            picture = torch.zeros(1, 3, image_size, image_size)
            features = model(picture) if pooling is None else pooling(model, picture)
    except EncoderError:
        raise
    except (RuntimeError, AssertionError, ValueError) as error:
        raise EncoderError(
            f"the backbone cannot take pictures of {image_size} px ({error}); choose another image_size"
        ) from error
    if features.ndim != 2:
        raise EncoderError(f"the backbone gives features of shape {tuple(features.shape)}; set a pooling: avg")
    return int(features.shape[1])


def _published(name: str) -> tuple[Any, str, dict[str, Any]]:
    """timm's configuration of a model if it has one, the name of its architecture, and its arguments."""
    check_name(name)
    if not name.startswith(HUB):
        return timm.get_pretrained_cfg(name, allow_unregistered=True), name, {}
    model = name.removeprefix(HUB)
    try:
        _reach_hub(model, "config.json")
        config, architecture, arguments = load_model_config_from_hf(model)
    except Exception as error:  # a download can fail in as many ways as there are libraries below it
        raise EncoderError(_not_downloaded(name, error)) from error
    return timm.models.PretrainedCfg(**config), architecture, dict(arguments or {})


def _reach_hub(model: str, *files: str) -> None:
    """One look at the Hub where nothing is kept yet; else its client tries for most of a minute before it gives up."""
    repository, _, named = model.partition("@")
    revision = named or None
    if any(isinstance(try_to_load_from_cache(repository, file, revision=revision), str) for file in files):
        return
    with suppress(EntryNotFoundError):  # it was reached; timm knows of more files than this one
        get_hf_file_metadata(hf_hub_url(repository, files[0], revision=revision), timeout=PATIENCE)


def _create(config: BackboneConfig, pretrained: bool) -> nn.Module:
    published, _, _ = _published(config.name)
    options: dict[str, Any] = config.arguments | {"num_classes": 0}
    if published is not None and published.fixed_input_size:
        options["img_size"] = config.image_size
    try:
        if pretrained and published is not None and published.hf_hub_id:
            _reach_hub(published.hf_hub_id, *WEIGHTS)
        model: nn.Module = timm.create_model(config.name, pretrained=pretrained, **options)
    except Exception as error:
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
        raise EncoderError(
            f"{path}: weights are read from .safetensors files only, since others can run code; docs/encoders.md shows "
            "how to convert one"
        )
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
