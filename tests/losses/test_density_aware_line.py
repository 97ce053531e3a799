"""DensityAwareLineLoss: the formulas, its limits, and that its terms do what they are for."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradgradcheck
from torch.nn.functional import normalize

from lookalike.errors import LossInputError
from lookalike.losses import DensityAwareLineLoss, Lines, Loss, NormalizedSoftmaxLoss, Proxies
from lookalike.losses.density import Groups, densities
from tests.losses import references
from tests.losses.batches import Batch, batches, generic, tables

WEIGHTS = {"softmax": 1.0, "density": 10.0, "sub_modes": 0.5, "length": 0.1}


def made(weight: Tensor, steps: Tensor, running: Tensor | None = None, **settings: float) -> DensityAwareLineLoss:
    """The loss in float64 with these proxies and steps [V - 1, C, D], not training."""
    loss = DensityAwareLineLoss(*weight.shape, vertices=len(steps) + 1, **settings).double().eval()
    running = torch.ones(len(weight), dtype=torch.float64) if running is None else running
    loss.load_state_dict(
        {"proxies.weight": weight, "body.lines.steps": steps, "body.running.densities": running}, False
    )
    return loss


def expected_terms(loss: DensityAwareLineLoss, x: Tensor, y: Tensor) -> dict[str, float]:
    assert loss.body.lines is not None and loss.body.running is not None
    steps, weight = loss.body.lines.steps.detach(), loss.proxies.weight.tolist()
    lines = [references.line_vertices(proxy, steps[:, c].tolist()) for c, proxy in enumerate(weight)]
    names = ("scale", "base_margin", "density_margin", "bandwidth", "max_density", "min_variance", "length")
    settings = {name: getattr(loss.body, name) for name in names}
    found = references.density_aware_line(x.tolist(), y.tolist(), lines, loss.body.running.densities.tolist(), settings)
    return {name: WEIGHTS[name] * value for name, value in found.items()}


@settings(deadline=None, max_examples=80)
@given(batches(), st.data(), st.sampled_from([(1.0, 0.1, 0.2, 0.5), (24.0, 0.5, 0.05, 0.5), (24.0, 0.0, 1.0, 2.0)]))
def test_equals_the_reference(batch: Batch, data: st.DataObject, numbers: tuple[float, float, float, float]) -> None:
    scale, base_margin, density_margin, bandwidth = numbers
    x, y, shape = batch.embeddings, batch.labels, (batch.num_classes, batch.embeddings.shape[1])
    settings = {"scale": scale, "base_margin": base_margin, "bandwidth": bandwidth}
    settings["density_margin"] = density_margin
    running = torch.linspace(0, 1, batch.num_classes, dtype=torch.float64)
    loss = made(data.draw(tables(*shape)), 0.1 * data.draw(tables(*shape))[None], running, max_density=0.1, **settings)
    found = {name: term.item() for name, term in loss.terms(x, y).items()}
    assert found == pytest.approx(expected_terms(loss, x, y), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("vertices", [2, 3, 5])
@pytest.mark.parametrize("chunk", [0, 5])
def test_lines_and_polylines_equal_the_reference_closely(vertices: int, chunk: int) -> None:
    for seed in range(5):
        (x, y), (weight, _) = generic(20, 3, 5, seed), generic(5, 3, seed=100 + seed)
        steps = 0.3 * generic((vertices - 1) * 5, 3, seed=200 + seed)[0].view(vertices - 1, 5, 3)
        loss = made(weight, steps, max_density=0.05, min_variance=0.25, chunk_rows=chunk)
        y[0] = 4
        found = {name: term.item() for name, term in loss.terms(x, y).items()}
        assert found == pytest.approx(expected_terms(loss, x, y), rel=1e-12)
        assert min(found.values()) > 1e-3


def test_a_line_worked_out_by_hand() -> None:
    """Class 0 from (1, -1) to (1, 1), its items near either end: each is on the line, and they use all of it."""
    x = torch.tensor([[1, 1], [1, 1], [1, -1], [1, -1.0], [-1, 0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 0, 0, 1])
    steps = torch.tensor([[[0, 2.0], [0, 0]]], dtype=torch.float64)
    loss = made(torch.tensor([[3.0, 0], [-1, 0]], dtype=torch.float64), steps, bandwidth=1, base_margin=0.1)
    # Nearest in space to (0.71, 0.71) is tau = 0.5 + 0.71 / 2, whose cosine is (0.71 + 0.71^2) / sqrt(1.5)
    half = math.sqrt(0.5)
    own, other = (half + 0.5) / math.sqrt(1.5), -half
    density = (2 * 1 + 4 * math.exp(-1)) / 6
    of_lined = math.log1p(math.exp(24 * (other - own + 0.1 + 0.2 * (1 - density))))
    of_single = math.log1p(math.exp(24 * (-1 - 1 + 0.1)))  # one item: no density margin. Nearest of class 0: (1, 0)
    rms = math.sqrt(2 * 4 / 6)
    terms = {name: term.item() for name, term in loss.terms(x, y).items()}
    assert terms["softmax"] == pytest.approx((4 * of_lined + of_single) / 5, rel=1e-5)
    assert terms["density"] == pytest.approx(10 * max(0, density - 0.6) ** 2)
    assert terms["sub_modes"] == pytest.approx(0.5 * (0.15 - 0.125), rel=1e-5)
    assert terms["length"] == pytest.approx(0.1 * (2 - rms) ** 2)


@pytest.mark.parametrize("vertices", [2, 3])
def test_lines_without_length_are_the_margin_softmax(vertices: int) -> None:
    (x, y), (weight, _) = generic(), generic(4, seed=1)
    loss = made(weight, torch.zeros(vertices - 1, 4, 6, dtype=torch.float64), base_margin=0.3, density_margin=0)
    plain = NormalizedSoftmaxLoss(proxies=loss.proxies, scale=24, margin=0.3)
    results = []
    for of in (lambda x: loss.terms(x, y)["softmax"], lambda x: plain(x, y)):
        embeddings, loss.proxies.weight.grad = x.clone().requires_grad_(), None
        value = of(embeddings)
        value.backward()
        results.append((value.detach(), embeddings.grad, loss.proxies.weight.grad))
    assert results[0][0] > 0.1
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_margin_falls_with_the_density_and_no_gradient_flows_through_it() -> None:
    (x, y), (weight, _), steps = generic(8, 4, 3), generic(3, 4, seed=1), torch.zeros(1, 3, 4, dtype=torch.float64)
    adaptive, plain = made(weight, steps), NormalizedSoftmaxLoss(3, 4, scale=24).double()
    plain.load_state_dict({"proxies.weight": weight})
    rho = densities(normalize(x, dim=1), Groups.of(y), 0.5)
    assert abs(rho[0] - rho[1]) > 0.01
    gradients = []
    for c, loss in ((0, adaptive), (1, adaptive)):
        plain.margin = 0.1 + 0.2 * (1 - rho[c].item())
        only, one = y == c, x[y == c].requires_grad_()
        expected = torch.autograd.grad(plain(one, y[only]), one)[0]
        torch.testing.assert_close(torch.autograd.grad(loss.terms(one, y[only])["softmax"], one)[0], expected)
        gradients.append(expected)
    assert all(gradient.any() for gradient in gradients)


def test_gradients_of_gradients() -> None:
    (x, y), loss = generic(7, 4, 4), DensityAwareLineLoss(4, 4, 4.0, max_density=0.01, vertices=3).double().eval()
    rest = [name for name, _ in loss.named_parameters()]
    inputs = [tensor.detach().requires_grad_() for tensor in (x, *loss.parameters())]
    loss.body.density_margin, loss.body.length = 0.0, 0.0  # whose gradients by definition stop

    def of(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(loss, dict(zip(rest, parameters, strict=True)), (x, y))

    assert gradgradcheck(of, inputs)


def test_terms_of_weight_zero_are_left_out() -> None:
    x, y = generic()
    off = {"density_weight": 0, "sub_mode_weight": 0, "length_weight": 0}
    assert list(DensityAwareLineLoss(4, 6, **off).terms(x, y)) == ["softmax"]
    assert "body.running.densities" not in DensityAwareLineLoss(4, 6, density_margin=0).state_dict()


def test_the_running_density_is_saved_and_used_for_single_items() -> None:
    torch.manual_seed(0)
    (x, y), loss = generic(), DensityAwareLineLoss(4, 6)
    assert loss(x, y) > 0
    state = loss.state_dict()
    assert (state["body.running.densities"] < 1).tolist() == [True, True, True, False]
    fresh = DensityAwareLineLoss(4, 6)
    fresh.load_state_dict(state)
    assert fresh.eval()(x[:1], y[:1]).item() == loss.eval()(x[:1], y[:1]).item()
    fresh.body.running.densities.fill_(1)
    assert fresh(x[:1], y[:1]).item() < loss(x[:1], y[:1]).item() - 1e-4, "what is not known adds no margin"


def test_the_ends_stay_in_use_and_the_length_follows_the_class() -> None:
    """Items of a class in two groups, off the middle of a line in another direction: it turns to them, and reaches."""
    torch.manual_seed(0)
    x = normalize(torch.tensor([[1, 0.4, 0], [1, -0.4, 0], [-1, 0, 0.2], [-1, 0, -0.2]]), dim=1).repeat(2, 1)
    y = torch.tensor([0, 0, 1, 1]).repeat(2)
    loss = DensityAwareLineLoss(2, 3, density_weight=0)
    loss.proxies.start_at(torch.tensor([[1.0, 0, 0], [-1, 0, 0]]))
    loss.body.lines.steps.data = torch.tensor([[[0, 0.02, 0.2], [0, 0.2, 0.02]]])
    before = {name: term.item() for name, term in loss.terms(x, y).items()}
    optimizer = torch.optim.Adam(loss.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        loss(x, y).backward()
        optimizer.step()
    after = {name: term.item() for name, term in loss.terms(x, y).items()}
    assert before["sub_modes"] > 0.02 > 10 * after["sub_modes"]
    assert after["length"] < before["length"] / 10
    steps = loss.body.lines.steps[0].detach()
    assert steps[0, 1].abs() > 0.2 and steps[1, 2].abs() > 0.2, "ten times the start, towards the items"


def two_modes(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test items [320, 32] of 8 classes of two modes each, their classes and modes."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    middles, modes = 2 * normalize(draw(8, 16), dim=1), normalize(draw(8, 16), dim=1)
    y, mode = torch.arange(8).repeat_interleave(40), torch.arange(2).repeat_interleave(20).repeat(8)
    clean = torch.cat([middles[y], (2 * mode - 1)[:, None] * modes[y]], dim=1)
    return clean + 0.25 * draw(320, 32), clean + 0.25 * draw(320, 32), y, mode


def sub_mode_recall(seed: int, loss: Loss) -> tuple[float, float]:
    """Of a small encoder trained with the loss: nearest neighbors of the same class, and of the same mode too."""
    training, test, y, mode = two_modes(seed)
    encoder = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16))
    start = normalize(encoder(training).detach(), dim=1)
    for module in loss.modules():
        if isinstance(module, Proxies):
            module.start_at(torch.stack([start[y == c].mean(dim=0) for c in range(8)]))
        if isinstance(module, Lines):
            module.start_at(start, y)
    optimizer = torch.optim.Adam([*encoder.parameters(), *loss.parameters()], 0.01)
    for _ in range(150):
        rows = torch.randperm(320)[:96]
        optimizer.zero_grad()
        loss(encoder(training[rows]), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        unit = normalize(encoder(test), dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-1).argmax(dim=1)
    same = y[nearest] == y
    return same.float().mean().item(), (same & (mode[nearest] == mode)).float().mean().item()


def test_both_modes_of_a_class_are_kept_where_a_point_merges_them() -> None:
    """Labels tell nothing of the modes. Three seeds: the point forgets a part of them, the line next to nothing."""
    for seed in range(3):
        torch.manual_seed(seed)
        of_class, of_mode = sub_mode_recall(seed, NormalizedSoftmaxLoss(8, 16, scale=24, margin=0.1))
        torch.manual_seed(seed)
        line_of_class, line_of_mode = sub_mode_recall(seed, DensityAwareLineLoss(8, 16))
        assert min(of_class, line_of_class) > 0.98
        assert of_mode < 0.9 < 0.96 < line_of_mode
        assert of_mode < line_of_mode - 0.1


def test_the_density_falls_when_its_term_is_on() -> None:
    found = []
    for weight in (0.0, 10.0):
        torch.manual_seed(0)
        y, x = torch.arange(12) % 3, torch.randn(12, 4, requires_grad=True)
        loss = DensityAwareLineLoss(3, 4, scale=4, base_margin=1, density_weight=weight, length=0)
        optimizer = torch.optim.Adam([x, *loss.parameters()], 0.05)
        for _ in range(200):
            optimizer.zero_grad()
            loss(x, y).backward()
            optimizer.step()
        with torch.no_grad():
            found.append(densities(normalize(x, dim=1), Groups.of(y), 0.5).mean().item())
    assert found[1] < 0.7 < 0.8 < found[0]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"vertices": 1}, "vertices must be at least 2, not 1"),
        ({"scale": 0}, "scale must be at least 1e-06, not 0"),
        ({"base_margin": -1}, "base_margin must be at least 0, not -1"),
        ({"density_margin": math.nan}, "density_margin must be at least 0, not nan"),
        ({"min_variance": 0.3}, r"min_variance must be in \[0, 0.25\], not 0.3"),
        ({"max_density": 2}, r"max_density must be in \[0, 1\], not 2"),
        ({"bandwidth": 0}, "bandwidth must be at least 0.001, not 0"),
        ({"length": -1}, "length must be at least 0, not -1"),
        ({"density_weight": math.inf}, "density_weight must be at least 0, not inf"),
        ({"sub_mode_weight": -1}, "sub_mode_weight must be at least 0, not -1"),
        ({"length_weight": -1}, "length_weight must be at least 0, not -1"),
        ({"chunk_rows": -1}, "chunk_rows must be at least 0, not -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(LossInputError, match=sentence):
        DensityAwareLineLoss(3, 4, **settings)
