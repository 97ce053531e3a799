"""ComposedProxyLoss: each switch leaves the loss it should, the parts share one table, and the pass is one."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from lookalike.errors import LossInputError
from lookalike.losses import (
    AdaptiveAdditiveSoftmaxLoss,
    ComposedProxyLoss,
    DensityAwareLineLoss,
    DensityPenalty,
    Loss,
    NormalizedSoftmaxLoss,
    Proxies,
    ProxyOrthogonality,
    WeightedSum,
)
from tests.losses import references
from tests.losses.batches import generic

POINTS = {"vertices": 1}
NO_DENSITY = {"density_margin": 0, "density_weight": 0}
NO_ORTHOGONALITY = {"orthogonality": 0}
#: Of a class at 4 of its kind: both regularizers of lines have something to do.
BUSY = {"max_density": 0.02, "min_variance": 0.25}


def composed(proxies: Proxies, text: Tensor | None = None, **settings: object) -> ComposedProxyLoss:
    loss = ComposedProxyLoss(proxies=proxies, class_side_vectors=text, **settings).double()
    if loss.class_side_vectors is not None and text is not None:
        loss.class_side_vectors.copy_(normalize(text, dim=1))
    return loss


def assert_same(found: Loss, expected: Loss, x: Tensor, y: Tensor, proxies: Proxies) -> None:
    """Values and gradients of the embeddings and the shared proxies are the same to rounding."""
    results = []
    for loss in (found, expected):
        embeddings, proxies.weight.grad = x.clone().requires_grad_(), None
        total = loss(embeddings, y)
        total.backward()
        results.append((total.detach(), embeddings.grad, proxies.weight.grad))
    assert results[0][0] > 0.1
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def the_same_lines(found: ComposedProxyLoss, expected: DensityAwareLineLoss) -> None:
    assert found.body.lines is not None and expected.body.lines is not None
    expected.body.lines.steps.data = found.body.lines.steps.data.clone()


@pytest.mark.parametrize("chunk", [0, 5])
def test_with_all_off_it_is_the_normalized_softmax(chunk: int) -> None:
    (x, y), proxies = generic(), Proxies(8, 6).double()
    off = composed(proxies, **POINTS, **NO_DENSITY, **NO_ORTHOGONALITY, base_margin=0.3, chunk_rows=chunk)
    assert_same(off, NormalizedSoftmaxLoss(proxies=proxies, scale=24, margin=0.3), x, y, proxies)
    assert list(off.terms(x, y)) == ["softmax"]
    assert list(off.state_dict()) == ["proxies.weight"]


@pytest.mark.parametrize("chunk", [0, 5])
@pytest.mark.parametrize("direction", ["dissimilar", "similar"])
@pytest.mark.parametrize(("base_margin", "slope"), [(0.0, None), (0.1, 0.125), (2.0, None)])
def test_with_text_alone_it_is_the_adaptive_additive_softmax(
    base_margin: float, slope: float | None, direction: str, chunk: int
) -> None:
    (x, y), (text, _), proxies = generic(), generic(8, 5, seed=3), Proxies(8, 6).double()
    settings = {"base_margin": base_margin, "slope": slope, "direction": direction, "scale": 20.0}
    only = composed(proxies, text, **POINTS, **NO_DENSITY, **NO_ORTHOGONALITY, **settings, chunk_rows=chunk)
    alone = AdaptiveAdditiveSoftmaxLoss(proxies=proxies, class_side_vectors=text, curve="linear", **settings).double()
    alone.class_side_vectors.copy_(normalize(text, dim=1))
    assert_same(only, alone, x, y, proxies)
    without = composed(proxies, text, text_margins=False, **POINTS, **NO_DENSITY, **NO_ORTHOGONALITY, **settings)
    assert abs(without(x, y) - alone(x, y)) > 0.01
    assert without.class_side_vectors is None


def test_with_orthogonality_alone_it_is_the_softmax_and_that_term() -> None:
    (x, y), proxies = generic(), Proxies(8, 6).double()
    only = composed(proxies, **POINTS, **NO_DENSITY, base_margin=0, orthogonality=7.5)
    softmax = NormalizedSoftmaxLoss(proxies=proxies, scale=24)
    assert_same(
        only, WeightedSum({"softmax": (1, softmax), "apart": (7.5, ProxyOrthogonality(proxies))}), x, y, proxies
    )


@pytest.mark.parametrize("vertices", [2, 3])
def test_with_lines_and_density_alone_it_is_the_density_aware_line_loss(vertices: int) -> None:
    (x, y), proxies = generic(), Proxies(8, 6).double()
    only = composed(proxies, **NO_ORTHOGONALITY, **BUSY, vertices=vertices)
    alone = DensityAwareLineLoss(proxies=proxies, **BUSY, vertices=vertices).double()
    the_same_lines(only, alone)
    assert_same(only, alone, x, y, proxies)
    found, expected = only.terms(x, y), alone.terms(x, y)
    assert found.keys() == expected.keys()
    assert all(found[name].item() == expected[name].item() for name in found)


def test_with_density_alone_it_is_the_softmax_and_the_penalty() -> None:
    (x, y), proxies = generic(), Proxies(8, 6).double()
    only = composed(proxies, **POINTS, **NO_ORTHOGONALITY, max_density=0.02, density_margin=0, density_weight=30)
    softmax = NormalizedSoftmaxLoss(proxies=proxies, scale=24, margin=0.1)
    assert_same(only, WeightedSum({"softmax": (1, softmax), "density": (30, DensityPenalty(0.02))}), x, y, proxies)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 1000), st.integers(1, 3), st.sampled_from(["dissimilar", "similar"]), st.sampled_from([0, 4]),
    st.sampled_from([None, 0.125]),
)  # fmt: skip
def test_all_on_equals_the_reference(seed: int, vertices: int, direction: str, chunk: int, slope: float | None) -> None:
    (x, y), (text, _), (weight, _) = generic(10, 4, 5, seed), generic(5, 3, seed=seed + 1), generic(5, 4, seed=seed + 2)
    proxies = Proxies(5, 4).double()
    proxies.weight.data = weight
    form = {"direction": direction, "slope": slope, "chunk_rows": chunk, "scale": 8}
    loss = composed(proxies, text, **BUSY, vertices=vertices, **form)
    steps = [] if loss.body.lines is None else loss.body.lines.steps.transpose(0, 1).tolist()
    lines = [references.line_vertices(weight[c].tolist(), steps[c] if steps else [[0.0] * 4]) for c in range(5)]
    distances = references.distances_of(text.tolist())

    def more(label: int, c: int) -> float:
        return references.adaptive_margin(distances[label][c], 0.1, direction, slope) - 0.1

    numbers = {"scale": 8, "base_margin": 0.1, "density_margin": 0.2, "bandwidth": 0.5, "length": 1, **BUSY}
    expected = references.density_aware_line(x.tolist(), y.tolist(), lines, [1.0] * 5, numbers, more)
    expected["orthogonality"] = references.orthogonality([references.unit(row) for row in weight.tolist()]) / 20
    for name, factor in {"density": 10, "sub_modes": 0.5, "length": 0.1}.items():
        expected[name] *= factor
    found = {name: term.item() for name, term in loss.terms(x, y).items()}
    left_out = {"sub_modes", "length"} if vertices == 1 else set()
    assert found == pytest.approx({name: expected[name] for name in expected.keys() - left_out}, rel=1e-9, abs=1e-9)


class Products(TorchDispatchMode):
    """Counts the multiplications of matrix products; torch's own counter leaves out those made in place."""

    def __init__(self) -> None:
        super().__init__()
        self.multiplications = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_):
            left, right = [tensor for tensor in args if isinstance(tensor, Tensor)][-2:]
            self.multiplications += left.shape[0] * left.shape[1] * right.shape[1]
        return function(*args, **(kwargs or {}))


