"""How a batch becomes embeddings: in pieces as at once, in the precision asked for, with layers computed again."""

import weakref
from functools import partial

import pytest
import timm
import torch
from torch import Tensor, nn

from lookalike.encoders import Encoder
from lookalike.errors import TrainingError
from lookalike.losses import LOSSES
from lookalike.training import TrainingSettings
from lookalike.training.forward import Embed, check_forward, embed_of, in_pieces, precision_of
from tests.losses.cases import CASES, DIM, NUM_CLASSES

CPU = torch.device("cpu")


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, DIM)).double()


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(13, 8, dtype=torch.float64), torch.arange(13) % (NUM_CLASSES - 1)


def gradients(embed: Embed, model: nn.Module, name: str) -> list[Tensor]:
    """Of the loss, the model's parameters and the loss's, after one step with seed 2."""
    loss, (inputs, labels) = CASES[name].make(), batch()
    torch.manual_seed(2)
    model.zero_grad()
    total = loss(embed(inputs), labels)
    total.backward()
    found = [p.grad for p in (*model.parameters(), *loss.parameters())]
    assert all(gradient is not None and gradient.any() for gradient in found)
    return [total.detach(), torch.rand(1), *(g.clone() for g in found if g is not None)]


@pytest.mark.parametrize("name", LOSSES)
def test_pieces_give_the_gradient_of_the_whole_batch(name: str) -> None:
    model = network()
    whole = gradients(model, model, name)
    for piece in (1, 5, 13, 100):
        for ours, expected in zip(gradients(partial(in_pieces, model, piece), model, name), whole, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_both_passes_of_a_piece_draw_the_same_dropout(name: str) -> None:
    model = network(dropout=0.5)

    def plainly_in_pieces(inputs: Tensor) -> Tensor:
        return torch.cat([model(piece) for piece in inputs.split(5)])

    expected = gradients(plainly_in_pieces, model, name)  # with the random state behind it
    for ours, plain in zip(gradients(partial(in_pieces, model, 5), model, name), expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-12)
    assert not torch.equal(network()(batch()[0]), model(batch()[0]))  # dropout was on


def test_a_backbone_with_drop_path_too() -> None:
    model = timm.create_model("test_vit", num_classes=0, drop_path_rate=0.5, proj_drop_rate=0.5, img_size=32).train()
    inputs, aim = torch.randn(6, 3, 32, 32), torch.randn(6, model.num_features)

    def gradient(embed: Embed) -> Tensor:
        model.zero_grad()
        torch.manual_seed(2)
        embeddings = nn.functional.normalize(embed(inputs), dim=1)
        (embeddings @ embeddings.T - aim @ aim.T).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])  # type: ignore[union-attr]

    expected = gradient(lambda inputs: torch.cat([model(piece) for piece in inputs.split(2)]))
    torch.testing.assert_close(gradient(partial(in_pieces, model, 2)), expected, rtol=1e-5, atol=1e-6)


def test_one_piece_at_a_time_is_in_memory() -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = []

    def embed(inputs: Tensor) -> Tensor:
        hidden = inputs * weight
        alive.append(weakref.ref(hidden.untyped_storage()))  # type: ignore[arg-type]
        most.append(sum(reference() is not None for reference in alive))
        return hidden.sin()  # keeps `hidden` for its gradient

    weight = torch.ones(3, requires_grad=True)
    embeddings = in_pieces(embed, 2, torch.randn(12, 3))
    assert len(most) == 6
    embeddings.square().sum().backward()
    assert len(most) == 12 and max(most) <= 2
    most.clear()
    torch.cat([embed(piece) for piece in torch.randn(12, 3).split(2)])
    assert max(most) == 6  # what is counted is what is kept


def settings(**changed: object) -> TrainingSettings:
    return TrainingSettings.model_validate({"tune_backbone": True} | changed)


def step_of(encoder: Encoder, images: Tensor, **changed: object) -> list[Tensor]:
    """Embeddings and gradients of an encoder whose BatchNorm stands still."""
    encoder.requires_grad_(True).zero_grad()
    embeddings = embed_of(encoder, settings(**changed))(images)
    (embeddings[0] - embeddings[1]).square().sum().backward()
    return [embeddings.detach(), *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)]


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder.create("test_resnet", 4, pretrained=False, image_size=32)


@pytest.mark.parametrize(
    "how", [{"piece_size": 2}, {"checkpoint_layers": True}, {"piece_size": 2, "checkpoint_layers": True}]
)
def test_what_spares_memory_changes_nothing_else(encoder: Encoder, how: dict[str, object]) -> None:
    images = torch.randint(256, (5, 3, 32, 32), dtype=torch.uint8)
    plain, sparing = step_of(encoder, images), step_of(encoder, images, **how)
    assert len(plain) == len(sparing) > 10
    for ours, expected in zip(sparing, plain, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
def test_compiled_is_the_same(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    plain = step_of(encoder, images)
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    for how in ({}, {"piece_size": 2}):
        for ours, expected in zip(step_of(encoder, images, compile=True, **how), plain, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_backbone_that_cannot_compute_its_layers_again_is_refused() -> None:
    class Plain(nn.Module):
        def set_grad_checkpointing(self, enable: bool) -> None:
            if enable:
                raise AssertionError("gradient checkpointing not supported")  # as timm's do

    encoder = Encoder.create("test_resnet", 4, pretrained=False, image_size=32)
    for backbone in (Plain(), nn.Identity()):
        encoder.backbone = backbone
        assert embed_of(encoder, settings()) is encoder
        with pytest.raises(
            TrainingError, match=r"'test_resnet' cannot compute .* set training.checkpoint_layers = false"
        ):
            check_forward(encoder, settings(checkpoint_layers=True))


def test_precision_is_as_asked_for() -> None:
    for name, dtype in (("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        autocast, scaler = precision_of(CPU, settings(precision=name))
        with autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
        assert not scaler.is_enabled()
    encoder = Encoder.create("test_resnet", 4, pretrained=False, image_size=32)
    with pytest.raises(TrainingError, match=r"precision = 'float16' needs a GPU, and this is cpu: take 'bfloat16'"):
        check_forward(encoder, settings(precision="float16"))


def test_an_encoder_in_half_precision_learns_the_same_within_its_precision(encoder: Encoder) -> None:
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    plain = step_of(encoder, images)
    with precision_of(CPU, settings(precision="bfloat16"))[0]():
        half = step_of(encoder, images, piece_size=2)
    assert not torch.equal(half[0], plain[0])
    assert all(tensor.dtype == torch.float32 for tensor in half)
    torch.testing.assert_close(half[0], plain[0], rtol=0, atol=0.05)
