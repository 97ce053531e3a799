"""What each of several processes does for test_sharded.py: every loss, against the same in one process."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from lookalike.losses import (
    AdaptiveAdditiveSoftmaxLoss,
    ComposedProxyLoss,
    DensityAwareLineLoss,
    NormalizedSoftmaxLoss,
    Proxies,
    ProxyAnchorLoss,
    SoftOrthogonalProxyAnchorLoss,
)
from lookalike.training.distributed import (
    add_up_gradients,
    clip_gradients,
    gathered,
    joined,
    own_rows,
    rank,
)
from lookalike.training.shards import share_out
from tests.losses.batches import generic
from tests.losses.cases import CASES, DIM, NUM_CLASSES, SIDE_DIM, Case
from tests.losses.sizes import Sizes
from tests.processes import as_one_of

#: Not to be divided by the number of processes.
PROCESSES, MANY, FEATURES = 3, 50, 8


def text_of_many(seed: int) -> dict[str, Tensor]:
    return {"class_side_vectors": generic(MANY, SIDE_DIM, seed=100 + seed)[0]}


def distances_of_many(seed: int) -> dict[str, Tensor]:
    return {"class_distances": generic(MANY, MANY, seed=100 + seed)[0].clamp(0, 4)}


#: Many classes, so that the pieces of a batch and the chunks of classes cross each other.
OF_MANY = (
    Case("many, normalized_softmax", lambda: NormalizedSoftmaxLoss(MANY, DIM, margin=0.1, chunk_rows=4)),
    Case("many, normalized_softmax, sharp", lambda: NormalizedSoftmaxLoss(MANY, DIM, scale=90.0)),
    Case("many, proxy_anchor", lambda: ProxyAnchorLoss(MANY, DIM, chunk_classes=7)),
    Case("many, proxy_anchor, sharp", lambda: ProxyAnchorLoss(MANY, DIM, alpha=64.0)),
    Case(
        "many, soft_orthogonal", lambda: SoftOrthogonalProxyAnchorLoss(MANY, DIM, orthogonality=30.0, chunk_classes=5)
    ),
    Case(
        "many, adaptive",
        lambda class_side_vectors: AdaptiveAdditiveSoftmaxLoss(
            MANY, DIM, class_side_vectors, curve="linear", chunk_rows=3
        ),
        text_of_many,
    ),
    Case(
        "many, adaptive, of items",
        lambda class_side_vectors: AdaptiveAdditiveSoftmaxLoss(
            MANY, DIM, class_side_vectors, curve="linear", text="item"
        ),
        text_of_many,
    ),
    Case(
        "many, adaptive, bent",
        lambda class_side_vectors: AdaptiveAdditiveSoftmaxLoss(MANY, DIM, class_side_vectors, curve="sqrt"),
        text_of_many,
    ),
    Case(
        "many, adaptive, distances",
        lambda class_distances: AdaptiveAdditiveSoftmaxLoss(MANY, DIM, class_distances=class_distances),
        distances_of_many,
    ),
    Case(
        "many, composed, points",
        lambda class_side_vectors: ComposedProxyLoss(MANY, DIM, class_side_vectors, max_density=0.01, vertices=1),
        text_of_many,
    ),
    Case(
        "many, composed, lines",
        lambda class_side_vectors: ComposedProxyLoss(MANY, DIM, class_side_vectors, max_density=0.01),
        text_of_many,
    ),
    Case("many, lines", lambda: DensityAwareLineLoss(MANY, DIM)),
)
#: But for those of the contract that take the text of an item from the table, of which there is only a part here.
ALL = {case.name: case for case in (*CASES.values(), *OF_MANY) if ", item text" not in case.name}
#: Batches not to be divided by three, and one with fewer items than processes.
SIZES = (11, 2)
#: The most classes that stay whole, and batches.
MODES = {"shared out": (0, SIZES), "whole": (10**6, SIZES[:1])}


def compare(folder: Path) -> None:
    """Write for each case how far its tensors are from those of one process, and whether proxies were shared out."""
    found: dict[str, dict[str, float]] = {}
    as_one_of(PROCESSES)
    with joined():
        for name, case in ALL.items():
            for mode, (above, sizes) in MODES.items():
                for size in sizes:
                    found[f"{name}; {mode}; {size}"] = dict(_differences(case, above, size))
        number = rank()
    (folder / f"{number}.json").write_text(json.dumps(found))


def _differences(case: Case, above: int, size: int) -> Iterator[tuple[str, float]]:
    count = MANY if case in OF_MANY else NUM_CLASSES
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(size, FEATURES, generator=generator, dtype=torch.float64)
    labels = torch.randint(count, (size,), generator=generator)
    labels[1::2] = labels[::2][: size // 2]  # pairs
    sides = {"side_vectors": torch.randn(size, SIDE_DIM, generator=generator)} if "of items" in case.name else {}
    alone, shared, _ = _step(case, inputs, labels, sides)
    assert not shared
    together, shared, largest = _step(case, inputs, labels, sides, above)
    yield "shared", float(shared)
    yield "largest", float(largest)
    for name, expected in alone.items():
        assert expected.isfinite().all()
        yield name, float((together.pop(name) - expected).abs().max()) if expected.numel() else 0.0
    assert not together


def _step(
    case: Case, inputs: Tensor, labels: Tensor, sides: dict[str, Tensor], above: int | None = None
) -> tuple[dict[str, Tensor], bool, int]:
    """What came of a step by all processes (`above`) or by this alone.

    Terms, gradients, their norm and what is remembered; whether proxies were shared out; the most numbers in a tensor.
    """
    torch.manual_seed(5)
    encoder, loss = nn.Sequential(nn.Linear(FEATURES, 7), nn.Tanh(), nn.Linear(7, DIM)).double(), case.make()
    torch.manual_seed(7)  # some losses draw
    if above is None:
        embeddings = encoder(inputs)
    else:
        share_out(loss, above)
        embeddings = gathered(encoder(inputs[own_rows(np.arange(len(inputs)))]), len(inputs))
    with Sizes() if above == 0 and case in OF_MANY else nullcontext() as sizes:
        terms = loss.terms(embeddings, labels, **sides)
        torch.stack(list(terms.values())).sum().backward()
    parameters = [*encoder.parameters(), *loss.parameters()]
    found = {f"term {name}": value.detach() for name, value in terms.items()}
    if above is None:
        found["norm"] = clip_grad_norm_(parameters, 0.1)
    else:
        add_up_gradients(parameters, loss)
        found["norm"] = clip_gradients(parameters, loss, 0.1)
    shards = {id(module.weight): module.shard for module in loss.modules() if isinstance(module, Proxies)}
    for name, parameter in [*encoder.named_parameters(), *loss.named_parameters()]:
        gradient, shard = parameter.grad, shards.get(id(parameter))
        if gradient is not None and shard:
            whole = gradient.new_zeros(shard.total, gradient.shape[1])
            whole[shard.classes] = gradient
            gradient = shard.sum(whole)
        if gradient is not None:
            found[f"gradient {name}"] = gradient
    found |= {name: value for name, value in loss.state_dict().items() if name.endswith("running.densities")}
    return found, any(shards.values()), max(sizes.made) if sizes else 0
