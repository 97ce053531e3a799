"""margin_softmax: the cross entropy over very many classes, with a margin for each (item, class)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lookalike.losses.chunked import (
    PLAIN_NUMBERS,
    SHORTEST,
    Pullback,
    back_to_lengths,
    chunk_of,
    chunks_of,
    in_one_visit,
    log_one_plus,
)
from lookalike.losses.sharded import Shard

#: Logits in a block of rows. Larger blocks gain nothing.
BLOCK_NUMBERS = {"cpu": 2**21, "cuda": 2**27}
#: With fewer rows in a block the matrix products wait for memory; 32 x C is a part 32 / D of the gradient.
FEWEST_ROWS = 32
#: How far a logit may lie above the own one with no largest one taken out: e^64 of a million classes fit float32.
SAFE_SPREAD = 64.0
#: The same above the logit 0 of an own proxy without length, whose gradient is 1 / SHORTEST times as large.
SAFE_ABOVE_ZERO = 44.0

#: Some rows of the batch -> what is added to the cosines of their negatives [b, C]; the own class is not looked at.
Margins = Callable[[slice], Tensor]
#: Adds s M to the logits of these rows, in place.
Adder = Callable[[Tensor, slice], Tensor]
#: What a visit gives; named here since torch.compile cannot read it off a function made inside another.
Visited = tuple[tuple[Tensor, ...], Pullback]


def margin_softmax(
    unit: Tensor,
    proxies: Tensor,
    labels: Tensor,
    *,
    scale: float,
    own_margins: float | Tensor = 0.0,
    text: tuple[Tensor, Tensor] | None = None,
    margins: Margins | None = None,
    largest: float = math.inf,
    chunk: int = 0,
    shard: Shard | None = None,
) -> Tensor:
    r"""The mean cross entropy of scaled cosines with margins: a scalar, 0 on an empty batch.

    .. math::
        L = -\frac1B \sum_i \log \frac{e^{s (\cos_{i,y} - m_i)}}
            {e^{s (\cos_{i,y} - m_i)} + \sum_{c \ne y} e^{s (\cos_{i,c} + M_{i,c})}}

    Args:
        unit: x, unit rows [B, D].
        proxies: p [C, D], of any length.
        labels: y, int64 [B], in 0..C-1.
        scale: s.
        own_margins: m, one for all or [B].
        text: M_ic = left_i . right_c, given as left [B, T] and right [C, T].
        margins: M by rows of the batch, in place of `text`.
        largest: no M lies above it, nor any m if those are [B]. A moderate one saves looking for the largest logit.
        chunk: rows at a time; 0: chosen by size, all of them by plain autograd where B C is small.
        shard: the proxies, and what of `text` and `margins` counts classes, are its own; the value is that of all.

    No gradient flows to m and M. Memory beyond the gradients is that of a chunk of logits, chunk x C (twice that with
    `margins`), and only plain autograd can be differentiated twice.

    >>> eye = torch.eye(2)
    >>> round(margin_softmax(eye, eye, torch.tensor([0, 1]), scale=2.0, own_margins=0.5).item(), 4)  # log(1 + 1/e)
    0.3133
    """
    dtype = torch.promote_types(torch.promote_types(unit.dtype, proxies.dtype), torch.float32)
    with torch.autocast(unit.device.type, enabled=False):
        unit, proxies = unit.to(dtype), proxies.to(dtype)
        if not len(labels):
            return (unit @ proxies[:1].T).sum()
        own = torch.as_tensor(own_margins, dtype=dtype, device=unit.device).detach().expand(len(labels))[:, None]
        add = _adder(scale, text, margins, dtype)
        shard = shard or Shard(len(proxies))
        rows = chunk or chunk_rows_for(len(labels), shard.most, unit.device)  # the same in all processes
        if not rows and shard.world == 1:
            return _at_once(unit, proxies, labels, scale, own, add)
        lifted = largest if add else 0.0  # of a negative against the own class, by both margins
        lifted += max(0.0, largest if isinstance(own_margins, Tensor) else own_margins)
        safe = scale * (2 + lifted) <= SAFE_SPREAD and scale * (1 + lifted) <= SAFE_ABOVE_ZERO
        return _by_rows(unit, proxies, labels, scale, own, add, safe, min(rows or len(labels), len(labels)), shard)


def chunk_rows_for(batch: int, num_classes: int, device: torch.device) -> int:
    """How many rows of the batch at a time, in chunks of one size; 0: all of them, by plain autograd."""
    if batch * num_classes <= PLAIN_NUMBERS:
        return 0
    rows = max(FEWEST_ROWS, BLOCK_NUMBERS.get(device.type, BLOCK_NUMBERS["cuda"]) // num_classes)
    return math.ceil(batch / math.ceil(batch / rows))


def _adder(
    scale: float, text: tuple[Tensor, Tensor] | None, margins: Margins | None, dtype: torch.dtype
) -> Adder | None:
    if text is not None:
        left, right = text[0].to(dtype), text[1].to(dtype)
        return lambda logits, rows: logits.addmm_(left[rows], right.T, alpha=scale)
    if margins is not None:
        return lambda logits, rows: logits.add_(margins(rows), alpha=scale)
    return None


def _at_once(unit: Tensor, proxies: Tensor, labels: Tensor, scale: float, own: Tensor, add: Adder | None) -> Tensor:
    logits, y = (scale * unit) @ F.normalize(proxies, dim=1).T, labels[:, None]
    if add is None:
        return F.cross_entropy(logits.scatter_add(1, y, -scale * own), labels)
    with torch.no_grad():
        added = add(torch.zeros_like(logits), slice(None)).scatter_(1, y, -scale * own)
    return F.cross_entropy(logits + added, labels)


def _by_rows(
    unit: Tensor,
    proxies: Tensor,
    labels: Tensor,
    scale: float,
    own: Tensor,
    add: Adder | None,
    safe: bool,
    chunk: int,
    shard: Shard,
) -> Tensor:
    def visit(unit: Tensor, proxies: Tensor, gradient: bool) -> Visited:
        size, num_classes = len(unit), len(proxies)
        shrink = torch.linalg.vector_norm(proxies, dim=1).clamp_min_(SHORTEST).reciprocal_()
        scaled = scale * unit
        block = unit.new_empty(chunk, num_classes)
        losses: list[Tensor] = []
        to_unit = torch.empty_like(unit)
        to_proxies = torch.zeros_like(proxies) if gradient else proxies
        for start in range(0, size, chunk):
            rows = slice(start, min(start + chunk, size))
            y, here = shard.columns(labels[rows, None])
            logits = torch.mm(scaled[rows], proxies.T, out=block[: rows.stop - start])
            of_own = shard.sum(_kept(logits.gather(1, y).mul_(shrink[y]), here)).sub_(own[rows], alpha=scale)
            torch.addcmul(-of_own, logits, shrink, out=logits)  # against the own logit, from here on
            if add:
                add(logits, rows)
            _put(logits, y, torch.full_like(of_own, -torch.inf), here)
            highest = torch.zeros_like(of_own)
            if not safe:
                highest = shard.max(logits.amax(dim=1, keepdim=True).clamp_min_(0))
                logits.sub_(highest)
            weights = logits.exp_()
            others = shard.sum(weights.sum(dim=1, keepdim=True))
            losses.append(log_one_plus(others, highest).sum())
            if gradient:  # to each cosine it is its weight * share of its row; to the own one, minus those together
                _put(weights, y, -others, here)
                weights.mul_(shrink)
                shares = (scale / size) / (torch.exp(-highest) + others)
                torch.mm(weights, proxies, out=to_unit[rows]).mul_(shares)
                to_proxies.addmm_(weights.T, unit[rows] * shares)
        if gradient:
            shard.sum(to_unit)
            for part, (direction, lengths) in chunks_of(proxies, chunk_of(proxies.shape[1], proxies.device)):
                assert lengths is not None
                kept = lengths.clamp_min(SHORTEST)  # the weights have brought the gradient to this length already
                back_to_lengths(to_proxies[part], direction, lengths, kept, out=to_proxies[part])
        return (torch.stack(losses).sum() / size,), lambda of_value: (to_unit.mul_(of_value), to_proxies.mul_(of_value))

    (value,) = in_one_visit(visit, unit, proxies)
    return value


def _kept(values: Tensor, here: Tensor | None) -> Tensor:
    """The values, 0 where they are not `here`."""
    return values if here is None else values.where(here, 0)


def _put(table: Tensor, columns: Tensor, values: Tensor, here: Tensor | None) -> None:
    """One value in each row [b, 1] of a table, in place, where it is `here`."""
    table.scatter_(1, columns, values if here is None else values.where(here, table.gather(1, columns)))
