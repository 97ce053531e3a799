"""Each check of the contract must catch the fault planted for it, in a loss that passes it without."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lookalike.losses import Loss
from tests.losses.cases import CASES, DIM, NUM_CLASSES, Case
from tests.losses.contract import CHECKS, DEGENERATE

Terms = dict[str, Tensor]
TermsOf = Callable[[Tensor, Tensor], Terms]
#: Spoils a loss just made from this side information.
Fault = Callable[[Loss, Mapping[str, Tensor]], None]


def spoilt(case: Case, fault: Fault) -> Case:
    def build(**sides: Tensor) -> Loss:
        loss = case.build(**sides)
        fault(loss, sides)
        return loss

    return replace(case, build=build)


def of_terms(change: Callable[[TermsOf, Tensor, Tensor], Terms]) -> Fault:
    """A fault that changes what `terms` gives: change(healthy terms, embeddings, labels)."""

    def fault(loss: Loss, sides: Mapping[str, Tensor]) -> None:
        healthy = loss.terms
        loss.terms = lambda embeddings, labels: change(healthy, embeddings, labels)

    return fault


def more(terms: Terms, extra: Tensor) -> Terms:
    return {name: term + extra for name, term in terms.items()}


@of_terms
def first_row_is_dropped(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return terms(x[1:], y[1:])


@of_terms
def class_numbers_count(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return {name: term * (1 + 1e-6 * y[0]) for name, term in terms(x, y).items()}


@of_terms
def first_coordinate_counts(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return more(terms(x, y), 1e-6 * x[:, 0].abs().sum() / x.norm())


@of_terms
def length_counts(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return more(terms(x, y), 1e-8 * x.norm())


@of_terms
def gradient_is_a_little_off(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return terms(x + 1e-4 * (x.detach() - x), y)


def side_information_is_trained(loss: Loss, sides: Mapping[str, Tensor]) -> None:
    healthy, mean = loss.terms, sum(side.mean() for side in sides.values())
    loss.terms = lambda embeddings, labels: more(healthy(embeddings, labels), 1e-6 * mean)


def side_information_is_kept(loss: Loss, sides: Mapping[str, Tensor]) -> None:
    healthy = loss.terms
    loss.terms = lambda embeddings, labels: more(healthy(embeddings, labels), sum(s.std() for s in sides.values()))


def a_parameter_is_idle(loss: Loss, sides: Mapping[str, Tensor]) -> None:
    loss.idle = nn.Parameter(torch.ones(3))


@of_terms
def embeddings_are_normalized_in_place(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    with torch.no_grad():
        x.copy_(F.normalize(x, dim=1))
    return terms(x, y)


def a_number_is_not_saved(loss: Loss, sides: Mapping[str, Tensor]) -> None:
    healthy, drawn = loss.terms, torch.rand(())
    loss.terms = lambda embeddings, labels: more(healthy(embeddings, labels), drawn)


@of_terms
def normalized_in_half_precision(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return terms(F.normalize(x, dim=1), y)


def is_open_to_autocast(loss: Loss, sides: Mapping[str, Tensor]) -> None:
    loss.forward = lambda embeddings, labels: sum(loss.terms(embeddings, labels).values())


def proxies_follow_the_embeddings(loss: Loss, sides: Mapping[str, Tensor]) -> None:
    healthy = loss.terms
    loss.terms = lambda embeddings, labels: healthy(embeddings, labels) if loss.to(embeddings.dtype) else {}


@of_terms
def labels_become_one_hot(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return more(terms(x, y), 0 * F.one_hot(y, NUM_CLASSES).sum())


@of_terms
def labels_are_made_whole(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return terms(x, y.real.long())


@of_terms
def labels_are_clamped(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return terms(x, y.clamp(0, NUM_CLASSES - 1))


@of_terms
def batches_are_flattened(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    x, y = x.reshape(-1, DIM), y.reshape(-1)
    return terms(x[: len(y)], y[: len(x)])


def the_sum_is_a_little_more(loss: Loss, sides: Mapping[str, Tensor]) -> None:
    loss.forward = lambda embeddings, labels: 1.0001 * sum(loss.terms(embeddings, labels).values())


@of_terms
def divided_by_the_other_classes(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return more(terms(x, y), 0 * x.sum() / (len(y.unique()) - 1))


@of_terms
def divided_by_the_positives(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return more(terms(x, y), 0 * x.sum() / ((y[:, None] == y).sum() - len(y)))


@of_terms
def distances_are_rooted(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return more(terms(x, y), 1e-6 * (x - x.flip(0)).square().sum(dim=1).sqrt().sum())


@of_terms
def divided_by_the_length(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return terms(x / x.norm(dim=1, keepdim=True), y)


@of_terms
def variance_is_taken(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return more(terms(x, y), 1e-6 * (x - x.mean()).square().sum() / (len(y) - 1) * 0)


@of_terms
def mean_is_taken(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return more(terms(x, y), 0 * x.sum(dim=1).square().mean())


@of_terms
def nothing_and_something_are_swapped(terms: TermsOf, x: Tensor, y: Tensor) -> Terms:
    return {name: (term == 0) * 0.02 for name, term in terms(x, y).items()}


FAULTS: dict[str, tuple[str, Fault]] = {
    "order_of_the_batch_does_not_matter": ("triplet", first_row_is_dropped),
    "numbers_of_the_classes_do_not_matter": ("triplet", class_numbers_count),
    "rotation_does_not_matter": ("normalized_softmax", first_coordinate_counts),
    "length_of_embeddings_does_not_matter": ("triplet", length_counts),
    "gradient_is_that_of_the_loss": ("adaptive_additive_softmax", gradient_is_a_little_off),
    "no_gradient_reaches_side_information": ("adaptive_additive_softmax", side_information_is_trained),
    "side_information_is_not_watched": ("adaptive_additive_softmax", side_information_is_kept),
    "every_parameter_gets_a_gradient": ("normalized_softmax", a_parameter_is_idle),
    "inputs_and_state_are_left_as_they_are": ("normalized_softmax", embeddings_are_normalized_in_place),
    "state_dict_holds_all": ("normalized_softmax", a_number_is_not_saved),
    "half_precision_embeddings_are_judged_in_full": ("triplet", normalized_in_half_precision),
    "autocast_does_not_matter": ("proxy_anchor", is_open_to_autocast),
    "parameters_stay_float32": ("normalized_softmax", proxies_follow_the_embeddings),
    "labels_may_be_any_integers": ("normalized_softmax", labels_become_one_hot),
    "labels_that_are_no_integers_are_refused": ("triplet", labels_are_made_whole),
    "labels_beyond_the_class_table_are_refused": ("normalized_softmax", labels_are_clamped),
    "wrong_shapes_are_refused": ("triplet", batches_are_flattened),
    "loss_is_the_sum_of_its_terms": ("weighted_sum", the_sum_is_a_little_more),
    "finite_on_one class": ("normalized_softmax", divided_by_the_other_classes),
    "finite_on_singletons": ("normalized_softmax", divided_by_the_positives),
    "finite_on_equal points": ("triplet", distances_are_rooted),
    "finite_on_zero vectors": ("normalized_softmax", divided_by_the_length),
    "finite_on_one item": ("normalized_softmax", variance_is_taken),
    "finite_on_no item": ("normalized_softmax", mean_is_taken),
    **{
        f"zero_only_where_nothing_applies_on_{kind}": ("triplet", nothing_and_something_are_swapped)
        for kind in DEGENERATE
    },
}


def test_every_check_has_its_fault() -> None:
    assert set(FAULTS) == set(CHECKS)


@pytest.mark.parametrize("check", FAULTS)
def test_contract_can_fail(check: str) -> None:
    name, fault = FAULTS[check]
    CHECKS[check](CASES[name])
    # A fault shows as a failed assertion, an error not raised, or torch's refusal of what should have been accepted.
    with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
        CHECKS[check](spoilt(CASES[name], fault))
