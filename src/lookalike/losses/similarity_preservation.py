"""SimilarityPreservation: keeps the similarities an encoder began with."""

import torch.nn.functional as F
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss


class SimilarityPreservation(Loss):
    r"""Holds the cosines within a batch near those the embeddings had before training.

    A regularizer, to be added to a loss: few training classes teach a pretrained encoder to forget what tells other
    classes apart. Of no use to an encoder that begins from nothing.

    .. math:: L = \frac{1}{B^2} \sum_{i,j} (x_i \cdot x_j - x^0_i \cdot x^0_j)^2

    in formula | in code          | what it is, shape, unit, range
    x          | embeddings       | (batch, dim), any length: rows are made unit length here
    x^0        | start_embeddings | (batch, any dim), the same items before training; no gradient flows to it

    Needs: start_embeddings.
    Terms: "similarity", in [0, 4].
    Raises: LossInputError: the two are not of the same items.
    Cost: time O(B^2 D), memory O(B^2).
    Source: the idea of keeping pairwise similarities: Tung and Mori, ICCV 2019, arXiv 1907.09682 [related]; cosines
    without row normalization, and the start of the same encoder as the teacher [ours].

    >>> import torch
    >>> x = torch.eye(2)
    >>> SimilarityPreservation()(x, start_embeddings=x).item()
    0.0
    """

    def terms(self, embeddings: Tensor, *, start_embeddings: Tensor) -> dict[str, Tensor]:
        """The mean squared change of the cosines."""
        if len(embeddings) != len(start_embeddings):
            raise LossInputError(f"{len(embeddings)} embeddings have {len(start_embeddings)} start embeddings")
        now = F.normalize(embeddings, dim=1)
        start = F.normalize(start_embeddings.detach().to(now.dtype), dim=1)
        return {"similarity": F.mse_loss(now @ now.T, start @ start.T)}
