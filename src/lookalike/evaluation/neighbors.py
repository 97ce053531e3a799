"""Exact nearest neighbors by cosine, block by block."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lookalike.errors import EvaluationError
from lookalike.evaluation.cosines import Precision, error_bound, exact, product, unit_rows
from lookalike.progress import track

#: Numbers held at one time: 16 Mi float32, 64 MiB.
BLOCK = 2**24
#: Numbers held for each candidate: its place, its score, their sorted copies, and what is computed from its rank.
PER_CANDIDATE = 32
#: Columns of which only the largest is looked at first, at most; a power of 2.
GROUP = 64
#: Candidates beyond the depth at the first look; wider ones follow where so many lie too near.
SLACK = {"float32": 8, "bfloat16": 24}
#: bool [b, n], which of the gallery rows `numbers` [b, n] are of one kind to the queries `rows` [b], such as right.
Kinds = Callable[[Tensor, Tensor], Tensor]


class Block(NamedTuple):
    """Neighbors of some queries: their row numbers [b]; gallery numbers int64 and cosines float32 [b, depth].

    Best first. Where a query may see fewer rows than that, the rest are number -1, cosine -infinity.
    """

    rows: Tensor
    numbers: Tensor
    cosines: Tensor


def nearest(queries: Tensor, gallery: Tensor, k: int, *, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k nearest gallery rows of every query, in the order of `neighbor_blocks`.

    Args:
        queries: [Q, D], rows of any length above 0.
        gallery: [G, D].
        k: at most G, or G - 1 with `exclude`.
        exclude: int64 [Q], for each query the one gallery row that is itself: left out by number, not by value.

    Returns:
        Gallery row numbers int64 [Q, k], best first, and their cosines float32 [Q, k].

    Raises:
        EvaluationError: k is out of range, or an embedding is zero or not finite.
    """
    available = len(gallery) - (exclude is not None)
    if not 1 <= k <= available:
        raise EvaluationError(f"k must lie in 1..{available} for a gallery of {len(gallery)}, not {k}")
    numbers = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    cosines = torch.empty(len(queries), k, device=queries.device)
    for block in neighbor_blocks(queries, gallery, torch.full((len(queries),), k), exclude=exclude):
        numbers[block.rows], cosines[block.rows] = block.numbers, block.cosines
    return numbers, cosines


