"""AdaptiveAdditiveSoftmaxLoss: the formula, its golden number and its identities."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses import AdaptiveAdditiveSoftmaxLoss, NormalizedSoftmaxLoss, Proxies, WeightedSum
from tests.losses import references
from tests.losses.batches import Batch, batches, generic, tables

DIRECTIONS = ("dissimilar", "similar")
CURVES = ("linear", "sqrt", "square")


def made(weight: Tensor, vectors: Tensor | None = None, distances: Tensor | None = None, **settings: object):
    """The loss in float64 with these proxies as they are, and side vectors as precise as they are."""
    loss = AdaptiveAdditiveSoftmaxLoss(
        *weight.shape, class_side_vectors=vectors, class_distances=distances, **settings
    ).double()
    state = {"proxies.weight": weight}
    if vectors is not None:
        state["class_side_vectors"] = torch.nn.functional.normalize(vectors, dim=1)
    else:
        state["class_distances"] = distances
    loss.load_state_dict(state)
    return loss


@settings(deadline=None, max_examples=150)
@given(
    batches(), st.data(), st.sampled_from([0.0, 0.1, 2.0]), st.sampled_from([1.0, 20.0]), st.sampled_from(CURVES),
    st.sampled_from([None, 0.0, 0.7]), st.integers(0, 3),
)  # fmt: skip
@pytest.mark.parametrize("text", ["class", "item"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_equals_the_reference_with_vectors(
    direction: str, text: str, batch: Batch, data: st.DataObject, base_margin: float, scale: float, curve: str,
    slope: float | None, chunk_rows: int,
) -> None:  # fmt: skip
    weight = data.draw(tables(batch.num_classes, batch.embeddings.shape[1]))
    vectors, texts = data.draw(tables(batch.num_classes, 3)), data.draw(tables(len(batch.labels), 3))
    vectors[-1] = texts[0] = 0  # no text
    form = {"direction": direction, "slope": slope, "curve": curve}
    loss = made(weight, vectors, base_margin=base_margin, scale=scale, text=text, chunk_rows=chunk_rows, **form)
    left = texts if text == "item" else vectors
    expected = references.adaptive_additive_softmax(
        batch.embeddings.tolist(),
        batch.labels.tolist(),
        weight.tolist(),
        references.text_distances(left.tolist(), vectors.tolist()),
        base_margin,
        scale,
        by_item=text == "item",
        **form,
    )
    sides = {"side_vectors": texts} if text == "item" else {}
    # The root of a distance of 0, which is 1e-16 by rounding, is 1e-8.
    near = 1e-6 if curve == "sqrt" else 1e-10
    assert loss(batch.embeddings, batch.labels, **sides).item() == pytest.approx(expected, rel=near, abs=near)


@settings(deadline=None, max_examples=150)
@given(
    batches(), st.data(), st.sampled_from([0.0, 0.1, 2.0]), st.sampled_from([1.0, 20.0]), st.sampled_from(CURVES)
)  # fmt: skip
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_equals_the_reference_with_distances(
    direction: str, batch: Batch, data: st.DataObject, base_margin: float, scale: float, curve: str
) -> None:
    classes = batch.num_classes
    weight = data.draw(tables(classes, batch.embeddings.shape[1]))
    row = st.lists(st.sampled_from([0.0, 0.5, 1.75, 4.0]), min_size=classes, max_size=classes)
    distances = data.draw(st.lists(row, min_size=classes, max_size=classes))  # not symmetric
    table = torch.tensor(distances, dtype=torch.float64)
    form = {"base_margin": base_margin, "scale": scale, "direction": direction, "curve": curve}
    loss = made(weight, distances=table, **form)
    expected = references.adaptive_additive_softmax(
        batch.embeddings.tolist(), batch.labels.tolist(), weight.tolist(), distances, **form
    )
    assert loss(batch.embeddings, batch.labels).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_a_batch_worked_out_by_hand() -> None:
    """Proxies and texts of both classes at right angles, so M = (2^2 / 4) / 4: log(1 + e^{s (0 + M - 1)})."""
    eye = torch.eye(2, dtype=torch.float64)
    loss = made(eye, eye, scale=2.0)
    assert loss(eye[:1], torch.tensor([0])).item() == pytest.approx(math.log(1 + math.exp(-1.5)), abs=1e-12)
    loss = made(eye, eye, curve="linear", scale=2.0)  # M = 2 / 4
    assert loss(eye[:1], torch.tensor([0])).item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-12)


@pytest.mark.parametrize("beta", [0.1, 0.35, 2.0])
def test_equal_texts_give_cosface_with_margin_beta(beta: float) -> None:
    (x, y), weight = generic(), generic(4, seed=1)[0]
    cosface = NormalizedSoftmaxLoss(4, 6, margin=beta).double()
    plain = NormalizedSoftmaxLoss(4, 6).double()
    for loss in (cosface, plain):
        loss.load_state_dict({"proxies.weight": weight})
    adaptive = made(weight, torch.ones(4, 3, dtype=torch.float64), base_margin=beta)
    assert cosface(x, y).item() > plain(x, y).item() + 0.1
    assert adaptive(x, y).item() == pytest.approx(cosface(x, y).item(), abs=1e-10)


def test_equal_texts_and_beta_0_give_the_normalized_softmax() -> None:
    (x, y), weight = generic(), generic(4, seed=1)[0]
    plain = NormalizedSoftmaxLoss(4, 6).double()
    plain.load_state_dict({"proxies.weight": weight})
    adaptive = made(weight, torch.ones(4, 3, dtype=torch.float64), base_margin=0.0)
    assert plain(x, y).item() > 0.1
    assert adaptive(x, y).item() == pytest.approx(plain(x, y).item(), abs=1e-10)


@pytest.mark.parametrize(("direction", "margin"), [("dissimilar", 0.5 + 3 / 3.5), ("similar", 0.5 + 1 / 3.5)])
def test_constant_distances_give_cosface_with_that_margin(direction: str, margin: float) -> None:
    (x, y), weight = generic(), generic(4, seed=1)[0]
    cosface = NormalizedSoftmaxLoss(4, 6, margin=margin).double()
    cosface.load_state_dict({"proxies.weight": weight})
    threes = torch.full((4, 4), 3.0, dtype=torch.float64)
    adaptive = made(weight, distances=threes, base_margin=0.5, direction=direction, curve="linear")
    assert adaptive(x, y).item() == pytest.approx(cosface(x, y).item(), abs=1e-10)


@settings(deadline=None, max_examples=60)
@given(tables(5, 3), st.floats(0, 3.99), st.sampled_from(DIRECTIONS), st.sampled_from(CURVES))
def test_margins_lie_in_their_range(vectors: Tensor, beta: float, direction: str, curve: str) -> None:
    loss = made(generic(5)[0], vectors, base_margin=beta, direction=direction, curve=curve)
    margins = loss.margins(torch.arange(5))
    others = margins[~torch.eye(5, dtype=torch.bool)]
    assert not margins.diagonal().any()
    assert others.min() >= beta - 1e-9
    assert others.max() <= beta + 4 / (4 - beta) + 1e-9


def test_both_ends_of_the_range_are_reached() -> None:
    opposite = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    for curve in CURVES:
        loss = made(generic(3)[0], opposite, base_margin=0.1, curve=curve)
        assert loss.margins(torch.tensor([0])).tolist()[0] == pytest.approx([0, 0.1, 0.1 + 4 / 3.9], abs=1e-12)
        loss = made(generic(3)[0], opposite, base_margin=0.1, curve=curve, slope=0.5)
        assert loss.margins(torch.tensor([0])).tolist()[0] == pytest.approx([0, 0.1, 2.1], abs=1e-12)


@pytest.mark.parametrize(("curve", "at_one"), [("linear", 1.0), ("sqrt", 2.0), ("square", 0.25)])
def test_the_curve_bends_between_the_ends(curve: str, at_one: float) -> None:
    ones = torch.ones(2, 2, dtype=torch.float64)
    loss = made(generic(2)[0], distances=ones, base_margin=0.5, slope=0.1, curve=curve)
    assert loss.margins(torch.tensor([0])).tolist()[0] == pytest.approx([0, 0.5 + 0.1 * at_one], abs=1e-12)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_text_of_its_class_for_each_item_gives_the_same_as_by_class(direction: str, curve: str) -> None:
    (x, y), weight, vectors = generic(), generic(4, seed=1)[0], generic(4, 3, seed=2)[0]
    by_class = made(weight, vectors, direction=direction, curve=curve)
    by_item = made(weight, vectors, direction=direction, curve=curve, text="item")
    assert by_item(x, y, side_vectors=3 * vectors[y]).item() == pytest.approx(by_class(x, y).item(), abs=1e-10)
    other = by_item(x, y, side_vectors=vectors[y].roll(1, dims=1))
    assert abs(other.item() - by_class(x, y).item()) > 1e-3
    torch.testing.assert_close(by_item.margins(y, vectors[y]), by_class.margins(y))


def test_side_vectors_are_asked_for_by_item_and_only_then() -> None:
    (x, y), vectors, shared = generic(), generic(4, 3, seed=2)[0], Proxies(4, 6)
    by_class, by_item = (
        AdaptiveAdditiveSoftmaxLoss(class_side_vectors=vectors, text=text, proxies=shared) for text in ("class", "item")
    )
    assert by_class.inputs == {"labels": True}
    assert by_item.inputs == {"labels": True, "side_vectors": True}
    both = WeightedSum({"class": (1, by_class), "item": (2, by_item)})
    assert both.inputs == by_item.inputs
    total = both(x, y, side_vectors=vectors[y])
    assert total.item() == pytest.approx(3 * by_class(x, y).item(), rel=1e-5)
    for loss, sides in ((by_class, {"side_vectors": vectors[y]}), (by_item, {})):
        with pytest.raises(LossInputError, match="side_vectors, one row an item, belong to text='item', and are need"):
            loss(x, y, **sides)
    for wrong in (vectors[y][:-1], vectors[y][:, :2], vectors[y][:, 0]):
        with pytest.raises(LossInputError, match=r"side_vectors must be \[12, 3\], not \("):
            by_item(x, y, side_vectors=wrong)
    with pytest.raises(LossInputError, match="text='item' measures from items to classes: it takes class_side_vectors"):
        AdaptiveAdditiveSoftmaxLoss(4, 6, class_distances=torch.zeros(4, 4), text="item")


@pytest.mark.parametrize("chunk_rows", [0, 5])
def test_the_gradients_are_those_of_the_cross_entropy_with_the_margins_looked_up(chunk_rows: int) -> None:
    (x, y), weight, vectors = generic(), generic(4, seed=1)[0], generic(4, 3, seed=2)[0]
    distances = torch.tensor([[0, 1, 2, 3], [4, 0, 1, 0], [0, 2, 0, 1], [4, 4, 1, 0]], dtype=torch.float64)
    for sides in ({"vectors": vectors}, {"vectors": vectors, "curve": "square"}, {"distances": distances}):
        loss = made(weight, chunk_rows=chunk_rows, **sides)
        inputs = [x.requires_grad_(), loss.proxies.weight]
        found = torch.autograd.grad(loss(x, y), inputs)
        looked_up = 20 * (loss.proxies.cosines(x) + loss.margins(y))
        expected = torch.autograd.grad(torch.nn.functional.cross_entropy(looked_up, y), inputs)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("direction", "pushed_harder"), [("dissimilar", 2), ("similar", 1)])
def test_direction_decides_whether_far_or_near_classes_are_pushed_harder(direction: str, pushed_harder: int) -> None:
    near_and_far = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]], dtype=torch.float64)
    loss = made(torch.eye(3, dtype=torch.float64), near_and_far, direction=direction)
    x = torch.tensor([[3.0, 1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    loss(x, torch.tensor([0])).backward()
    assert x.grad is not None
    assert x.grad[0, pushed_harder] > 2 * x.grad[0, 3 - pushed_harder]


def test_the_largest_margin_against_the_worst_embedding_is_no_more_than_float32_can_hold() -> None:
    """On the proxy of five other classes, whose text is opposite: log(5 e^87.7), and 5 e^87.7 is inf."""
    ends = torch.tensor([[-1.0, 0.0]] + [[1.0, 0.0]] * 5)
    for sides in ({"class_side_vectors": ends}, {"class_distances": 2 - 2 * ends @ ends.T}):
        loss = AdaptiveAdditiveSoftmaxLoss(6, 2, scale=1, base_margin=0.1, slope=21.4, chunk_rows=1, **sides)
        loss.proxies.weight.data = ends
        assert loss(ends[1:2], torch.tensor([0])).item() == pytest.approx(87.7 + math.log(5), rel=1e-6)


def test_distances_are_read_from_the_row_of_the_own_class() -> None:
    distances = torch.tensor([[0.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    loss = made(torch.eye(2, dtype=torch.float64), distances=distances, base_margin=0.0)
    assert loss.margins(torch.tensor([0, 1])).tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_vectors_and_their_distances_give_the_same() -> None:
    (x, y), weight, vectors = generic(), generic(4, seed=1)[0], generic(4, 3, seed=2)[0]
    distances = torch.tensor(references.distances_of(vectors.tolist()), dtype=torch.float64)
    by_distances = made(weight, distances=distances)(x, y).item()
    assert made(weight, vectors)(x, y).item() == pytest.approx(by_distances, abs=1e-10)


def test_distances_a_rounding_error_out_of_range_are_taken() -> None:
    torch.manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn(50, 64), dim=1)
    distances = 2 - 2 * unit @ unit.T
    assert distances.min() < 0
    loss = AdaptiveAdditiveSoftmaxLoss(50, 4, class_distances=distances)
    assert loss.class_distances is not None and loss.class_distances.min() == 0


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("chunk_rows", [0, 5])
def test_no_gradient_reaches_the_text_of_the_items(curve: str, chunk_rows: int) -> None:
    (x, y), texts = generic(), generic(12, 3, seed=2)[0].requires_grad_()
    loss = AdaptiveAdditiveSoftmaxLoss(4, 6, generic(4, 3)[0], text="item", curve=curve, chunk_rows=chunk_rows)
    loss(x.requires_grad_(), y, side_vectors=texts).backward()
    assert texts.grad is None and x.grad is not None and x.grad.any()


def test_no_gradient_reaches_the_margins() -> None:
    vectors = generic(4, 3, seed=2)[0].requires_grad_()
    loss = AdaptiveAdditiveSoftmaxLoss(4, 6, class_side_vectors=vectors)
    assert loss.class_side_vectors is not None and not loss.class_side_vectors.requires_grad
    loss.class_side_vectors.requires_grad_()
    assert not loss.margins(torch.arange(4)).requires_grad
    assert [name for name, _ in loss.named_parameters()] == ["proxies.weight"]


def test_a_text_vector_of_zeros_lies_between_all_others() -> None:
    loss = made(generic(2)[0], distances=torch.full((2, 2), 2.0, dtype=torch.float64))
    vectors = torch.tensor([[0.0, 0.0], [0.6, 0.8]])
    zero = AdaptiveAdditiveSoftmaxLoss(2, 6, class_side_vectors=vectors).double()
    assert zero.margins(torch.tensor([0])).tolist()[0] == pytest.approx(loss.margins(torch.tensor([0])).tolist()[0])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scale": 0}, r"scale must be above 0 and base_margin in \[0, 4\), not 0 and 0.0"),
        ({"scale": float("nan")}, "scale must be above 0 .* not nan and 0.0"),
        ({"base_margin": -0.1}, r"base_margin in \[0, 4\), not 20.0 and -0.1"),
        ({"base_margin": 4}, r"base_margin in \[0, 4\), not 20.0 and 4"),
        ({"direction": "near"}, "direction must be one of dissimilar, similar, not 'near'"),
        ({"curve": "round"}, "curve must be one of linear, sqrt, square, not 'round'"),
        ({"text": "both"}, "text must be one of class, item, not 'both'"),
        ({"slope": -0.1}, "slope and chunk_rows must be at least 0, not -0.1 and 0"),
        ({"slope": float("nan"), "chunk_rows": -1}, "slope and chunk_rows must be at least 0, not nan and -1"),
        (
            {"class_distances": torch.zeros(3, 3)},
            r"give either class_side_vectors \[C, T\] or class_distances \[C, C\]",
        ),
        ({"class_side_vectors": None}, r"give either class_side_vectors \[C, T\] or class_distances \[C, C\]"),
        ({"class_side_vectors": torch.ones(2, 5)}, r"class_side_vectors must be \[3, T\], not \(2, 5\)"),
        ({"class_side_vectors": torch.ones(3)}, r"class_side_vectors must be \[3, T\], not \(3,\)"),
        ({"class_side_vectors": torch.tensor([[1.0], [float("nan")], [1.0]])}, "hold NaN or infinite numbers"),
    ],
)
def test_wrong_arguments_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(LossInputError, match=sentence):
        AdaptiveAdditiveSoftmaxLoss(3, 4, **{"class_side_vectors": torch.ones(3, 5), **settings})


@pytest.mark.parametrize(
    ("distances", "sentence"),
    [
        (torch.ones(2, 3), r"class_distances must be \[3\] \* 2, not \(2, 3\)"),
        (torch.full((3, 3), 4.1), "class_distances are squared distances of unit vectors: each must lie in"),
        (torch.full((3, 3), -0.1), r"each must lie in \[0, 4\]"),
        (torch.full((3, 3), float("nan")), r"each must lie in \[0, 4\]"),
    ],
)
def test_wrong_distances_are_refused(distances: Tensor, sentence: str) -> None:
    with pytest.raises(LossInputError, match=sentence):
        AdaptiveAdditiveSoftmaxLoss(proxies=Proxies(3, 4), class_distances=distances)
