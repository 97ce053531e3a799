"""Mining: which triplets of a batch count, and the mean of their hinges."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.pairs import HingeSum, Margins, squared_distances, sum_over_triplets
from lookalike.losses.relations import Relation

Mining = Literal["all", "semihard", "hard", "distance"]
Average = Literal["valid", "active"]
#: Of distance-weighted sampling, as squared distances: nearer negatives are drawn no more often than those at the
#: first, and those from the second on not at all. 0.5 and 1.4 in the authors' code.
NEAREST, FARTHEST = 0.5**2, 1.4**2


def check_mining(mining: str, average: str) -> None:
    """Refuse what is no mining or no average.

    Raises:
        LossInputError: it names the choices.
    """
    for name, value, choices in (("mining", mining, get_args(Mining)), ("average", average, get_args(Average))):
        if value not in choices:
            raise LossInputError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def mean_hinge(embeddings: Tensor, relation: Relation, margins: Margins, mining: Mining, average: Average) -> Tensor:
    """The mean of [ d(a,p) - d(a,n) + m(a,n) ]_+ over the triplets that are mined; 0, with a graph, if there is none.

    all: every triplet. semihard: d(a,p) < d(a,n) < d(a,p) + m(a,n). hard: the largest of each anchor. distance: one
    drawn negative for each pair of an anchor and a positive, by `draw_negatives`. `average="active"` divides by the
    number of those above 0 instead of the number of those mined. In float32 at least, under autocast too.

    >>> from lookalike.losses.relations import SameClass
    >>> x = torch.tensor([[1.0, 0], [1, 0], [0, 1]])  # the negative is 2 away, and 3 is asked for
    >>> mean_hinge(x, SameClass(torch.tensor([0, 0, 1])), Margins(3.0), "all", "valid").item()
    1.0
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        if mining in ("all", "semihard"):
            total, valid, active = sum_over_triplets(embeddings, relation, margins, semihard=mining == "semihard")
        elif mining == "hard":
            total, valid, active = sum_of_hardest(embeddings, relation, margins)
        else:
            total, valid, active = sum_of_drawn(embeddings, relation, margins)
    return total / (active if average == "active" else valid).clamp_min(1)


def sum_of_hardest(embeddings: Tensor, relation: Relation, margins: Margins) -> HingeSum:
    """The largest hinge of each anchor that has a positive and a negative."""
    distances = squared_distances(embeddings, relation.first)
    if len(embeddings) == 0:  # no row to take the farthest and the nearest of
        return _added(distances.flatten(), distances.flatten() > 0)
    positive, negative = relation.pairs()
    farthest_positive = distances.masked_fill(~positive, -torch.inf).amax(dim=1)
    nearest_negative = margins.subtracted_from(distances).masked_fill(~negative, torch.inf).amin(dim=1)
    # An anchor that lacks one of the two has a gap of minus infinity: its hinge is 0 and has no gradient.
    return _added(torch.relu(farthest_positive - nearest_negative), positive.any(dim=1) & negative.any(dim=1))


def sum_of_drawn(
    embeddings: Tensor, relation: Relation, margins: Margins, generator: torch.Generator | None = None
) -> HingeSum:
    """The hinges of all pairs of an anchor and a positive with one drawn negative each."""
    distances = squared_distances(embeddings, relation.first)
    positive, negative = relation.pairs()
    anchors, positives = (positive & negative.any(dim=1, keepdim=True)).nonzero(as_tuple=True)
    place = (positive.cumsum(dim=1) - 1)[anchors, positives]
    most = int(place.max()) + 1 if len(place) else 0
    drawn = draw_negatives(distances.detach(), negative, embeddings.shape[1], most, generator)
    less_margin = margins.subtracted_from(distances)
    hinges = torch.relu(distances[anchors, positives] - less_margin[anchors, drawn[anchors, place]])
    return _added(hinges, torch.ones_like(hinges, dtype=torch.bool))


@torch.no_grad()
def draw_negatives(
    distances: Tensor, negative: Tensor, dim: int, num: int, generator: torch.Generator | None = None
) -> Tensor:
    """`num` negatives for each anchor, about equally often from every distance: [B, num]; any item where it has none.

    P(n | a) is as 1 / q(d) where q, the density of the distance of random points on the sphere, is
    d^(D-2) (1 - d^2/4)^((D-3)/2). It is cut off near and far; an anchor with all negatives far draws from all of them
    alike [ours]. Torch's random state is used where no generator is given.
    """
    if num == 0:
        return negative.new_empty(len(negative), 0, dtype=torch.long)
    near = distances.clamp(NEAREST, FARTHEST)
    log_weights = (2 - dim) / 2 * near.log() - (dim - 3) / 2 * (1 - near / 4).log()
    usable = negative & (distances < FARTHEST)
    any_of = torch.where(negative.any(dim=1, keepdim=True), negative, True)
    alike = ~usable.any(dim=1, keepdim=True)
    weights = log_weights.masked_fill(~usable, -math.inf).masked_fill(alike & any_of, 0.0).softmax(dim=1)
    return weights.multinomial(num, replacement=True, generator=generator)


def _added(hinges: Tensor, mined: Tensor) -> HingeSum:
    return HingeSum(hinges.sum(), mined.sum(), (hinges > 0).sum())
