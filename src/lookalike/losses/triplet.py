"""TripletLoss: one margin for all; every triplet, the hardest, the semi-hard, or drawn ones."""

from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.mining import Average, Mining, check_mining, mean_hinge
from lookalike.losses.pairs import Margins
from lookalike.losses.relations import SameClass


class TripletLoss(Loss):
    r"""Pulls the positives of each anchor nearer than its negatives, by a fixed margin.

    The baseline of the field. Needs no class table, so the number of classes does not matter; it sees only what is in
    the batch, so batches need several images per class.

    .. math:: L = \frac{1}{|T|} \sum_{(a,p,n) \in T} [ d(a,p) - d(a,n) + m ]_+

    in formula | in code    | what it is, shape, unit, range
    x          | embeddings | (batch, dim), any length: rows are made unit length here
    d          |            | squared Euclidean distance of unit vectors, in [0, 4]
    m          | margin     | a squared distance, in (0, 4)
    T          | mining     | hard: one triplet an anchor, its farthest positive and nearest negative; all: every one;
               |            | semihard: those with d(a,p) < d(a,n) < d(a,p) + m; distance: one negative drawn for each
               |            | (a,p), about equally often from every distance
    1/abs(T)   | average    | valid: the mean over T; active: over those of T whose hinge is above 0

    Needs: labels.       Batches: at least 2 images of 2 classes.
    Terms: "triplet" (0 when there is no triplet, or none is active).
    Raises: LossInputError: the margin is outside (0, 4), no such mining or average, or labels are not integers [B].
    Limits (tested): all triplets, averaged over the active, equal TripletMarginLoss of pytorch-metric-learning.
    Cost: time O(B^2 (D + P)) with P positives an anchor, or O(B^2 (D + log P)) if they are many. Memory O(B D) for all
    and semihard, O(B^2) for hard and distance. All and semihard cannot be differentiated twice (an error says so):
    their gradient is made in the forward pass, from counts.
    Relations: AdaptiveTripletLoss has a margin for each (a, n), from text.
    Source: Hermans, Beyer, Leibe, arXiv 1703.07737, eq. 5 (hard) and 6 (all) [related]; the semi-hard window: Schroff,
    Kalenichenko, Philbin, CVPR 2015 [related]; the weights of distance: Wu et al., ICCV 2017, with the cut-offs 0.5
    and 1.4 of their code [related]; squared distances of unit vectors, all triplets of the window instead of one, even
    odds for an anchor whose negatives are all beyond the cut-off [ours].

    >>> import torch
    >>> loss = TripletLoss(margin=0.5)
    >>> round(loss(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])).item(), 4)
    0.0
    """

    def __init__(self, margin: float = 0.2, mining: Mining = "hard", average: Average = "valid") -> None:
        super().__init__()
        if not 0 < margin < 4:
            raise LossInputError(f"margin is a squared distance of unit vectors and must lie in (0, 4), not {margin}")
        check_mining(mining, average)
        self.margin, self.mining, self.average = margin, mining, average

    def terms(self, embeddings: Tensor, labels: Tensor, *, anchors: int | None = None) -> dict[str, Tensor]:
        """The mean hinge over the mined triplets, of the first `anchors` items if not all."""
        relation = SameClass(check_batch(embeddings, labels), anchors)
        return {"triplet": mean_hinge(embeddings, relation, Margins(self.margin), self.mining, self.average)}
