"""Backbones by name, and one clear sentence for each way of not having one."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors.torch import save_file
from torch import nn

from lookalike.encoders import backbones
from lookalike.encoders.backbones import BackboneConfig, build, default_input, feature_dim
from lookalike.errors import EncoderError

NAME = "test_efficientnet"
SMALL = BackboneConfig(NAME, 32)


def with_other_weights() -> nn.Module:
    torch.manual_seed(7)
    return build(SMALL)


def test_the_models_own_input_is_known() -> None:
    assert default_input("resnet18") == (224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert default_input("test_vit")[0] == 160
    assert default_input("vit_tiny_patch16_224")[1] == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("use", [default_input, lambda name: build(BackboneConfig(name, 32))])
def test_an_unknown_name_gets_the_nearest(use: Any) -> None:
    with pytest.raises(EncoderError, match=r"there is no backbone 'resnet5O'. Did you mean 'resnet50'"):
        use("resnet5O")
    with pytest.raises(EncoderError, match=r"'resnet18' has no published 'resnet18.a1_in2k'.* 'resnet18.a1_in1k'"):
        use("resnet18.a1_in2k")


def test_a_published_variant_is_known() -> None:
    assert default_input("resnet18.a1_in1k")[0] == 224


@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax", "catavgmax"])
def test_poolings_of_a_convolutional_model(pooling: str) -> None:
    features = feature_dim(build(BackboneConfig("test_resnet", 32, pooling)), 32)
    assert features == (192 if pooling == "catavgmax" else 96)


@pytest.mark.parametrize(
    ("name", "pooling", "sentence"),
    [
        ("test_resnet", "average", r"there is no pooling 'average'. Did you mean 'avg'"),
        ("test_resnet", "token", "'test_resnet' cannot be built with .*'token'"),
        ("test_vit", "catavgmax", "'test_vit' cannot be built with .*'catavgmax'"),
    ],
)
def test_a_pooling_the_model_has_not(name: str, pooling: str, sentence: str) -> None:
    with pytest.raises(EncoderError, match=sentence):
        build(BackboneConfig(name, 32, pooling))


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