def multiplications(loss: Loss, x: Tensor, y: Tensor) -> int:
    """Of matrix products, forward and backward."""
    with Products() as counted:
        loss(x.clone().requires_grad_(), y).backward()
    return counted.multiplications


@pytest.mark.parametrize("classes", [300, 2000])
def test_it_is_one_pass_over_the_classes_and_not_four(classes: int) -> None:
    """In small and by chunks. A pass is three products: of the cosines, and of both of their gradients."""
    size, dim, side_dim = 128, 32, 8
    (x, y), proxies = generic(size, dim, classes), Proxies(classes, dim).double()
    y, (text, _) = torch.arange(size) // 4, generic(classes, side_dim, seed=1)
    softmax, adaptive = NormalizedSoftmaxLoss(proxies=proxies), composed(proxies, text, **POINTS)
    one_pass = multiplications(softmax, x, y)
    assert one_pass == 3 * size * classes * dim
    text_columns, pairs, angles = size * classes * side_dim, 3 * size * size * dim, 3 * classes * dim * dim
    assert one_pass + text_columns < multiplications(adaptive, x, y) <= one_pass + text_columns + pairs + angles
    lines = composed(proxies, text)
    assert multiplications(lines, x, y) <= 2 * one_pass + text_columns + pairs + angles
    apart = ProxyOrthogonality(proxies)
    alone = AdaptiveAdditiveSoftmaxLoss(proxies=proxies, class_side_vectors=text, curve="linear").double()
    separate = {"softmax": (1, softmax), "text": (1, alone), "density": (1, DensityPenalty()), "apart": (1, apart)}
    points = WeightedSum(separate)
    assert multiplications(adaptive, x, y) < 0.75 * multiplications(points, x, y)
    lined = WeightedSum({"text": (1, alone), "lines": (1, DensityAwareLineLoss(proxies=proxies)), "apart": (1, apart)})
    assert multiplications(lines, x, y) < 0.85 * multiplications(lined.double(), x, y)


def test_all_ideas_train_one_table() -> None:
    (x, y), (text, _) = generic(num_classes=5), generic(5, 3, seed=1)
    torch.manual_seed(0)
    loss = ComposedProxyLoss(5, 6, text.float(), **BUSY)
    assert [name for name, _ in loss.named_parameters()] == ["proxies.weight", "body.lines.steps"]
    x = x.float().requires_grad_()
    optimizer, before = torch.optim.Adam([x, *loss.parameters()], 0.02), loss(x, y).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss(x, y).backward()
        optimizer.step()
    assert loss(x, y).item() < before / 2


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"direction": "up"}, "direction must be one of dissimilar, similar, not 'up'"),
        ({"base_margin": 4}, "base_margin must be in [0, 3.99], not 4"),
        ({"base_margin": 4, "slope": None}, "base_margin must be in [0, 3.99], not 4"),
        ({"slope": -1}, "slope must be at least 0, not -1"),
        ({"orthogonality": -1}, "orthogonality must be at least 0, not -1"),
        ({"vertices": 0}, "vertices must be at least 1, not 0"),
        ({"class_side_vectors": torch.ones(2, 2)}, "class_side_vectors must be [3, T], not (2, 2)"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(LossInputError, match=re.escape(sentence)):
        ComposedProxyLoss(3, 4, **settings)
