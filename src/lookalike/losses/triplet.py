"""TripletLoss with batch-hard mining."""

import torch
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.pairs import positive_and_negative_pairs, squared_distances


class TripletLoss(Loss):
    r"""Pulls the farthest positive of each anchor nearer than its nearest negative, by a fixed margin.

    The baseline of the field. Needs no class table, so the number of classes does not matter; it sees only what is in
    the batch, so batches need several images per class.

    .. math:: L = \frac{1}{|A|} \sum_{a \in A} [ \max_p d(a,p) - \min_n d(a,n) + m ]_+

    in formula | in code    | what it is, shape, unit, range
    x          | embeddings | (batch, dim), any length: rows are made unit length here
    d          |            | squared Euclidean distance of unit vectors, in [0, 4]
    m          | margin     | a squared distance, in (0, 4)
    A          |            | anchors with at least one positive and one negative in the batch

    Needs: labels.       Batches: at least 2 images of 2 classes.
    Terms: "triplet" (0 when no anchor has both a positive and a negative).
    Raises: LossInputError: the margin is outside (0, 4), or labels are not integers [B].
    Cost: time O(B^2 D), memory O(B^2).
    Source: Hermans, Beyer, Leibe, arXiv 1703.07737, eq. 5 [related]; squared distances of unit vectors [ours].

    >>> loss = TripletLoss(margin=0.5)
    >>> round(loss(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])).item(), 4)
    0.0
    """

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        if not 0 < margin < 4:
            raise LossInputError(f"margin is a squared distance of unit vectors and must lie in (0, 4), not {margin}")
        self.margin = margin

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The mean hinge over the anchors that have a positive and a negative."""
        labels = check_batch(embeddings, labels)
        distances = squared_distances(embeddings)
        if len(labels) == 0:  # no row to take the farthest and the nearest of
            return {"triplet": distances.sum()}
        positive, negative = positive_and_negative_pairs(labels)
        farthest_positive = distances.masked_fill(~positive, -torch.inf).amax(dim=1)
        nearest_negative = distances.masked_fill(~negative, torch.inf).amin(dim=1)
        valid = positive.any(dim=1) & negative.any(dim=1)
        # An anchor that lacks one of the two has a gap of minus infinity: its hinge is 0 and has no gradient.
        hinges = torch.relu(farthest_positive - nearest_negative + self.margin)
        return {"triplet": hinges.sum() / valid.sum().clamp_min(1)}
