"""ProxyAnchorLoss: each proxy is an anchor that pulls the items of its class and pushes the others."""

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.base import Loss, check_batch
from lookalike.losses.chunked import attraction, chunk_classes_for, proxy_anchor_by_chunks, repulsion
from lookalike.losses.proxies import Proxies, own_or_shared


class ProxyAnchorLoss(Loss):
    r"""Pulls the items of a class to its proxy and pushes all others away, the hardest most.

    A strong baseline that learns fast; needs a table of classes. Batches may hold one image per class. With very many
    classes it is light: its sums run over the batch, so classes are worked off by chunks.

    .. math::
        L = \frac{1}{|P^+|} \sum_{p \in P^+} \log \Big(1 + \sum_{x \in X_p^+} e^{-\alpha (\cos_{x,p} - \delta)} \Big)
          + \frac{1}{C} \sum_{p} \log \Big(1 + \sum_{x \in X_p^-} e^{\alpha (\cos_{x,p} + \delta)} \Big)

    in formula | in code    | what it is, shape, unit, range
    x          | embeddings | (batch, dim), any length: rows are made unit length here
    p          | proxies    | (classes, dim), learned; P+ are those with an item in the batch
    alpha      | alpha      | > 0, the sharpness
    delta      | delta      | a cosine, >= 0, the margin

    Needs: labels.
    Terms: "positive", "negative".
    Args: chunk_classes: classes worked on at a time; 0: chosen by size, all at once where they are few.
    Raises: LossInputError: a setting out of range, labels not in 0..C-1.
    Limits (tested): any chunk_classes gives the same; only all at once can it be differentiated twice.
    Cost: time O(B C D), memory O(C D) for the gradient of the proxies, and beyond it O(B D + C).
    Relations: SoftOrthogonalProxyAnchorLoss adds a term that holds the proxies apart.
    Source: Kim, Kim, Cho, Kwak, CVPR 2020, arXiv 2003.13911, eq. 4 [related]; the chunks [ours].

    >>> import torch
    >>> loss = ProxyAnchorLoss(proxies=Proxies(3, 4, orthogonal=True))
    >>> with torch.no_grad():
    ...     terms = loss.terms(loss.proxies(), torch.arange(3))
    >>> {name: round(term.item(), 2) for name, term in terms.items()}
    {'positive': 0.0, 'negative': 3.91}
    """

    class_axes: ClassVar[Mapping[str, int] | None] = {}

    def __init__(
        self,
        num_classes: int | None = None,
        dim: int | None = None,
        alpha: float = 32.0,
        delta: float = 0.1,
        chunk_classes: int = 0,
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__()
        check_settings(alpha, delta, chunk_classes)
        self.proxies = own_or_shared(proxies, num_classes, dim)
        self.alpha, self.delta, self.chunk_classes = alpha, delta, chunk_classes

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The pull of the proxies in the batch and the push of all."""
        return proxy_anchor_terms(self.proxies, embeddings, labels, self.alpha, self.delta, self.chunk_classes)


def proxy_anchor_terms(
    proxies: Proxies, embeddings: Tensor, labels: Tensor, alpha: float, delta: float, chunk_classes: int
) -> dict[str, Tensor]:
    """The two terms of Proxy Anchor; 0 on an empty batch."""
    labels = check_batch(embeddings, labels, proxies.num_classes)
    unit = proxies.unit_rows(embeddings)
    chunk = chunk_classes or chunk_classes_for(len(labels), proxies.num_classes, proxies.dim, embeddings.device)
    if proxies.shard and not chunk:
        chunk = proxies.num_classes  # only the chunks know of shards
    if not len(labels):
        nothing = proxies.cosines(embeddings).sum()
        return {"positive": nothing, "negative": nothing}
    if chunk:
        positive, negative = proxy_anchor_by_chunks(unit, proxies.weight, labels, alpha, delta, chunk, proxies.shard)
        return {"positive": positive, "negative": negative}
    cosines = unit @ proxies().T
    own = cosines.gather(1, labels[:, None])[:, 0]
    return {
        "positive": attraction(own, labels, proxies.num_classes, alpha, delta),
        "negative": repulsion(cosines, labels, alpha, delta),
    }


def check_settings(alpha: float, delta: float, chunk_classes: int) -> None:
    """Refuse settings Proxy Anchor cannot work with."""
    if not (0 < alpha < math.inf and 0 <= delta < math.inf and chunk_classes >= 0):
        raise LossInputError(
            f"alpha must be above 0, delta and chunk_classes at least 0, not {alpha}, {delta} and {chunk_classes}"
        )
