"""How well k-means finds the classes: NMI, AMI and pairwise F1."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation.cosines import unit_rows
from lookalike.evaluation.neighbors import BLOCK
from lookalike.evaluation.relevance import UNLABELED
from lookalike.progress import track

Array = np.ndarray | Tensor
ITERATIONS = 20
#: Lloyd's iterations end when fewer of the items than this change their cluster.
SETTLED = 1e-3
#: Centers drawn at one time when so many times as many are there.
PER_ROUND = 8


@dataclass(frozen=True)
class Clusters:
    """Agreement of clusters and classes.

    Attributes:
        nmi: normalized mutual information, arithmetic mean, in [0, 1]. It rises with the number of clusters.
        ami: the same beyond chance: 0 for random clusters.
        f1: harmonic mean of precision and recall over all pairs of items: in one cluster, of one class.
        assigned: int64 [N], the cluster of each item with a label.
    """

    nmi: float
    ami: float
    f1: float
    assigned: np.ndarray


def clustering_metrics(embeddings: Array, labels: Array, *, seed: int = 0) -> Clusters:
    """Cluster the unit rows by k-means, as many clusters as classes, and compare both.

    The figures depend on the starting centers: they are drawn by k-means++ in rounds, with this seed. They hold for
    this initialization only; random ones give other figures.

    Args:
        embeddings: [N, D], on the device that is to compute.
        labels: integers [N]; items of label -1 are left out.
        seed: of the starting centers.

    Raises:
        EvaluationError: fewer than two classes, or embeddings that are zero or not finite.
    """
    from sklearn import metrics

    x, classes = torch.as_tensor(embeddings), np.asarray(labels)
    known = np.flatnonzero(classes != UNLABELED)
    classes = classes[known]
    num_classes = len(np.unique(classes))
    if num_classes < 2:
        raise EvaluationError("clusters can be compared with two classes or more")
    assigned = kmeans(unit_rows(x[torch.from_numpy(known).to(x.device)], "query"), num_classes, seed=seed).cpu().numpy()
    (_, false_positive), (false_negative, positive) = metrics.pair_confusion_matrix(classes, assigned).tolist()
    return Clusters(
        nmi=float(metrics.normalized_mutual_info_score(classes, assigned)),
        ami=float(metrics.adjusted_mutual_info_score(classes, assigned)),
        f1=2 * positive / max(1, 2 * positive + false_positive + false_negative),
        assigned=assigned,
    )


def kmeans(x: Tensor, k: int, *, seed: int = 0) -> Tensor:
    """Lloyd's k-means of float32 rows [N, D]: the cluster of each, int64 [N].

    Distances are computed in blocks of rows. A cluster that lost all its items keeps its center.
    """
    centers, before = _spread(x, k, torch.Generator().manual_seed(seed)), None
    for _ in track(range(ITERATIONS), "clustering", total=ITERATIONS):
        _, assigned = _nearest_center(x, centers)
        if before is not None and int((assigned != before).sum()) <= SETTLED * len(x):
            break
        before = assigned
        counts = torch.bincount(assigned, minlength=k)[:, None]
        means = torch.zeros_like(centers).index_add_(0, assigned, x) / counts.clamp_min(1)
        centers = torch.where(counts > 0, means, centers)
    return assigned


def _spread(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Rows far apart: k-means++ [Arthur, Vassilvitskii 2007], an eighth more a round as in [Bahmani et al. 2012].

    Of twice as many rows as a round needs, drawn by their squared distance to the centers, so many are drawn one by
    one, now by the distance to each other too: else a far group of rows would get several centers at once.
    """
    chosen = torch.randint(len(x), (1,), generator=generator).to(x.device)
    distances = _nearest_center(x, x[chosen])[0]
    while len(chosen) < k:
        distances[chosen] = -1  # below all others: never drawn again
        count = min(k - len(chosen), max(1, len(chosen) // PER_ROUND))
        pool = _drawn(distances, min(2 * count, len(x) - len(chosen)), generator)
        among, left, new = torch.cdist(x[pool], x[pool]).square_(), distances[pool], []
        for _ in range(count):
            new.append(_drawn(left, 1, generator))
            left = torch.minimum(left, among[new[-1][0]]).index_fill_(0, new[-1], -1)
        fresh = pool[torch.cat(new)]
        distances = torch.minimum(distances, _nearest_center(x, x[fresh])[0])
        chosen = torch.cat([chosen, fresh])
    return x[chosen]


def _drawn(chances: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers drawn by these chances without replacement: the largest of chance / exponential noise."""
    noise = torch.empty(len(chances)).exponential_(generator=generator)
    return (chances / noise.to(chances.device)).topk(count).indices


def _nearest_center(x: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance to the nearest center and its number, [N] each."""
    half = (centers * centers).sum(dim=1) / 2
    best, numbers = torch.empty(len(x), device=x.device), torch.empty(len(x), dtype=torch.int64, device=x.device)
    step = max(1, BLOCK // 4 // len(centers))
    for start in range(0, len(x), step):
        rows = x[start : start + step]
        best[start : start + step], numbers[start : start + step] = torch.addmm(-half, rows, centers.T).max(dim=1)
    return ((x * x).sum(dim=1) - 2 * best).clamp_min_(0), numbers
