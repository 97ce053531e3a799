"""Backbones by name, and one clear sentence for each way of not having one."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors.torch import load_file, save_file
from torch import nn

from lookalike.encoders import Encoder, backbones
from lookalike.encoders.backbones import BackboneConfig, OwnInput, build, feature_dim, own_input
from lookalike.errors import EncoderError

NAME = "test_efficientnet"
SMALL = BackboneConfig(NAME, 32)


def with_other_weights() -> nn.Module:
    torch.manual_seed(7)
    return build(SMALL)


def test_the_models_own_input_is_known() -> None:
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert own_input("resnet18") == OwnInput(224, *imagenet, crop_share=0.95, resampling="bicubic", is_fixed=False)
    assert own_input("vgg19") == OwnInput(224, *imagenet, crop_share=0.875, resampling="bilinear", is_fixed=False)
    assert (own_input("test_vit").size, own_input("test_vit").is_fixed) == (160, True)
    assert own_input("vit_tiny_patch16_224").mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("use", [own_input, lambda name: build(BackboneConfig(name, 32))])
def test_an_unknown_name_gets_the_nearest(use: Any) -> None:
    with pytest.raises(EncoderError, match=r"there is no backbone 'resnet5O'. Did you mean 'resnet50'"):
        use("resnet5O")
    with pytest.raises(EncoderError, match=r"'resnet18' has no published 'resnet18.a1_in2k'.* 'resnet18.a1_in1k'"):
        use("resnet18.a1_in2k")


def test_a_published_variant_is_known() -> None:
    assert own_input("resnet18.a1_in1k").size == 224


def test_a_transformer_is_built_for_another_image_size() -> None:
    model = build(BackboneConfig("vit_tiny_patch16_224", 64))
    assert feature_dim(model, 64) == 192
    assert model.pos_embed.shape[1] == 1 + 16


@pytest.mark.parametrize(("name", "size"), [("convnext_atto", 8), ("test_vit", 20)])
def test_an_image_size_the_model_cannot_take(name: str, size: int) -> None:
    with pytest.raises(EncoderError, match=f"cannot take pictures of {size} px .*; choose another image_size"):
        feature_dim(build(BackboneConfig(name, size)), size)


def test_a_model_that_does_not_pool_is_told_to() -> None:
    with pytest.raises(EncoderError, match=r"features of shape \(1, 3, 8, 8\); set a pooling: avg"):
        feature_dim(nn.Identity(), 8)


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_the_mode_alone(training: bool) -> None:
    model = build(SMALL).train(training)
    assert feature_dim(model, 32) == 256
    assert model.training is training


@pytest.mark.parametrize(
    "fault",
    [
        LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub.\nmore"),
        OfflineModeIsEnabled("Cannot reach https://hub.example: offline mode is enabled."),
        OSError("Name or service not known"),
        KeyError("url"),
        RuntimeError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_weights_that_cannot_be_downloaded(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise fault

    monkeypatch.setattr(backbones, "_reach_hub", lambda *_: None)
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(EncoderError) as caught:
        build(SMALL, pretrained=True)
    sentence = str(caught.value)
    assert (
        f"the published weights of '{NAME}' could not be loaded ({(str(fault) or 'RuntimeError').splitlines()[0]})"
        in sentence
    )
    for remedy in ("connect to the network once", "encoder.weights = 'FILE.safetensors'", "encoder.pretrained = false"):
        assert remedy in sentence
    assert "\n" not in sentence


# The Hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hub cache with one model in it, and no network: every request is refused at once."""
    folder = tmp_path / "models--shop--tiny"
    snapshot = folder / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0")
    config = {"input_size": [3, 64, 64], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.4, 0.4], "fixed_input_size": True}
    config |= {"classifier": "head", "first_conv": "patch_embed.proj"}
    arguments = {"depth": 2, "num_classes": 7}
    content = {"architecture": "test_vit", "num_classes": 7, "pretrained_cfg": config, "model_args": arguments}
    (snapshot / "config.json").write_text(json.dumps(content))
    torch.manual_seed(3)
    model = timm.create_model("test_vit", img_size=64, **arguments)
    save_file(model.state_dict(), snapshot / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return snapshot


def test_a_model_on_the_hub_comes_with_its_input_and_is_saved_without_the_hub(hub: Path, tmp_path: Path) -> None:
    assert own_input("hf-hub:shop/tiny") == OwnInput(64, (0.1, 0.2, 0.3), (0.4, 0.4, 0.4), 0.875, is_fixed=True)
    encoder = Encoder.create("hf-hub:shop/tiny", 8)
    stored = load_file(hub / "model.safetensors")
    assert torch.equal(encoder.backbone.state_dict()["patch_embed.proj.weight"], stored["patch_embed.proj.weight"])
    assert len(encoder.backbone.blocks) == 2  # type: ignore[arg-type]
    encoder.save(tmp_path / "encoder")
    for file in hub.iterdir():
        file.unlink()
    again = Encoder.load(tmp_path / "encoder")
    assert (again.fingerprint, again.config.name) == (encoder.fingerprint, "test_vit")


@pytest.mark.parametrize("name", ["hf-hub:shop/large", "hf-hub:shop/large@v2", "resnet18.a1_in1k"])
def test_what_is_neither_kept_nor_reached_is_told_at_once(
    name: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    asked = []

    def unreachable(url: str, timeout: float) -> None:
        asked.append(timeout)
        raise OSError("no route to host")

    monkeypatch.setattr(backbones, "get_hf_file_metadata", unreachable)
    with pytest.raises(EncoderError, match=r"could not be loaded \(no route to host\); connect to the network once"):
        Encoder.create(name, 8)
    assert asked == [backbones.PATIENCE]


def test_a_model_without_a_file_of_that_name_was_reached(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise EntryNotFoundError("404")

    monkeypatch.setattr(backbones, "get_hf_file_metadata", absent)
    assert backbones._reach_hub("shop/other", "config.json") is None  # type: ignore[func-returns-value]


def test_what_is_kept_is_not_asked_for(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(backbones, "get_hf_file_metadata", asked)
    assert Encoder.create("hf-hub:shop/tiny", 8).dim == 8
    with pytest.raises(EncoderError, match="asked"):
        Encoder.create("hf-hub:shop/other", 8)


# Weights of a local file


def test_a_local_file_is_loaded_and_wins_over_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = with_other_weights()
    save_file(wanted.state_dict(), tmp_path / "w.safetensors")
    asked, create = [], timm.create_model

    def spy(*args: object, **options: Any) -> nn.Module:
        asked.append(options["pretrained"])
        return create(*args, **options)

    monkeypatch.setattr(backbones.timm, "create_model", spy)
    torch.manual_seed(8)
    model = build(SMALL, pretrained=True, weights=tmp_path / "w.safetensors")
    assert asked == [False]
    assert all(torch.equal(value, wanted.state_dict()[name]) for name, value in model.state_dict().items())
    assert not torch.equal(build(SMALL).conv_stem.weight, wanted.conv_stem.weight)


def test_a_classifier_beside_and_missing_counters_do_not_matter(tmp_path: Path) -> None:
    state = timm.create_model(NAME, num_classes=10).state_dict()
    assert "classifier.weight" in state
    state = {name: value for name, value in state.items() if "num_batches_tracked" not in name}
    save_file(state, tmp_path / "w.safetensors")
    model = build(SMALL, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(model.conv_stem.weight, state["conv_stem.weight"])


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(kind: torch.dtype, tmp_path: Path) -> None:
    state = with_other_weights().state_dict()
    save_file({name: value.to(kind) for name, value in state.items()}, tmp_path / "w.safetensors")
    model = build(SMALL, weights=tmp_path / "w.safetensors")
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32, torch.int64}
    assert torch.equal(model.conv_stem.weight, state["conv_stem.weight"].to(kind).float())


def test_files_that_hold_no_such_weights(tmp_path: Path) -> None:
    state = with_other_weights().state_dict()
    whole = tmp_path / "whole.safetensors"
    save_file(state, whole)
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:-100])
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "text.safetensors").write_text("hello " * 20)
    (tmp_path / "folder.safetensors").mkdir()
    save_file(
        {name: value for name, value in state.items() if name != "conv_stem.weight"}, tmp_path / "less.safetensors"
    )
    save_file(state | {"conv_stem.weight": torch.zeros(3, 3)}, tmp_path / "shape.safetensors")
    for name, sentence in {
        "lost.safetensors": "there is no weights file .*lost.safetensors",
        "w.pth": r"w.pth: weights are read from .safetensors files only, since others can run code",
        "cut.safetensors": "cut.safetensors is damaged or not a .safetensors file",
        "empty.safetensors": "empty.safetensors is damaged",
        "text.safetensors": "text.safetensors is damaged",
        "folder.safetensors": "folder.safetensors is damaged",
        "less.safetensors": f"does not fit backbone '{NAME}': it lacks 'conv_stem.weight' .1 missing, 0 of another",
        "shape.safetensors": "it has another shape of 'conv_stem.weight' .0 missing, 1 of another shape",
    }.items():
        with pytest.raises(EncoderError, match=sentence):
            build(SMALL, weights=tmp_path / name)
