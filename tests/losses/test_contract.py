"""Every loss x every check; that each check can fail; and that the docstrings say what the losses take and give."""

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lookalike.losses
from lookalike.losses import LOSSES, Loss
from tests.losses.cases import CASES, NUM_CLASSES, Case
from tests.losses.contract import CHECKS, DEGENERATE, batch

Terms = dict[str, Tensor]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", CASES)
def test_contract(name: str, check: str) -> None:
    CHECKS[check](CASES[name])


def test_every_loss_is_here() -> None:
    found = {name: type(CASES[name].make()) for name in LOSSES}
    assert found == LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_docstring_tells_needs_and_terms(name: str) -> None:
    loss, text = CASES[name].make(), inspect.getdoc(LOSSES[name]) or ""
    needs, terms = re.search(r"^Needs: ([\w, ]+)\.", text, re.M), re.search(r"^Terms: (.*)$", text, re.M)
    assert needs and terms
    assert needs[1].split(", ") == [name for name, needed in loss.inputs.items() if needed]
    assert re.findall(r'"(\w+)"', terms[1]) == list(loss.terms(*batch()))


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(lookalike.losses.__path__)])
def test_examples_in_docstrings(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"lookalike.losses.{module}"))
    assert found.failed == 0
    assert found.attempted > 0 or module in ("base", "pairs", "proxies")


# Each check must catch the fault planted for it in a loss that passes it.

Fault = Callable[[Callable[[Tensor, Tensor], Terms], Loss, Tensor, Tensor], Terms]


def planted(case: Case, fault: Fault) -> Case:
    """The case, its loss giving the terms of `fault(healthy terms, loss, embeddings, labels)`."""

    def build(**sides: Tensor) -> Loss:
        loss = case.build(**sides)
        healthy = loss.terms

        def terms(embeddings: Tensor, labels: Tensor) -> Terms:
            return fault(healthy, loss, embeddings, labels)

        loss.terms = terms  # type: ignore[method-assign]
        return loss

    return replace(case, build=build)


def more(terms: Terms, extra: Tensor) -> Terms:
    return {name: term + extra for name, term in terms.items()}


def first_row_dropped(terms, loss, x, y):
    return terms(x[1:], y[1:])


def class_number_counts(terms, loss, x, y):
    return {name: term * (1 + 1e-6 * y[0]) for name, term in terms(x, y).items()}


def first_coordinate_counts(terms, loss, x, y):
    return more(terms(x, y), 1e-6 * x[:, 0].abs().sum() / x.norm())


def length_counts(terms, loss, x, y):
    return more(terms(x, y), 1e-8 * x.norm())


def gradient_is_a_little_off(terms, loss, x, y):
    return terms(x + 1e-4 * (x.detach() - x), y)


def side_information_is_trained(case: Case) -> Case:
    def build(**sides: Tensor) -> Loss:
        loss = case.build(**sides)
        loss.register_buffer("kept", sum(side.mean() for side in sides.values()))
        healthy = loss.terms
        loss.terms = lambda x, y: more(healthy(x, y), 1e-6 * loss.kept)
        return loss

    return replace(case, build=build)


def a_parameter_is_idle(case: Case) -> Case:
    def build(**sides: Tensor) -> Loss:
        loss = case.build(**sides)
        loss.idle = nn.Parameter(torch.ones(3))
        return loss

    return replace(case, build=build)


def embeddings_normalized_in_place(terms, loss, x, y):
    with torch.no_grad():
        x.copy_(F.normalize(x, dim=1))
    return terms(x, y)


def a_number_is_not_saved(case: Case) -> Case:
    def build(**sides: Tensor) -> Loss:
        loss = case.build(**sides)
        healthy, drawn = loss.terms, torch.rand(())
        loss.terms = lambda x, y: more(healthy(x, y), drawn)
        return loss

    return replace(case, build=build)


def normalized_in_half(terms, loss, x, y):
    return terms(F.normalize(x, dim=1), y)


def proxies_follow_the_embeddings(terms, loss, x, y):
    loss.to(x.dtype)
    return terms(x, y)


def one_hot_of_the_labels(terms, loss, x, y):
    return more(terms(x, y), F.one_hot(y, NUM_CLASSES).sum() * 0)


