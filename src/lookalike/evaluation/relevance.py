"""Which gallery rows are right for which query: those that share a label."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import EvaluationError

#: The label of an item without one: such a query is not asked, such a gallery row is right for nobody.
UNLABELED = -1

#: Integers [N]; or several labels an item: bool [N, L], or a collection of integers for each.
Labels = np.ndarray | Tensor | Sequence[int] | Sequence[Collection[int]]


class Relevance:
    """Right for a query is what shares a label with it, and that it may see.

    Attributes:
        to_find: int64 [Q], R: how many gallery rows are right for each query.
        classes: int64 [Q], the label of each query; with several an item, the number of its set of labels.
    """

    def __init__(
        self,
        query_labels: Tensor,
        gallery_labels: Tensor,
        *,
        among_themselves: bool,
        groups: tuple[Tensor, Tensor] | None = None,
    ):
        """Compare labels of `label_table`, int64 [Q, M] and [G, M']; `groups` as in `neighbor_blocks`."""
        self.query_labels, self.gallery_labels = query_labels, gallery_labels
        single = query_labels.shape[1] == 1
        self.classes = query_labels[:, 0] if single else query_labels.unique(dim=0, return_inverse=True)[1]
        if single and gallery_labels.shape[1] == 1 and groups is None:
            self.to_find = _count_of(query_labels[:, 0], gallery_labels[:, 0])
        else:
            self.to_find = _count_sharing(query_labels, gallery_labels, groups)
        if among_themselves and groups is None:
            self.to_find = (self.to_find - 1).clamp_min(0)

    def hits(self, rows: Tensor, numbers: Tensor) -> Tensor:
        """Which of the gallery rows `numbers` [b, n] are right for the queries `rows` [b]: bool [b, n]."""
        asked, found = self.query_labels[rows], self.gallery_labels[numbers]
        hits = torch.zeros_like(numbers, dtype=torch.bool)
        for one in asked.unbind(dim=1):
            for other in found.unbind(dim=2):
                hits |= (one[:, None] == other) & (one[:, None] != UNLABELED)
        return hits & (numbers >= 0)


def label_table(labels: Labels, embeddings: Tensor, what: str) -> Tensor:
    """Labels of embeddings [N, D] as int64 [N, M] on their device, filled up with `UNLABELED`.

    Raises:
        EvaluationError: labels that are not integers, or not one entry a row.
    """
    if not isinstance(labels, np.ndarray | Tensor) and any(isinstance(entry, Collection) for entry in labels):
        table = _padded([sorted(set(entry)) for entry in labels])  # type: ignore[arg-type]
    else:
        given = torch.as_tensor(labels)
        several = given.ndim == 2 and given.dtype == torch.bool
        if given.ndim != 1 and not several:
            raise _unfit(what, embeddings, given.shape)
        if given.is_floating_point():
            raise EvaluationError(f"{what} labels must be integers, not {given.dtype}")
        table = _padded([row.nonzero().flatten().tolist() for row in given]) if several else given.long()[:, None]
    if embeddings.ndim != 2 or not 0 < len(embeddings) == len(table):
        raise _unfit(what, embeddings, table.shape[:1])
    return table.to(embeddings.device)


def _unfit(what: str, embeddings: Tensor, labels: Sequence[int]) -> EvaluationError:
    return EvaluationError(
        f"{what} embeddings must be [N, D] with labels [N], not {tuple(embeddings.shape)}, {tuple(labels)}"
    )


def _padded(sets: list[list[int]]) -> Tensor:
    table = np.full((len(sets), max([1, *map(len, sets)])), UNLABELED)
    for row, several in enumerate(sets):
        table[row, : len(several)] = several
    return torch.from_numpy(table)


def _count_of(labels: Tensor, among: Tensor) -> Tensor:
    """How often each label occurs in `among`."""
    classes, counts = among.unique(return_counts=True)
    places = torch.searchsorted(classes, labels).clamp_max(len(classes) - 1)
    return torch.where((classes[places] == labels) & (labels != UNLABELED), counts[places], 0)


def _count_sharing(asked: Tensor, gallery: Tensor, groups: tuple[Tensor, Tensor] | None) -> Tensor:
    """How many gallery rows share a label with each query and are not of its group."""
    members: dict[int, set[int]] = {}
    for number, several in enumerate(gallery.tolist()):
        for label in several:
            members.setdefault(label, set()).add(number)
    own, theirs = (groups[0].tolist(), groups[1].cpu()) if groups else ([0] * len(asked), None)
    counted: dict[tuple[int, ...], int] = {}
    for group, several in zip(own, asked.tolist(), strict=True):
        key = (group, *several)
        if key not in counted:
            right = set().union(*(members.get(label, ()) for label in several if label != UNLABELED))
            seen = theirs[sorted(right)] != group if theirs is not None and right else torch.ones(len(right))
            counted[key] = int(seen.sum())
    return torch.tensor([counted[(group, *row)] for group, row in zip(own, asked.tolist(), strict=True)]).to(asked)
