"""BN-Inception: the network of the published weights, and these weights turned into ours."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from lookalike.encoders import Encoder
from lookalike.encoders.bn_inception import BLOCKS, BNInception, converted


def published() -> dict[str, Tensor]:
    """A state as the published file has it: BatchNorm as [1, C], blue before red, a classifier beside."""
    torch.manual_seed(0)
    state = dict(BNInception(num_classes=1000).state_dict())
    for name, tensor in state.items():
        if name.endswith("running_var"):
            state[name] = tensor / 20  # else random layers make their input ever smaller
    return {
        name: tensor[None] if "_bn." in name and tensor.ndim else tensor
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }


def test_it_is_the_network_of_the_literature() -> None:
    """11,295,240 parameters with 1,000 classes; maps of 28, 14 and 7 pixels; widths of the blocks as published."""
    model = BNInception(num_classes=1000).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_295_240
    widths, x = {}, torch.zeros(1, 192, 28, 28)
    for name in BLOCKS:
        x = model._block(name, x)
        widths[name] = tuple(x.shape[1:3])
    assert widths == {
        "3a": (256, 28), "3b": (320, 28), "3c": (576, 14), "4a": (576, 14), "4b": (576, 14), "4c": (608, 14),
        "4d": (608, 14), "4e": (1056, 7), "5a": (1024, 7), "5b": (1024, 7),
    }  # fmt: skip
    assert model.forward_features(torch.zeros(1, 3, 224, 224)).shape == (1, 1024, 7, 7)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 1000)


def test_it_computes_what_the_best_known_port_computes() -> None:
    """Sums of the last block's branches, by `pretrainedmodels` 0.7.4 (R. Cadene); weights and pictures by formula."""
    model = BNInception().double().eval()
    state = model.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            waves = torch.cos(torch.arange(value.numel(), dtype=torch.float64) * 0.37 + len(name)).reshape(value.shape)
            if value.ndim == 4:
                state[name] = waves * (4 / value[0].numel()) ** 0.5
            else:
                state[name] = 1 + waves / 4 if name.endswith(("running_var", "_bn.weight")) else waves / 4
    model.load_state_dict(state)
    pictures = torch.cos(torch.arange(2 * 3 * 64 * 64, dtype=torch.float64) * 0.11).reshape(2, 3, 64, 64)
    with torch.inference_mode():
        features = model(pictures)
    sums = [float(part.sum()) for part in features.split([352, 320, 224, 128], dim=1)]
    assert sums == pytest.approx([304.8517977471266, 63.88782946677584, 42.339970468954846, 88.86224959308241])


def test_the_published_weights_see_what_they_saw(tmp_path: Path) -> None:
    """Pictures as red, green, blue give what the published weights give for blue, green, red."""
    original = published()
    theirs = BNInception().eval()
    plain = {name: value.squeeze(0) if "_bn." in name else value for name, value in original.items()}
    theirs.load_state_dict({n: v for n, v in plain.items() if "last_linear" not in n}, strict=False)
    save_file({name: value.contiguous() for name, value in converted(original).items()}, tmp_path / "w.safetensors")
    encoder = Encoder.create("bn_inception", 8, weights=tmp_path / "w.safetensors", image_size=64)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    caffe = pixels.flip(1).float() - torch.tensor([104.0, 117.0, 128.0]).view(1, 3, 1, 1)
    with torch.inference_mode():
        expected, found = theirs(caffe), encoder.features(pixels)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert (expected[0] - expected[1]).abs().mean() > 0.1 * expected.abs().mean()  # the pictures do matter
    assert not torch.allclose(theirs(caffe.flip(1)), expected, rtol=1e-2)  # the order of the channels matters


def test_a_file_that_is_no_such_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="conv1_7x7_s2"):
        converted({"layer1.weight": torch.zeros(1)})


def test_timm_knows_it() -> None:
    model = timm.create_model("bn_inception", num_classes=0, global_pool="max").eval()
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1024)
    assert timm.get_pretrained_cfg("bn_inception").mean == (128 / 255, 117 / 255, 104 / 255)
