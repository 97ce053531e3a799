"""One line per loss: how the contract makes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps

import torch
from torch import Tensor

from lookalike.losses import (
    AdaptiveAdditiveSoftmaxLoss,
    AdaptiveTripletLoss,
    ComposedProxyLoss,
    DensityAwareLineLoss,
    DensityPenalty,
    Loss,
    NormalizedSoftmaxLoss,
    Proxies,
    ProxyAnchorLoss,
    ProxyOrthogonality,
    SoftOrthogonalProxyAnchorLoss,
    TripletLoss,
    WeightedSum,
    from_pml,
)
from tests.losses.batches import generic

NUM_CLASSES, DIM, SIDE_DIM = 4, 6, 5
LINEAR = {"base_margin": 0.1, "curve": "linear"}


@dataclass(frozen=True)
class Axes:
    """What the axes of a stored tensor are: which count classes, which lies in the space of the embeddings."""

    classes: tuple[int, ...]
    embedding: int | None = None


#: By the end of the name in the state dict. A loss that stores something else must say here what it is.
AXES = {
    "proxies.weight": Axes(classes=(0,), embedding=1),
    "loss.proxies": Axes(classes=(0,), embedding=1),
    "class_side_vectors": Axes(classes=(0,)),
    "class_distances": Axes(classes=(0, 1)),
    "lines.steps": Axes(classes=(1,), embedding=2),
    "running.densities": Axes(classes=(0,)),
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
    #: It keeps running means while training, and only then.
    keeps_running_means: bool = False
    #: Functions by definition without gradient, though they look at the embeddings: held while gradients are compared.
    held: tuple[str, ...] = ()

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


def _spread_sum() -> WeightedSum:
    softmax = NormalizedSoftmaxLoss(NUM_CLASSES, DIM)
    return WeightedSum({"softmax": (0.5, softmax), "spread": (100.0, DensityPenalty(0.01, bandwidth=0.8))})


def _by_item_text(class_side_vectors: Tensor, **settings: object) -> AdaptiveAdditiveSoftmaxLoss:
    """Each item has the text of its class, but changed, so that it is that of no class."""
    loss = AdaptiveAdditiveSoftmaxLoss(NUM_CLASSES, DIM, class_side_vectors, text="item", **settings)
    terms = loss.terms

    @wraps(terms)
    def given(embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        rows = labels.real.long() % NUM_CLASSES
        return terms(embeddings, labels, side_vectors=loss.class_side_vectors[rows].roll(1, dims=1))

    loss.terms = given
    return loss


#: The degenerate batches in which no anchor has both a positive and a negative.
NO_TRIPLET = frozenset({"one class", "singletons", "one item", "no item"})

#: Of losses with a density-aware margin or lines whose lengths follow their classes.
HELD = ("lookalike.losses.density.RunningDensities.forward", "lookalike.losses.lines.rms_distances")

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
        Case(
            "adaptive_triplet, near texts",
            lambda class_side_vectors: with_text_of_its_class(
                AdaptiveTripletLoss(0.5, positive_distance=0.1), class_side_vectors
            ),
            class_side_vectors,
            zero_on=NO_TRIPLET,
            has_class_table=False,
        ),
        Case("normalized_softmax", lambda: NormalizedSoftmaxLoss(NUM_CLASSES, DIM)),
        Case("normalized_softmax, margin", lambda: NormalizedSoftmaxLoss(NUM_CLASSES, DIM, margin=0.35)),
        Case("normalized_softmax, chunks", lambda: NormalizedSoftmaxLoss(NUM_CLASSES, DIM, 64.0, 0.35, chunk_rows=5)),
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
        Case(
            "adaptive_additive_softmax, distances, chunks",
            lambda **sides: AdaptiveAdditiveSoftmaxLoss(NUM_CLASSES, DIM, **sides, curve="sqrt", chunk_rows=5),
            class_distances,
        ),
        Case(
            "adaptive_additive_softmax, chunks",
            lambda **sides: AdaptiveAdditiveSoftmaxLoss(NUM_CLASSES, DIM, **sides, chunk_rows=5),
            class_side_vectors,
        ),
        Case(
            "adaptive_additive_softmax, linear",
            lambda **sides: AdaptiveAdditiveSoftmaxLoss(NUM_CLASSES, DIM, **sides, **LINEAR),
            class_side_vectors,
        ),
        Case(
            "adaptive_additive_softmax, linear, chunks",
            lambda **sides: AdaptiveAdditiveSoftmaxLoss(NUM_CLASSES, DIM, **sides, **LINEAR, chunk_rows=5),
            class_side_vectors,
        ),
        *(
            Case(
                f"adaptive_additive_softmax, item text{name}",
                partial(_by_item_text, **settings),
                class_side_vectors,
            )
            for name, settings in (
                ("", {}),
                (", linear", LINEAR),
                (", sqrt, chunks", {"curve": "sqrt", "chunk_rows": 5}),
            )
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
        # Others of that library keep a table [D, C], which the contract does not turn, or (Circle) have weights without
        # gradient by definition; test_from_pml.py runs every one.
        Case("pml, pairs", lambda: from_pml("SupConLoss"), zero_on=NO_TRIPLET, has_class_table=False),
        Case("pml, proxies", lambda: from_pml("ProxyNCALoss", NUM_CLASSES, DIM)),
        Case(
            "pml, mined triplets",
            lambda: from_pml("TripletMarginLoss", margin=0.5, miner={"name": "TripletMarginMiner", "margin": 0.4}),
            zero_on=NO_TRIPLET,
            has_class_table=False,
        ),
        Case("weighted_sum", _weighted_sum, class_side_vectors),
        *(
            Case(
                f"density_aware_line{name}",
                partial(DensityAwareLineLoss, NUM_CLASSES, DIM, max_density=0.01, min_variance=0.25, **settings),
                keeps_running_means=True,
                held=HELD,
            )
            for name, settings in (("", {}), (", three vertices, chunks", {"vertices": 3, "chunk_rows": 5}))
        ),
        *(
            Case(
                f"composed{name}",
                lambda class_side_vectors, settings=settings: ComposedProxyLoss(
                    NUM_CLASSES, DIM, class_side_vectors, max_density=0.01, **settings
                ),
                class_side_vectors,
                zero_on=frozenset(),
                keeps_running_means=True,
                held=HELD,
            )
            for name, settings in (
                ("", {}),
                (", points, chunks", {"vertices": 1, "chunk_rows": 5}),
                (", polylines, similar", {"vertices": 4, "direction": "similar"}),
            )
        ),
        Case("weighted_sum, spread", _spread_sum),
        Case("weighted_sum, anchored", _anchored_sum, zero_on=frozenset()),
    )
}
