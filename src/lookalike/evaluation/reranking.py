"""Better orders from the neighbors of neighbors: query expansion and k-reciprocal re-ranking."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation.cosines import unit_rows
from lookalike.evaluation.neighbors import Block, nearest

Array = np.ndarray | Tensor
#: Numbers held at one time, 4 Mi.
HELD = 2**22


def expanded_queries(queries: Array, gallery: Array | None = None, *, k: int = 5, alpha: float = 3.0) -> Tensor:
    """Alpha query expansion [Radenovic, Tolias, Chum, TPAMI 2019]: x + the sum over its k nearest y of cos^alpha y.

    Args:
        queries: [Q, D].
        gallery: [G, D]; without it the queries search among themselves.
        k: neighbors that are added; 0 changes nothing.
        alpha: 0 adds them all alike (average query expansion); larger ones trust the nearest more.

    Returns:
        Unit rows float32 [Q, D], to be used as queries in the same gallery.

    Raises:
        EvaluationError: k is out of range, or alpha is negative.
    """
    if alpha < 0:
        raise EvaluationError(f"alpha must be at least 0, not {alpha}: nearer neighbors would count less")
    x = unit_rows(torch.as_tensor(queries), "query")
    if k == 0:
        return x
    y = x if gallery is None else unit_rows(torch.as_tensor(gallery), "gallery")
    itself = torch.arange(len(x), device=x.device) if gallery is None else None
    numbers, cosines = nearest(x, y, k, exclude=itself)
    expanded = x.clone()
    for near, weight in zip(numbers.unbind(dim=1), cosines.clamp_min(0).pow(alpha).unbind(dim=1), strict=True):
        expanded += weight[:, None] * y[near]
    return unit_rows(expanded, "query")


class KReciprocal:
    """k-reciprocal re-ranking [Zhong, Zheng, Cao, Li, CVPR 2017], of the `depth` nearest only.

    Each item is described by the items that are near it both ways: weights exp(cosine - 1) over its k1-reciprocal
    neighbors, enlarged by theirs (sec. 3.2), averaged over its k2 nearest (sec. 3.4). Sorted by
    (1 - weight) (1 - sum of min / sum of max) + weight (1 - cosine) of these descriptions; items beyond `depth` keep
    their place. It looks at all queries and the gallery together, so a query's answer depends on the other queries.
    Distances are 1 - cosine where the authors' code has squared distances over the largest of a row. [related]
    """

    def __init__(
        self,
        queries: Array,
        gallery: Array | None = None,
        *,
        k1: int = 20,
        k2: int = 6,
        weight: float = 0.3,
        depth: int = 100,
    ):
        x = unit_rows(torch.as_tensor(queries), "query").cpu()
        # The queries first, then the gallery.
        self._gallery_from = 0 if gallery is None else len(x)
        items = x if gallery is None else torch.cat([x, unit_rows(torch.as_tensor(gallery), "gallery").cpu()])
        if not (1 <= k2 <= k1 < len(items) and 0 <= weight <= 1):
            raise EvaluationError(
                f"re-ranking needs 1 <= k2 <= k1 < {len(items)} items and a weight in 0..1, not {k2}, {k1}, {weight}"
            )
        self.depth, self._weight = depth, weight
        described = _descriptions(items, k1, k2)
        width = int(np.diff(described.indptr).max())
        filled = np.arange(width) < np.diff(described.indptr)[:, None]
        numbers, weights = np.zeros(filled.shape, dtype=np.int64), np.zeros(filled.shape, dtype=np.float32)
        numbers[filled], weights[filled] = described.indices, described.data
        self._numbers, self._weights = torch.from_numpy(numbers), torch.from_numpy(weights)

    def __call__(self, block: Block) -> Block:
        """The block in the new order, with the cosines that belong to it."""
        numbers = block.numbers[:, : self.depth].cpu()
        items = numbers.clamp_min(0) + self._gallery_from
        shared = torch.empty(numbers.shape)
        own = torch.zeros(len(self._numbers))
        for place, row in enumerate(block.rows.tolist()):
            own.index_add_(0, self._numbers[row], self._weights[row])  # the filled up places add 0
            shared[place] = torch.minimum(own[self._numbers[items[place]]], self._weights[items[place]]).sum(dim=1)
            own[self._numbers[row]] = 0
        distances = (1 - self._weight) * (1 - shared / (2 - shared))  # each description sums to 1
        distances += self._weight * (1 - block.cosines[:, : self.depth].cpu())
        order = distances.masked_fill(numbers < 0, torch.inf).argsort(dim=1, stable=True).to(block.rows.device)
        rest = torch.arange(order.shape[1], block.numbers.shape[1], device=order.device).expand(len(order), -1)
        order = torch.cat([order, rest], dim=1)
        return Block(block.rows, block.numbers.gather(1, order), block.cosines.gather(1, order))


def _descriptions(items: Tensor, k1: int, k2: int) -> sparse.csr_matrix:
    """Weights of the items that describe each, [N, N], each row summing to 1."""
    count = len(items)
    numbers = nearest(items, items, k1, exclude=torch.arange(count))[0].numpy()

    def around(k: int) -> sparse.csr_matrix:
        """Each item with its k nearest."""
        columns = np.concatenate([np.arange(count)[:, None], numbers[:, :k]], axis=1)
        ends = np.arange(count + 1) * (k + 1)
        return sparse.csr_matrix((np.ones(columns.size, np.float32), columns.ravel(), ends), shape=(count, count))

    def reciprocal(k: int) -> sparse.csr_matrix:
        return around(k).multiply(around(k).T).tocsr()

    near, core = reciprocal(k1), reciprocal(max(1, round(k1 / 2)))
    # Those whose own core lies mostly among the neighbors bring it along.
    overlap = near.multiply(near @ core.T).tocoo()
    taken = overlap.data >= 2 / 3 * np.diff(core.indptr)[overlap.col] - 1e-6
    trusted = sparse.csr_matrix((np.ones(taken.sum()), (overlap.row[taken], overlap.col[taken])), shape=near.shape)
    pairs = (near + trusted @ core).tocoo()
    cosines = np.empty(len(pairs.row), dtype=np.float32)
    step = max(1, HELD // items.shape[1])
    for start in range(0, len(cosines), step):
        part = slice(start, start + step)
        cosines[part] = (items[pairs.row[part]] * items[pairs.col[part]]).sum(dim=1).numpy()
    weights = sparse.csr_matrix((np.exp(cosines - 1), (pairs.row, pairs.col)), shape=near.shape)
    weights = sparse.diags(1 / np.asarray(weights.sum(axis=1)).ravel()) @ weights
    described = (around(k2 - 1) @ weights / k2).tocsr() if k2 > 1 else weights.tocsr()
    described.sort_indices()
    return described