def neighbor_blocks(
    queries: Tensor,
    gallery: Tensor,
    depths: Tensor,
    *,
    exclude: Tensor | None = None,
    groups: tuple[Tensor, Tensor] | None = None,
    precision: Precision = "float32",
    first_of_ties: Kinds | None = None,
    kinds: Kinds | None = None,
    block: int | None = None,
) -> Iterator[Block]:
    """Nearest gallery rows of all queries in one pass, a block of queries at a time, deepest first.

    The order is that of the cosines of the float32 unit rows computed in float64, and among equal cosines that of the
    gallery numbers: it depends neither on blocks nor on threads nor on `precision`. A fast product only proposes
    candidates: all rows within its error bound of the last place; those too near to each other are scored again.

    Args:
        queries: [Q, D], rows of any length above 0, on the device that is to compute.
        gallery: [G, D].
        depths: int64 [Q], how many neighbors each query needs at least; those with none are left out.
        exclude: int64 [Q], a gallery row each query must not see: itself.
        groups: int64 [Q] and [G]; a query does not see gallery rows of its own group.
        precision: of the fast product. "bfloat16" where the hardware has it (AVX512-BF16, AMX; TF32 on a GPU).
        first_of_ties: who comes first among equal cosines, before the gallery number decides.
        kinds: only the order between the two kinds matters, so that most candidates need not be scored again.
        block: numbers held at one time, about; `BLOCK` by default.

    Raises:
        EvaluationError: an embedding is zero or not finite.
    """
    x = unit_rows(queries, "query")
    y = x if gallery is queries else unit_rows(gallery, "gallery")
    margin, slack = 2 * error_bound(x.shape[1], precision), SLACK[precision]
    depths = depths.clamp_max(len(y)).to(x.device)
    todo = depths.argsort(descending=True, stable=True)[: int((depths > 0).sum())]
    buffer = x.new_empty(0, 0)
    while len(todo):
        crowded = []
        for rows, depth, width in track(_steps(todo, depths, slack, len(y), block or BLOCK), "searching"):
            # One buffer for all blocks, as fresh memory costs time; columns up to a whole group come last.
            if len(rows) > len(buffer):
                buffer = x.new_empty(len(rows), -(-len(y) // GROUP) * GROUP)
                buffer[:, len(y) :] = -torch.inf
            scores = buffer[: len(rows)]
            product(x[rows], y, precision, out=scores[:, : len(y)])
            if exclude is not None:
                scores.scatter_(1, exclude[rows, None], -torch.inf)
            if groups is not None:
                scores[:, : len(y)].masked_fill_(groups[0][rows, None] == groups[1], -torch.inf)
            values, numbers = largest(scores, width)
            numbers = numbers.masked_fill(values == -torch.inf, -1)
            # -inf - -inf is NaN: all that may be seen is among the candidates.
            alike = (values[:, depth - 1] - values[:, -1] <= margin) & (width < len(y))
            if bool(alike.any()):
                crowded.append(rows[alike])
                rows, values, numbers = rows[~alike], values[~alike], numbers[~alike]
            if len(rows):
                yield _ranked(Block(rows, numbers, values), x, y, depth, margin, first_of_ties, kinds)
        todo, slack = torch.cat(crowded) if crowded else todo[:0], 8 * slack


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`scores.topk(k, dim=1)` of [b, a multiple of GROUP], several times as fast on a CPU: few columns are ranked.

    The k groups of columns with the largest maxima hold the k largest. Groups of sqrt(columns / k) are the fastest:
    as many maxima are ranked as columns in those groups.
    """
    group = min(GROUP, 2 ** int(math.log2(max(1, scores.shape[1] / k)) / 2))
    if group < 4:
        top = scores.topk(k, dim=1)
        return top.values, top.indices
    # Column c is in group c % groups: the maxima run over whole rows of memory.
    groups = scores.shape[1] // group
    grouped = scores.unflatten(1, (group, groups))
    best = grouped.amax(dim=1).topk(k, dim=1).indices
    top = grouped.gather(2, best[:, None].expand(-1, group, -1)).flatten(1).topk(k, dim=1)
    return top.values, best.gather(1, top.indices % k) + top.indices // k * groups


def _steps(todo: Tensor, depths: Tensor, slack: int, gallery: int, block: int) -> Iterator[tuple[Tensor, int, int]]:
    """Blocks of queries with the depth and width of the deepest of each."""
    start = 0
    while start < len(todo):
        depth = int(depths[todo[start]])
        width = min(depth + slack, gallery)
        step = max(1, block // (gallery + PER_CANDIDATE * width))
        yield todo[start : start + step], depth, width
        start += step


def _ranked(
    found: Block, x: Tensor, y: Tensor, depth: int, margin: float, first_of_ties: Kinds | None, kinds: Kinds | None
) -> Block:
    """The first `depth` of the candidates, those that might change places scored again in float64."""
    rows, numbers, values = found
    scores = values.double()
    apart = torch.nn.functional.pad(values[:, :-1] - values[:, 1:] > margin, (1, 1), value=True)
    near = ~(apart[:, 1:] & apart[:, :-1]) & torch.isfinite(values)
    if kinds is not None:
        near &= _mixed(apart[:, :-1].cumsum(dim=1) - 1, kinds(rows, numbers))
    query, place = near.nonzero(as_tuple=True)
    scores[query, place] = exact(x, y, rows[query], numbers[query, place])
    # Sorted by the least of keys first, each time keeping the order of equals.
    order = numbers.argsort(dim=1)
    if first_of_ties is not None:
        order = order.gather(1, (~first_of_ties(rows, numbers.gather(1, order))).byte().argsort(dim=1, stable=True))
    order = order.gather(1, scores.gather(1, order).argsort(dim=1, descending=True, stable=True))[:, :depth]
    return Block(rows, numbers.gather(1, order), scores.gather(1, order).clamp_max(1).float())


def _mixed(runs: Tensor, kinds: Tensor) -> Tensor:
    """Which candidates [b, n] are in a run with both kinds: bool, from the number of the run of each."""
    of_kind, of_other = (torch.zeros_like(runs).scatter_add_(1, runs, kind.to(runs)) for kind in (kinds, ~kinds))
    return ((of_kind > 0) & (of_other > 0)).gather(1, runs)
