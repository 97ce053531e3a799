"""The last feature map to one vector: each way against its formula, on maps of every layout, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lookalike.encoders import Encoder
from lookalike.encoders.poolings import POOLINGS, Attention, GeM, Pooling
from lookalike.errors import EncoderError
from tests.pictures import COLORS, draw

MakeEncoder = Callable[..., Encoder]
PICTURES = [draw(label) for label in COLORS]
#: Of 2 pictures, 6 places and 4 channels; a ReLU made it.
PLACES = torch.rand(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def backbone_with(last: Tensor, **attributes: object) -> nn.Module:
    """A backbone whose last map is this, whatever it looks at."""
    model = nn.Module()
    for name, value in {"num_features": 4, "forward_features": lambda _: last, **attributes}.items():
        setattr(model, name, value)
    return model


LAYOUTS = {
    "convolutional": backbone_with(PLACES.transpose(1, 2).reshape(2, 4, 2, 3)),
    "channels last": backbone_with(PLACES.reshape(2, 2, 3, 4), output_fmt="NHWC"),
    "tokens": backbone_with(PLACES),
    "tokens behind a class and a register token": backbone_with(
        torch.cat([9 + PLACES[:, :2], PLACES], dim=1), num_prefix_tokens=2, cls_token=torch.zeros(1)
    ),
}


def by_hand(name: str, places: np.ndarray) -> np.ndarray:
    """One picture's places [N, F]; an attention that has learned nothing yet is the average."""
    average, largest = places.mean(axis=0), places.max(axis=0)
    return {
        "avg": average,
        "max": largest,
        "avgmax": (average + largest) / 2,
        "catavgmax": np.concatenate([average, largest]),
        "gem": np.cbrt((places**3).mean(axis=0)),
        "attention": average,
    }[name]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [name for name in POOLINGS if name != "token"])
def test_poolings_are_their_formulas_on_every_layout(name: str, layout: str) -> None:
    found = Pooling(name, LAYOUTS[layout], "it").double()(LAYOUTS[layout], torch.zeros(2))
    expected = np.stack([by_hand(name, picture) for picture in PLACES.numpy()])
    assert found.detach().numpy() == pytest.approx(expected, rel=1e-12)


def test_the_class_token_is_the_first() -> None:
    backbone = LAYOUTS["tokens behind a class and a register token"]
    assert torch.equal(Pooling("token", backbone, "it")(backbone, torch.zeros(2)), 9 + PLACES[:, 0])


def test_gem_lies_between_the_average_and_the_maximum_and_learns_where() -> None:
    gem = GeM().double()
    with torch.no_grad():
        gem.p.fill_(1.0)
    assert torch.allclose(gem(PLACES), PLACES.mean(dim=1))
    with torch.no_grad():
        gem.p.fill_(500.0)
    assert torch.allclose(gem(PLACES), PLACES.amax(dim=1), rtol=5e-3)
    assert torch.isfinite(gem(-PLACES)).all()
    with torch.no_grad():
        gem.p.fill_(3.0)
    assert torch.autograd.gradcheck(lambda p: (PLACES.clamp_min(1e-6) ** p).mean(dim=1) ** (1 / p), gem.p)
    gem(PLACES).sum().backward()
    assert gem.p.grad is not None and gem.p.grad > 0  # a larger p is nearer to the maximum


def test_attention_looks_where_its_query_points() -> None:
    attention = Attention(4).double()
    attention(PLACES).square().sum().backward()
    assert attention.query.grad is not None and attention.query.grad.abs().min() > 0
    with torch.no_grad():
        attention.query.copy_(torch.tensor([2000.0, 0, 0, 0]))
    chosen = PLACES[:, :, 0].argmax(dim=1)
    assert torch.allclose(attention(PLACES), PLACES[torch.arange(2), chosen])


@pytest.mark.parametrize(
    ("backbone", "options"),
    [("test_resnet", {"pooling": pooling}) for pooling in POOLINGS if pooling != "token"]
    + [("test_vit", {"pooling": pooling, "image_size": 32}) for pooling in POOLINGS],
    ids=lambda value: value["pooling"] if isinstance(value, dict) else value,
)
def test_an_encoder_with_a_pooling_comes_back(
    make_encoder: MakeEncoder, backbone: str, options: dict[str, object], tmp_path: Path
) -> None:
    encoder = make_encoder(backbone=backbone, **options)
    with torch.no_grad():
        for parameter in encoder.pooling.parameters():  # type: ignore[union-attr]
            parameter.add_(0.5)
    again = Encoder.load(encoder.save(tmp_path / "encoder"))
    assert again.fingerprint == encoder.fingerprint
    assert np.array_equal(again.embed(PICTURES), encoder.embed(PICTURES))
    assert np.ptp(again.embed(PICTURES), axis=0).max() > 0.1


def test_what_a_pooling_learned_is_part_of_both_fingerprints(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(pooling="gem")
    before = encoder.fingerprint, encoder.backbone_fingerprint
    with torch.no_grad():
        encoder.pooling.learned.p.add_(1)  # type: ignore[union-attr, operator]
    assert encoder.fingerprint != before[0] and encoder.backbone_fingerprint != before[1]


@pytest.mark.parametrize(
    ("backbone", "pooling", "sentence"),
    [
        ("test_resnet", "average", r"there is no pooling 'average'. Did you mean 'avg'"),
        ("test_resnet", "token", "'test_resnet' has no class token to take; choose another pooling, as avg"),
    ],
)
def test_a_pooling_the_backbone_has_not(make_encoder: MakeEncoder, backbone: str, pooling: str, sentence: str) -> None:
    with pytest.raises(EncoderError, match=sentence):
        make_encoder(backbone=backbone, pooling=pooling)


def test_a_last_map_of_no_known_layout() -> None:
    backbone = SimpleNamespace(forward_features=lambda _: torch.zeros(2, 3), num_features=3)
    with pytest.raises(EncoderError, match=r"last features have shape \(2, 3\): nothing to pool"):
        Pooling("avg", backbone, "it")(backbone, torch.zeros(2))  # type: ignore[arg-type]
