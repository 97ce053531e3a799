"""AdaptiveTripletLoss: the margin of each (anchor, negative) follows the distance of their texts."""

from typing import Literal, get_args

from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.mining import Average, Mining, check_mining, mean_hinge
from lookalike.losses.pairs import Margins

Scaling = Literal["shrink", "stretch"]


class AdaptiveTripletLoss(Loss):
    r"""Pulls the positives of each anchor nearer than its negatives, the more so the less their texts have in common.

    Use it when every item has a description and the classes are too many, or too few items each, for a class table.
    Without text it is `TripletLoss`. The margin is as others report it of the paper, the loss around it partly our own.

    .. math::
        m(a,n) = \beta + \frac{\|t_a - t_n\|^2}{4 - \beta}

        L = \frac{1}{|T|} \sum_{(a,p,n) \in T} [ d(a,p) - d(a,n) + m(a,n) ]_+

    in formula | in code      | what it is, shape, unit, range
    x          | embeddings   | (batch, dim), any length: rows are made unit length here
    t          | side_vectors | (batch, side_dim), rows made unit length (zeros stay zeros); no gradient flows to it
    d          |              | squared Euclidean distance of unit vectors, in [0, 4]
    beta       | base_margin  | a squared distance, in (0, 4)
    m          | scaling      | shrink: as above, in [beta, beta + 4/(4-beta)]; stretch:
               |              | beta + (4-beta)/4 |t_a - t_n|^2, in [beta, 4]
    T          | mining       | all: every triplet; semihard: those with d(a,p) < d(a,n) < d(a,p) + m(a,n); hard: one an
               |              | anchor, of the largest hinge; distance: one negative drawn for each (a,p), about equally
               |              | often from every distance
    1/abs(T)   | average      | valid: the mean over T; active: over those of T whose hinge is above 0

    Needs: labels, side_vectors.       Batches: at least 2 images of 2 classes.
    Terms: "triplet" (0 when there is no triplet, or none is active).
    Raises: LossInputError: base_margin is outside (0, 4), no such scaling, mining or average, labels are not integers
    [B], or side_vectors are not [B, T].
    Limits (tested): equal texts => TripletLoss(margin=beta) of the same mining.
    Cost: time O(B^2 (D + T + P)) with P positives an anchor, or O(B^2 (D + T + log P)) if they are many. Memory
    O(B (D + T)) for all and semihard, O(B^2) for hard and distance. All and semihard cannot be differentiated twice (an
    error says so): their gradient is made in the forward pass, from counts.
    Relations: TripletLoss has one margin for all; AdaptiveAdditiveSoftmaxLoss has such margins between classes.
    Source: Zhao, Qi, Luo, Davis, ICCV Workshops 2019, arXiv 1909.12939: a triplet loss whose margin follows the
    distance of the descriptions [paper]; the formula of m and its range [reported]; the weights of distance: Wu et al.,
    ICCV 2017 [related]; squared distances, the semi-hard window by m(a,n) and all triplets in it, the hardest by d - m,
    stretch, average [ours].

    >>> import torch
    >>> x, t = torch.tensor([[1.0, 0], [1, 0], [0, 1]]), torch.tensor([[1.0, 0], [1, 0], [-1, 0]])
    >>> loss = AdaptiveTripletLoss(scaling="stretch")  # opposite texts: the margin is 4, and 2 of it is kept
    >>> round(loss(x, torch.tensor([0, 0, 1]), side_vectors=t).item(), 4)
    2.0
    """

    def __init__(
        self,
        base_margin: float = 0.1,
        mining: Mining = "all",
        scaling: Scaling = "shrink",
        average: Average = "valid",
    ) -> None:
        super().__init__()
        if not 0 < base_margin < 4:
            raise LossInputError(
                f"base_margin is a squared distance of unit vectors and must lie in (0, 4), not {base_margin}"
            )
        if scaling not in get_args(Scaling):
            raise LossInputError(f"scaling must be one of {', '.join(get_args(Scaling))}, not {scaling!r}")
        check_mining(mining, average)
        self.base_margin, self.mining, self.scaling, self.average = base_margin, mining, scaling, average

    def terms(self, embeddings: Tensor, labels: Tensor, *, side_vectors: Tensor) -> dict[str, Tensor]:
        """The mean hinge over the mined triplets, each with the margin of its anchor and negative."""
        labels = check_batch(embeddings, labels)
        if side_vectors.ndim != 2 or len(side_vectors) != len(labels):
            raise LossInputError(
                f"side_vectors must be [{len(labels)}, T], one row an item, not {tuple(side_vectors.shape)}"
            )
        beta = self.base_margin
        slope = 1 / (4 - beta) if self.scaling == "shrink" else (4 - beta) / 4
        margins = Margins(beta, slope, side_vectors)
        return {"triplet": mean_hinge(embeddings, labels, margins, self.mining, self.average)}
