"""All figures of retrieval from one pass over exact neighbors."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation.clustering import clustering_metrics
from lookalike.evaluation.cosines import Precision
from lookalike.evaluation.neighbors import Block, neighbor_blocks
from lookalike.evaluation.ranks import figures_of, first_hit
from lookalike.evaluation.relevance import Labels, Relevance, label_table
from lookalike.evaluation.result import Retrieval

__all__ = ["Retrieval", "retrieval_metrics"]

Array = np.ndarray | Tensor


class Rerank(Protocol):
    """Puts the neighbors of a block in another order; at least `depth` of them are found for it."""

    depth: int

    def __call__(self, block: Block) -> Block:
        """The same neighbors."""


def retrieval_metrics(
    queries: Array,
    query_labels: Labels,
    gallery: Array | None = None,
    gallery_labels: Labels | None = None,
    k: Sequence[int] = (1, 2, 4, 8),
    *,
    groups: Array | None = None,
    gallery_groups: Array | None = None,
    ties: Literal["number", "worst", "best"] = "number",
    precision: Precision = "float32",
    rerank: Rerank | None = None,
    clustering: bool = False,
    device: str | torch.device | None = None,
    memory_mb: int = 128,
) -> Retrieval:
    """Judge embeddings by retrieval with exact cosine neighbors.

    Labels are integers, or several an item: bool [N, L] or a collection of integers each; sharing one is enough. An
    item of label -1 (or of none) is not asked and in the gallery a distractor.

    Args:
        queries: [Q, D].
        query_labels: [Q].
        gallery: [G, D]; without it the queries search among themselves, each left out of its own result.
        gallery_labels: [G], with `gallery`.
        k: the K of Recall@K and others, each at least 1; a K above the gallery's size counts all of it.
        groups: integers [Q]; a query does not see gallery rows of its group: the same camera, the same session.
        gallery_groups: integers [G], with `gallery` and `groups`.
        ties: whom equal cosines favor: the lower gallery number, or what makes every figure "worst" or "best". A
            collapsed model, to which all items are equal, gets what it deserves from "worst".
        precision: of the fast product; the figures are the same, see `neighbor_blocks`.
        rerank: changes the order of each block of neighbors found, such as `reranking.KReciprocal`.
        clustering: also cluster the queries with a label by k-means (slow), for `nmi`.
        device: where to compute; where the embeddings lie by default.
        memory_mb: held at a time beside the embeddings and their unit rows, about.

    Raises:
        EvaluationError: shapes that do not fit, a K below 1, or no query whose class is in the gallery.
    """
    among_themselves = gallery is None
    x, labels = _checked(queries, query_labels, "query", device)
    y, classes = (x, labels) if gallery is None else _checked(gallery, gallery_labels, "gallery", x.device)
    if x.shape[1] != y.shape[1]:
        raise EvaluationError(f"queries have {x.shape[1]} dimensions, the gallery {y.shape[1]}: not of one model")
    if not k or min(k) < 1:
        raise EvaluationError(f"Recall@K needs K of at least 1, not {list(k)}")
    apart = _groups(groups, gallery_groups, len(x), None if gallery is None else len(y), x.device)

    relevance = Relevance(labels, classes, among_themselves=among_themselves, groups=apart)
    counted = (relevance.to_find > 0).nonzero().squeeze(1)
    if len(counted) == 0:
        raise EvaluationError(
            f"not one of {len(labels)} queries has an item of its class to find; a class needs at least two pictures"
        )
    favored = {"number": None, "worst": lambda rows, numbers: ~relevance.hits(rows, numbers), "best": relevance.hits}
    deepest = max(*k, rerank.depth if rerank else 1)
    depths = relevance.to_find.clamp(min=deepest).clamp_max(len(y) - int(among_themselves))
    first = torch.empty(len(x), dtype=torch.int64, device=x.device)
    figures: dict[str, Tensor] = {}
    for block in neighbor_blocks(
        x,
        y,
        torch.where(relevance.to_find > 0, depths, 0),
        exclude=torch.arange(len(x), device=x.device) if among_themselves else None,
        groups=apart,
        precision=precision,
        first_of_ties=favored[ties],
        kinds=None if rerank else relevance.hits,
        block=memory_mb * 2**17,  # half of it in float32 numbers: the rest is what is made of them
    ):
        block = rerank(block) if rerank else block
        hits = relevance.hits(block.rows, block.numbers)
        first[block.rows] = first_hit(hits)
        for name, values in figures_of(hits, relevance.to_find[block.rows], k).items():
            figures.setdefault(name, torch.empty(len(x), dtype=torch.float64, device=x.device))[block.rows] = values

    ranks, per_query = first[counted].cpu().numpy(), {name: v[counted].cpu().numpy() for name, v in figures.items()}
    own_classes = relevance.classes.cpu().numpy()
    return Retrieval(
        recall_at={size: float((ranks <= size).mean()) for size in k},
        r_precision=float(per_query["r_precision"].mean()),
        map_at_r=float(per_query["map_at_r"].mean()),
        num_queries=len(counted),
        num_skipped=len(labels) - len(counted),
        num_gallery=len(y),
        query_numbers=counted.cpu().numpy(),
        query_labels=own_classes[counted.cpu().numpy()],
        first_hit=ranks,
        per_query=per_query,
        clusters=clustering_metrics(x, own_classes) if clustering else None,
    )


def _checked(
    embeddings: Array, labels: Labels | None, what: str, device: str | torch.device | None
) -> tuple[Tensor, Tensor]:
    if labels is None:
        raise EvaluationError(f"the {what} embeddings need {what}_labels, integers [N]")
    x = torch.as_tensor(embeddings, device=device)
    return x, label_table(labels, x, what)


def _groups(
    own: Array | None, others: Array | None, queries: int, gallery: int | None, device: torch.device
) -> tuple[Tensor, Tensor] | None:
    if own is None and others is None:
        return None
    if own is None or (others is None) != (gallery is None):
        raise EvaluationError(
            "groups keep queries and gallery rows apart: give groups, and gallery_groups with a gallery"
        )
    first = torch.as_tensor(own).to(device)
    second = first if others is None else torch.as_tensor(others).to(device)
    if first.shape != (queries,) or second.shape != (queries if gallery is None else gallery,):
        raise EvaluationError(f"groups are one integer a row, not {tuple(first.shape)} and {tuple(second.shape)}")
    return first, second
