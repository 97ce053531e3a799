"""Thumbs up and down from `lookalike serve`, as pairs of training items: what was liked gets nearer.

What the three things here agree on: the last rows of every batch are pairs, the liked ones first.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lookalike.catalog import Catalog
from lookalike.catalog.batches import Batches
from lookalike.errors import RecipeError
from lookalike.losses import Loss, WeightedSum
from lookalike.progress import note
from lookalike.recipes.recipe import Recipe
from lookalike.training.items import TrainingItems

#: Pairs of each kind in a batch, at most.
AT_ONCE = 16


@dataclass(frozen=True)
class FeedbackPairs:
    """Rows of training items: int64 [L, 2] of a query and a match that was liked, [D, 2] of one that was not."""

    liked: np.ndarray
    disliked: np.ndarray

    @property
    def at_once(self) -> tuple[int, int]:
        """How many of each there are in every batch."""
        return min(AT_ONCE, len(self.liked)), min(AT_ONCE, len(self.disliked))


def read_feedback(path: str | Path) -> list[tuple[str, str, bool]]:
    """Each opinion in a file of `lookalike serve --feedback`: the two items, and whether they were found alike.

    Words and uploaded pictures are no items of a catalog: feedback on what they found is passed over.

    Raises:
        RecipeError: the file cannot be read, a line is no feedback, or none is between two items.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"the feedback in {path} cannot be read ({error}); name what serve --feedback wrote"
        ) from None
    given = [_parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    opinions = [(one["query_item_id"], one["item_id"], one["good"]) for one in given if one.get("query_item_id")]
    if not opinions:
        raise RecipeError(f"none of the {len(lines):,} lines of {path} is of two items: search from items, then judge")
    return opinions


def pairs_among(opinions: Sequence[tuple[str, str, bool]], item_ids: Sequence[str]) -> FeedbackPairs:
    """The pairs of which both items are among these, the training items: what judges is never trained on.

    The order within a pair is of no account. Of several opinions on one the majority counts; a tie says nothing.

    Raises:
        RecipeError: no pair is left.
    """
    row_of = {item: row for row, item in enumerate(item_ids)}
    said: Counter[tuple[int, int]] = Counter()
    for query, match, is_good in opinions:
        low, high = sorted((row_of.get(query, -1), row_of.get(match, -1)))
        if 0 <= low < high:
            said[low, high] += 1 if is_good else -1
    liked, disliked = (
        np.array([pair for pair, sum in said.items() if sign * sum > 0], np.int64).reshape(-1, 2) for sign in (1, -1)
    )
    found = f"feedback: {len(opinions):,} opinions, of training items {len(liked):,} liked pairs, {len(disliked):,} not"
    if not len(liked) + len(disliked):
        raise RecipeError(f"{found}: nothing to learn from; was this catalog served, and are not all of them held out?")
    note(found)
    return FeedbackPairs(liked, disliked)


@dataclass(frozen=True)
class FeedbackBatches:
    """Batches with some pairs at the end of each; every pair comes in turn, in an order by chance."""

    batches: Batches
    pairs: FeedbackPairs
    seed: int

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch, each an int64 array of row numbers."""
        rng = np.random.default_rng([self.seed, number])
        orders = [
            chain.from_iterable(map(rng.permutation, repeat(pairs)))
            for pairs in (self.pairs.liked, self.pairs.disliked)
        ]
        for rows in self.batches.epoch(number):
            drawn = [next(order) for order, count in zip(orders, self.pairs.at_once, strict=True) for _ in range(count)]
            yield np.concatenate([rows, *drawn])

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.batches)


class FeedbackLoss(Loss):
    r"""Brings liked pairs nearer than they were before training, and takes disliked ones further apart.

    .. math:: L = \frac{1}{P} \Big[ \sum_{liked} \max(0, \min(1, s^0 + \delta) - s)
        + \sum_{disliked} \max(0, s - \max(-1, s^0 - \delta)) \Big]

    in formula | in code          | what it is, shape, unit, range
    s          | embeddings       | cosine of a pair now; the last rows of (batch, dim) are pairs, liked ones first
    s^0        | start_embeddings | the same before training; no gradient flows to it
    \delta     | margin           | the change that is wanted, 0..2

    An opinion is a nudge: beyond the margin it asks for nothing, so that one click cannot tear a class apart.

    Terms: "feedback", in [0, 2].
    Source: a hinge on pairs, as Hadsell, Chopra and LeCun, CVPR 2006 [related]; from where the pair began [ours].
    """

    def __init__(self, num_liked: int, num_disliked: int, margin: float = 0.2):
        super().__init__()
        self.num_liked, self.num_disliked, self.margin = num_liked, num_disliked, margin

    def terms(self, embeddings: Tensor, *, start_embeddings: Tensor) -> dict[str, Tensor]:
        """The mean of what is missing to the change that is wanted."""
        now, start = self._cosines(embeddings), self._cosines(start_embeddings.detach().to(embeddings.dtype))
        sign = torch.ones_like(now)
        sign[self.num_liked :] = -1
        wanted = (start + sign * self.margin).clamp(-1, 1)
        return {"feedback": F.relu(sign * (wanted - now)).mean()}

    def _cosines(self, embeddings: Tensor) -> Tensor:
        pairs = F.normalize(embeddings[-2 * (self.num_liked + self.num_disliked) :], dim=1)
        return (pairs[0::2] * pairs[1::2]).sum(dim=1)


def with_feedback(recipe: Recipe, catalog: Catalog, loss: Loss, items: TrainingItems) -> tuple[Loss, TrainingItems]:
    """The same, and what the feedback that the recipe names asks of the items of `catalog`, which is trained on.

    Raises:
        RecipeError: the feedback cannot be read, or is not of these items.
    """
    pairs = pairs_among(read_feedback(recipe.training.feedback), catalog.column("item_id"))
    parts: dict[str, tuple[float, Any]] = {recipe.loss.name: (1.0, loss)}
    if isinstance(loss, WeightedSum):
        parts = {part: (weight, loss.parts[part]) for part, weight in loss.weights.items()}
    batches = FeedbackBatches(items.batches, pairs, recipe.training.seed)
    return WeightedSum(parts | {"feedback": (1.0, FeedbackLoss(*pairs.at_once))}), replace(items, batches=batches)


def _parsed(line: str, place: str) -> dict[str, Any]:
    try:
        given = json.loads(line)
        if isinstance(given["item_id"], str) and isinstance(given["good"], bool):
            return dict(given)
    except (ValueError, KeyError, TypeError):
        pass
    raise RecipeError(f"{place}: {line[:60]!r} is no feedback; name what serve --feedback wrote")
