"""One line per loss: how the contract makes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps

import torch
from torch import Tensor

from lookalike.losses import (
    AdaptiveAdditiveSoftmaxLoss,
    AdaptiveTripletLoss,
    Loss,
    NormalizedSoftmaxLoss,
    Proxies,
    ProxyAnchorLoss,
    ProxyOrthogonality,
    SoftOrthogonalProxyAnchorLoss,
    TripletLoss,
    WeightedSum,
)
from tests.losses.batches import generic

NUM_CLASSES, DIM, SIDE_DIM = 4, 6, 5


@dataclass(frozen=True)
class Axes:
    """What the axes of a stored tensor are: which count classes, which lies in the space of the embeddings."""

    classes: tuple[int, ...]
    embedding: int | None = None


#: By the end of the name in the state dict. A loss that stores something else must say here what it is.
AXES = {
    "proxies.weight": Axes(classes=(0,), embedding=1),
    "class_side_vectors": Axes(classes=(0,)),
    "class_distances": Axes(classes=(0, 1)),
}


def axes_of(name: str) -> Axes:
    (axes,) = [axes for ending, axes in AXES.items() if name.endswith(ending)]
    return axes


def no_sides(seed: int) -> dict[str, Tensor]:
    return {}


def class_side_vectors(seed: int) -> dict[str, Tensor]:
    return {"class_side_vectors": generic(NUM_CLASSES, SIDE_DIM, seed=100 + seed)[0]}


def class_distances(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)
    return {"class_distances": 4 * torch.rand(NUM_CLASSES, NUM_CLASSES, generator=generator, dtype=torch.float64)}


def with_text_of_its_class(loss: Loss, class_side_vectors: Tensor) -> Loss:
    """A loss that takes side vectors, given those of the class of each item, so that the contract need not."""
    loss.register_buffer("class_side_vectors", class_side_vectors.detach().clone())
    terms = loss.terms

    @wraps(terms)
    def given(embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        rows = labels.real.long() % NUM_CLASSES
        return terms(embeddings, labels, side_vectors=loss.class_side_vectors[rows])

    loss.terms = given
    return loss


@dataclass(frozen=True)
class Case:
    name: str
    build: Callable[..., Loss]
    #: seed -> the side information its constructor takes.
    sides: Callable[[int], Mapping[str, Tensor]] = no_sides
    #: The degenerate batches in which nothing applies, so that the loss is 0.
    zero_on: frozenset[str] = frozenset({"no item"})
    #: It keeps a row per class, so a label beyond them is an error.
    has_class_table: bool = True

    def make(self, seed: int = 0) -> Loss:
        """The loss in float64, the same every time."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.build(**self.sides(seed)).double()


def _weighted_sum(class_side_vectors: Tensor) -> WeightedSum:
    proxies = Proxies(NUM_CLASSES, DIM)
    adaptive = AdaptiveAdditiveSoftmaxLoss(proxies=proxies, class_side_vectors=class_side_vectors)
    cosface = NormalizedSoftmaxLoss(proxies=proxies, margin=0.2)
    return WeightedSum({"adaptive": (0.5, adaptive), "cosface": (1.5, cosface), "triplet": (2.0, TripletLoss(0.5))})


def _anchored_sum() -> WeightedSum:
    proxies = Proxies(NUM_CLASSES, DIM)
    anchor = ProxyAnchorLoss(proxies=proxies, chunk_classes=3)
    softmax = NormalizedSoftmaxLoss(proxies=proxies)
    return WeightedSum(
        {"anchor": (0.5, anchor), "softmax": (1.5, softmax), "apart": (2.0, ProxyOrthogonality(proxies))}
    )


#: The degenerate batches in which no anchor has both a positive and a negative.
NO_TRIPLET = frozenset({"one class", "singletons", "one item", "no item"})

CASES = {
    case.name: case
    for case in (
        Case(
            "triplet",
            lambda: TripletLoss(margin=0.5),
            zero_on=frozenset({"one class", "singletons", "one item", "no item"}),
            has_class_table=False,
        ),
        *(
            Case(
                f"triplet, {mining}, {average}",
                partial(TripletLoss, margin=0.5, mining=mining, average=average),
                zero_on=NO_TRIPLET,
                has_class_table=False,
            )
            for mining, average in (("all", "valid"), ("all", "active"))
        ),
        *(
            Case(
                "adaptive_triplet" if mining == "all" else f"adaptive_triplet, {mining}, {scaling}",
                lambda class_side_vectors, mining=mining, scaling=scaling: with_text_of_its_class(
                    AdaptiveTripletLoss(0.5, mining, scaling), class_side_vectors
                ),
                class_side_vectors,
                zero_on=NO_TRIPLET if mining != "semihard" else NO_TRIPLET | {"equal points"},
                has_class_table=False,
            )
            for mining, scaling in (("all", "shrink"), ("semihard", "stretch"), ("hard", "shrink"))
        ),
        Case("normalized_softmax", lambda: NormalizedSoftmaxLoss(NUM_CLASSES, DIM)),
        Case("normalized_softmax, margin", lambda: NormalizedSoftmaxLoss(NUM_CLASSES, DIM, margin=0.35)),
        Case(
            "adaptive_additive_softmax",
            lambda **sides: AdaptiveAdditiveSoftmaxLoss(NUM_CLASSES, DIM, **sides),
            class_side_vectors,
        ),
        Case(
            "adaptive_additive_softmax, distances, similar",
            lambda **sides: AdaptiveAdditiveSoftmaxLoss(NUM_CLASSES, DIM, **sides, direction="similar"),
            class_distances,
        ),
        Case("proxy_anchor", lambda: ProxyAnchorLoss(NUM_CLASSES, DIM)),
        Case("proxy_anchor, chunks", lambda: ProxyAnchorLoss(NUM_CLASSES, DIM, chunk_classes=3)),
        Case("proxy_anchor, chunks, sharp", lambda: ProxyAnchorLoss(NUM_CLASSES, DIM, alpha=64.0, chunk_classes=1)),
        Case(
            "soft_orthogonal_proxy_anchor",
            lambda: SoftOrthogonalProxyAnchorLoss(NUM_CLASSES, DIM),
            zero_on=frozenset(),  # the proxies are looked at without a batch
        ),
        Case(
            "soft_orthogonal_proxy_anchor, raw, sum, chunks",
            lambda: SoftOrthogonalProxyAnchorLoss(NUM_CLASSES, DIM, reduction="sum", unit=False, chunk_classes=3),
            zero_on=frozenset(),
        ),
        Case("weighted_sum", _weighted_sum, class_side_vectors),
        Case("weighted_sum, anchored", _anchored_sum, zero_on=frozenset()),
    )
}
