"""Each family of backbones at a small size: features, embedding, saving; and what recipes may set of an encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lookalike.encoders import Encoder
from lookalike.encoders.backbones import BackboneConfig, build, own_input
from lookalike.encoders.transforms import Preprocessing
from lookalike.errors import EncoderError
from tests.pictures import COLORS, draw

PICTURES = [draw(label) for label in COLORS]
#: Backbone, image size, F.
FAMILIES = {
    "DeiT": ("deit_tiny_patch16_224", 32, 192),
    "distilled DeiT": ("deit_tiny_distilled_patch16_224", 32, 192),
    "ViT": ("vit_tiny_patch16_224", 32, 192),
    "DINOv2 with registers": ("vit_small_patch14_reg4_dinov2", 28, 384),
    "DINOv3": ("vit_tiny_patch16_dinov3_qkvb", 32, 192),
    "EVA": ("eva02_tiny_patch14_224", 28, 192),
    "ConvNeXt": ("convnext_atto", 32, 320),
    "MobileNet": ("mobilenetv3_small_050", 32, 1024),
    "ResNet": ("resnet50", 32, 2048),
    "BN-Inception": ("bn_inception", 32, 1024),
}
#: Too large to be drawn in a test; the 4,096 of VGG-19 are its second fully connected layer.
LARGE = {
    "vgg19": 4096,
    "deit_base_distilled_patch16_224": 768,
    "vit_small_patch16_224.dino": 384,
    "vit_base_patch14_dinov2": 768,
    "vit_small_patch16_dinov3": 384,
    "vit_base_patch16_siglip_224": 768,
    "vit_base_patch16_clip_224.openai": 768,
    "convnext_tiny": 768,
}


def encode(name: str, size: int, **options: Any) -> Encoder:
    torch.manual_seed(0)
    return Encoder.create(name, 8, pretrained=False, image_size=size, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_embeds_and_comes_back(family: str, tmp_path: Path) -> None:
    name, size, features = FAMILIES[family]
    encoder = encode(name, size)
    assert encoder.feature_dim == features
    found = encoder.embed(PICTURES)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.ptp(found, axis=0).max() > 1e-4
    assert np.array_equal(Encoder.load(encoder.save(tmp_path / "encoder")).embed(PICTURES), found)


@pytest.mark.parametrize("name", LARGE)
def test_large_ones_have_their_features(name: str) -> None:
    """On the meta device, which computes shapes alone."""
    size = own_input(name).size
    with torch.device("meta"):
        model = build(BackboneConfig(name, size))
        assert model(torch.zeros(1, 3, size, size)).shape == (1, LARGE[name])


def test_a_distilled_transformer_gives_the_mean_of_both_tokens_or_the_class_token() -> None:
    both, alone = (encode("deit_tiny_distilled_patch16_224", 32, pooling=pooling) for pooling in (None, "token"))
    images = both.prepare(PICTURES)
    with torch.inference_mode():
        tokens = both.backbone.forward_features((images.float() - both.mean) / both.std)  # type: ignore[operator]
        assert torch.allclose(both.features(images), tokens[:, :2].mean(dim=1), atol=1e-5)
        assert torch.allclose(alone.features(images), tokens[:, 0], atol=1e-5)


def test_a_frozen_patch_embedding_stays_when_the_rest_learns() -> None:
    encoder = encode("test_vit", 32, freeze_patch_embedding=True)
    encoder.tune_backbone(True)
    still = {name for name, parameter in encoder.backbone.named_parameters() if not parameter.requires_grad}
    assert still == {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert encoder.backbone.training
    encoder.tune_backbone(False)
    assert not any(parameter.requires_grad for parameter in encoder.backbone.parameters())
    free = encode("test_vit", 32)
    free.tune_backbone(True)
    assert all(parameter.requires_grad for parameter in free.backbone.parameters())
    with pytest.raises(EncoderError, match="'test_resnet' has no patch embedding"):
        encode("test_resnet", 32, freeze_patch_embedding=True)


def test_a_head_without_a_norm_is_told_apart_and_comes_back(tmp_path: Path) -> None:
    plain, normed = encode("test_resnet", 32, head_norm=False), encode("test_resnet", 32)
    features = torch.randn(3, 96)
    expected = torch.nn.functional.normalize(plain.head.linear(features), dim=1)
    assert torch.allclose(plain.embed_features(features), expected)
    assert not torch.allclose(normed.embed_features(features), expected, atol=1e-2)
    assert plain.fingerprint != normed.fingerprint
    again = Encoder.load(plain.save(tmp_path / "encoder"))
    assert torch.equal(again.embed_features(features), plain.embed_features(features))


def test_what_a_model_was_made_for_is_taken_over() -> None:
    encoder = Encoder.create("bn_inception", 8, pretrained=False, fit="crop", image_size=64)
    assert encoder.preprocessing.crop_share == own_input("bn_inception").crop_share == 0.875
    assert encoder.preprocessing.std == (1 / 255,) * 3
    assert encode("test_resnet", 32, fit="pad").preprocessing.crop_share == 1
    assert encode("test_resnet", 32, fit="crop", crop_share=0.5).preprocessing.crop_share == 0.5


@pytest.mark.parametrize("size", [(320, 320), (400, 300), (301, 517)])
def test_a_crop_is_the_middle_of_the_resized_picture(size: tuple[int, int]) -> None:
    """Resize the shorter side to 64 / 0.8 = 80 and cut the middle 64: the way papers say it."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 20, size[0] // 20, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    short = 80 / min(size)
    resized = picture.resize((round(size[0] * short), round(size[1] * short)), Image.Resampling.BICUBIC)
    left, top = (resized.width - 64) / 2, (resized.height - 64) / 2
    expected = np.asarray(resized.crop((round(left), round(top), round(left) + 64, round(top) + 64)), float)
    found = Preprocessing(64, "crop", crop_share=0.8)(picture).astype(float)
    assert np.abs(found - expected).mean() < 12  # half a pixel of each is between pixels
    assert np.abs(Preprocessing(64, "crop")(picture).astype(float) - expected).mean() > 20


def test_a_share_that_cannot_be() -> None:
    with pytest.raises(EncoderError, match=r"crop_share must lie above 0 and be at most 1, not 1.5"):
        Preprocessing(64, "crop", crop_share=1.5)