def labels_made_whole(terms, loss, x, y):
    return terms(x, y.real.long())


def labels_clamped(terms, loss, x, y):
    return terms(x, y.clamp(0, NUM_CLASSES - 1))


def flattened(terms, loss, x, y):
    x, y = x.reshape(-1, 6), y.reshape(-1)
    return terms(x[: len(y)], y[: len(x)])


def loss_is_a_little_more(case: Case) -> Case:
    def build(**sides: Tensor) -> Loss:
        loss = case.build(**sides)
        loss.forward = lambda x, labels: 1.0001 * sum(loss.terms(x, labels).values())
        return loss

    return replace(case, build=build)


def division_by_other_classes(terms, loss, x, y):
    return more(terms(x, y), x.sum() * 0 / (y.unique().numel() - 1) if len(y) else x.sum())


def division_by_positives(terms, loss, x, y):
    return more(terms(x, y), x.sum() * 0 / ((y[:, None] == y).sum() - len(y)))


def distances_not_squared(terms, loss, x, y):
    return more(terms(x, y), 1e-6 * (x[:, None] - x.flip(0)).square().sum(dim=2).sqrt().sum())


def division_by_the_length(terms, loss, x, y):
    return terms(x / x.norm(dim=1, keepdim=True), y)


def variance_of_the_batch(terms, loss, x, y):
    return more(terms(x, y), (x - x.mean()).square().sum() * 0 / (len(y) - 1))


def mean_of_the_batch(terms, loss, x, y):
    return more(terms(x, y), x.sum(dim=1).square().sum() * 0 / len(y))


def a_constant_on_top(terms, loss, x, y):
    return more(terms(x, y), torch.tensor(0.02))


def nothing_for(kind: str) -> Fault:
    def nothing(terms, loss, x, y):
        degenerate = DEGENERATE[kind](*batch())[0]
        same = x.shape == degenerate.shape and torch.equal(x, degenerate)
        return {name: term * 0 for name, term in terms(x, y).items()} if same else terms(x, y)

    return nothing


#: check -> the case that is spoilt, and how: by other terms (a function of four) or another build (of the case).
FAULTS: dict[str, tuple[str, Callable]] = {
    "order_of_the_batch_does_not_matter": ("triplet", first_row_dropped),
    "numbers_of_the_classes_do_not_matter": ("triplet", class_number_counts),
    "rotation_does_not_matter": ("normalized_softmax", first_coordinate_counts),
    "length_of_embeddings_does_not_matter": ("triplet", length_counts),
    "gradient_is_that_of_the_loss": ("adaptive_additive_softmax", gradient_is_a_little_off),
    "no_gradient_reaches_side_information": ("adaptive_additive_softmax", side_information_is_trained),
    "side_information_is_not_watched": ("adaptive_additive_softmax", "alias"),
    "every_parameter_gets_a_gradient": ("normalized_softmax", a_parameter_is_idle),
    "inputs_and_state_are_left_as_they_are": ("normalized_softmax", embeddings_normalized_in_place),
    "state_dict_holds_all": ("normalized_softmax", a_number_is_not_saved),
    "half_precision_embeddings_are_judged_in_full": ("triplet", normalized_in_half),
    "parameters_stay_float32": ("normalized_softmax", proxies_follow_the_embeddings),
    "labels_may_be_any_integers": ("normalized_softmax", one_hot_of_the_labels),
    "labels_that_are_no_integers_are_refused": ("triplet", labels_made_whole),
    "labels_beyond_the_class_table_are_refused": ("normalized_softmax", labels_clamped),
    "wrong_shapes_are_refused": ("triplet", flattened),
    "loss_is_the_sum_of_its_terms": ("weighted_sum", loss_is_a_little_more),
    "finite_on_one class": ("normalized_softmax", division_by_other_classes),
    "finite_on_singletons": ("normalized_softmax", division_by_positives),
    "finite_on_equal points": ("triplet", distances_not_squared),
    "finite_on_zero vectors": ("normalized_softmax", division_by_the_length),
    "finite_on_one item": ("normalized_softmax", variance_of_the_batch),
    "finite_on_no item": ("normalized_softmax", mean_of_the_batch),
}
