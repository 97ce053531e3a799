"""AdaptiveTripletLoss: the margin of each (anchor, negative) follows the distance of their texts."""

from typing import Literal, get_args

from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.mining import Average, Mining, check_mining, mean_hinge
from lookalike.losses.pairs import Margins
from lookalike.losses.relations import NearTexts, Relation, SameClass

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

    Without labels, `positive_distance` says whose positives the items are: those whose texts lie within that squared
    distance, in (0, 4), are; those beyond it are negatives; items without text are neither. Labels, if there are any,
    are then not looked at.

    Needs: labels, side_vectors.       Batches: at least 2 images of 2 classes.
    Terms: "triplet" (0 when there is no triplet, or none is active).
    Raises: LossInputError: base_margin or positive_distance is outside (0, 4), no such scaling, mining or average, no
    labels and no positive_distance, labels are not integers [B], or side_vectors are not [B, T].
    Limits (tested): equal texts => TripletLoss(margin=beta) of the same mining; texts equal within a class and far
    apart between classes => positive_distance finds what the labels say.
    Cost: time O(B^2 (D + T + P)) with P positives an anchor, or O(B^2 (D + T + log P)) if they are many. Memory
    O(B (D + T)) for all and semihard, O(B^2) for hard and distance. All and semihard cannot be differentiated twice (an
    error says so): their gradient is made in the forward pass, from counts.
    Relations: TripletLoss has one margin for all; AdaptiveAdditiveSoftmaxLoss has such margins between classes.
    Source: Zhao, Qi, Luo, Davis, ICCV Workshops 2019, arXiv 1909.12939: a triplet loss whose margin follows the
    distance of the descriptions [paper]; the formula of m and its range [reported]; the weights of distance: Wu et al.,
    ICCV 2017 [related]; squared distances, the semi-hard window by m(a,n) and all triplets in it, the hardest by d - m,
    stretch, average, positive_distance [ours; the paper takes its weak labels from the descriptions too].

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
        positive_distance: float | None = None,
    ) -> None:
        super().__init__()
        if not 0 < base_margin < 4:
            raise LossInputError(
                f"base_margin is a squared distance of unit vectors and must lie in (0, 4), not {base_margin}"
            )
        if positive_distance is not None and not 0 < positive_distance < 4:
            raise LossInputError(
                "positive_distance is a squared distance of unit vectors and must lie in (0, 4), "
                f"not {positive_distance}"
            )
        if scaling not in get_args(Scaling):
            raise LossInputError(f"scaling must be one of {', '.join(get_args(Scaling))}, not {scaling!r}")
        check_mining(mining, average)
        self.base_margin, self.mining, self.scaling, self.average = base_margin, mining, scaling, average
        self.positive_distance = positive_distance

    def terms(
        self, embeddings: Tensor, labels: Tensor | None = None, *, side_vectors: Tensor, anchors: int | None = None
    ) -> dict[str, Tensor]:
        """The mean hinge over the mined triplets, each with the margin of its anchor and negative.

        Of the first `anchors` items if not of all.
        """
        relation = self._relation(embeddings, labels, side_vectors, anchors)
        if side_vectors.ndim != 2 or len(side_vectors) != len(embeddings):
            raise LossInputError(
                f"side_vectors must be [{len(embeddings)}, T], one row an item, not {tuple(side_vectors.shape)}"
            )
        beta = self.base_margin
        slope = 1 / (4 - beta) if self.scaling == "shrink" else (4 - beta) / 4
        margins = Margins(beta, slope, side_vectors)
        return {"triplet": mean_hinge(embeddings, relation, margins, self.mining, self.average)}

    @property
    def inputs(self) -> dict[str, bool]:
        """Labels are needed unless the texts say whose positives the items are."""
        return super().inputs | {"labels": self.positive_distance is None}

    def _relation(
        self, embeddings: Tensor, labels: Tensor | None, side_vectors: Tensor, anchors: int | None
    ) -> Relation:
        if labels is not None:
            labels = check_batch(embeddings, labels)
        if self.positive_distance is not None:
            return NearTexts(side_vectors, self.positive_distance, anchors)
        if labels is None:
            raise LossInputError(
                "AdaptiveTripletLoss needs labels, or a positive_distance by which the texts say whose positives the "
                "items are"
            )
        return SameClass(labels, anchors)
