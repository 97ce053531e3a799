"""Losses over many classes by chunks: memory beyond the gradient itself does not grow with the number of classes."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lookalike.errors import LossInputError
from lookalike.losses.sharded import Shard

#: What torch's normalize takes for the length of a shorter row.
SHORTEST = 1e-12
#: Below this exponent a sum of exponentials needs no largest one taken out, in float32 too.
SAFE_EXPONENT = 60.0
#: Numbers in a chunk: about what stays in the cache of a core; a GPU wants large matrices.
CHUNK_NUMBERS = {"cpu": 2**18, "cuda": 2**25}
#: Columns at a time of the matrix of all products of two columns, of which only one half is made.
GRAM_COLUMNS = 128
#: Up to this many numbers in the matrix of cosines (or in the proxies) plain autograd is as fast.
PLAIN_NUMBERS = 2**17

#: From the gradients of the outputs to those of the inputs. It may use up what it holds: called once.
Pullback = Callable[..., tuple[Tensor, ...]]
#: inputs, and whether a gradient is wanted -> outputs, pullback.
Visit = Callable[..., tuple[tuple[Tensor, ...], Pullback]]


def in_one_visit(visit: Visit, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The outputs of `visit`, which makes their gradient while it is there.

    A second backward pass through the same outputs visits again.

    Raises:
        LossInputError: in a backward pass with `create_graph`: the gradient cannot be differentiated.
    """
    outputs: tuple[Tensor, ...] = _InOneVisit.apply(visit, torch.is_grad_enabled(), *inputs)
    return outputs


class _InOneVisit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, visit: Visit, recording: bool, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.visit, ctx.device = visit, inputs[0].device.type
        ctx.save_for_backward(*inputs)
        with torch.autocast(ctx.device, enabled=False):
            outputs, ctx.pullback = visit(*inputs, recording and any(ctx.needs_input_grad))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # torch's once_differentiable would be silent, and the second derivative wrong
            raise LossInputError(
                "a gradient made by chunks of classes cannot be differentiated again: leave create_graph out, or take "
                "fewer classes or a smaller batch"
            )
        pullback, ctx.pullback = ctx.pullback, None
        with torch.autocast(ctx.device, enabled=False):
            if pullback is None:
                _, pullback = ctx.visit(*ctx.saved_tensors, True)
            return None, None, *pullback(*gradients)


def attraction(own_cosines: Tensor, labels: Tensor, num_classes: int, alpha: float, delta: float) -> Tensor:
    """Mean over the classes in the batch of log(1 + sum of e^{-alpha (cos - delta)} over its items): scalar."""
    logits = alpha * (delta - own_cosines)
    nothing = logits.new_zeros(num_classes)
    highest = nothing.scatter_reduce(0, labels, logits.detach(), "amax")  # never below the zero of log(1 + ...)
    sums = nothing.index_add(0, labels, (logits - highest[labels]).exp())
    present = nothing.index_fill(0, labels, 1).sum().clamp_min(1)
    return log_one_plus(sums, highest).sum() / present


def repulsion(cosines: Tensor, labels: Tensor, alpha: float, delta: float) -> Tensor:
    """Mean over all classes of log(1 + sum of e^{alpha (cos + delta)} over the items of other classes): scalar."""
    logits = (alpha * (cosines + delta)).scatter(1, labels[:, None], -torch.inf)
    highest = logits.detach().amax(dim=0).clamp_min(0)
    return log_one_plus((logits - highest).exp().sum(dim=0), highest).mean()


def log_one_plus(sums: Tensor, highest: Tensor) -> Tensor:
    """log(1 + e^highest * sums), highest >= 0, without forming either e^highest or 1 + a small number.

    >>> log_one_plus(torch.tensor([1e-12, 3.0]), torch.tensor([0.0, 1000.0])).tolist()[0] > 0
    True
    """
    return highest + torch.log1p(torch.expm1(-highest) + sums)


def proxy_anchor_by_chunks(
    unit: Tensor, proxies: Tensor, labels: Tensor, alpha: float, delta: float, chunk: int, shard: Shard | None = None
) -> tuple[Tensor, Tensor]:
    """`attraction` and `repulsion` of embeddings [B, D], unit rows, and proxies [C, D] of any length.

    With a shard the proxies are its own, and the values those of all. The sums run over the batch, so that each
    process has those of its classes without the others.
    """
    shard = shard or Shard(len(proxies))
    local = shard.local(labels)
    order = local.argsort()
    starts = torch.arange(0, len(proxies) + chunk, chunk, device=labels.device)
    bounds = torch.searchsorted(local[order], starts).tolist()
    present = order[bounds[0] :]  # the items of these classes

    def visit(unit: Tensor, proxies: Tensor, gradient: bool) -> tuple[tuple[Tensor, ...], Pullback]:
        own_of_items = shard.rows(proxies, labels)
        positive, positive_gradients = _attraction_of_own(unit, own_of_items, labels, shard.total, alpha, delta)
        scaled, shift = alpha * unit, alpha * delta
        shifted = shift + alpha > SAFE_EXPONENT
        logs: list[Tensor] = []
        to_unit = torch.zeros_like(unit)
        to_proxies = torch.empty_like(proxies) if gradient else proxies
        for number, (rows, (direction, lengths)) in enumerate(chunks_of(proxies, chunk)):
            own = order[bounds[number] : bounds[number + 1]]
            exponents = direction @ scaled.T
            exponents[local[own] - rows.start, own] = -torch.inf
            highest = exponents.new_zeros(len(exponents))
            if shifted:
                highest = (exponents.amax(dim=1) + shift).clamp_min_(0)
                exponents += (shift - highest)[:, None]
            weights = exponents.exp_()
            factor = 1.0 if shifted else math.exp(shift)
            sums = weights.sum(dim=1).mul_(factor)
            logs.append(log_one_plus(sums, highest).sum())
            if gradient:  # of each cosine it is its weight * share of its class
                shares = (alpha * factor / shard.total) / (torch.exp(-highest) + sums)
                back_to_lengths(weights @ unit, direction, lengths, shares, out=to_proxies[rows])
                to_unit.addmm_(weights.T, direction.mul_(shares[:, None]))
        negative = shard.sum(torch.stack(logs).sum()) / shard.total
        if gradient:
            shard.sum(to_unit)

        def pullback(of_positive: Tensor, of_negative: Tensor) -> tuple[Tensor, ...]:
            own_unit, own_proxies = positive_gradients
            to_proxies.mul_(of_negative).index_add_(0, local[present], own_proxies[present] * of_positive)
            return to_unit.mul_(of_negative).add_(own_unit * of_positive), to_proxies

        return (positive, negative), pullback

    positive, negative = in_one_visit(visit, unit, proxies)
    return positive, negative


def _attraction_of_own(
    unit: Tensor, own: Tensor, labels: Tensor, num_classes: int, alpha: float, delta: float
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`attraction`, and its gradients to the embeddings and to the own proxy of each: [B, D] both, as these."""
    with torch.enable_grad():
        unit, own = unit.detach().requires_grad_(), own.requires_grad_()
        cosines = (unit * F.normalize(own, dim=1)).sum(dim=1)
        value = attraction(cosines, labels, num_classes, alpha, delta)
        return value.detach(), torch.autograd.grad(value, (unit, own))


def gram_deviation(rows: Tensor, unit: bool, shard: Shard | None = None) -> Tensor:
    """The squared Frobenius norm of P P^T - I for P [C, D], its rows made unit length if asked: scalar.

    For C > D it is that of P^T P - I, which is [D, D], plus C - D: equal, and a sum of what is not negative. With a
    shard the rows are its own, and the value that of all.
    """
    if shard is None and (len(rows) <= rows.shape[1] or rows.numel() <= PLAIN_NUMBERS):
        return _small_deviation(F.normalize(rows, dim=1) if unit else rows)
    return gram_deviation_by_chunks(rows, unit, chunk_of(rows.shape[1], rows.device), shard)


def _small_deviation(rows: Tensor) -> Tensor:
    size, dim = rows.shape
    gram = rows @ rows.T if size <= dim else rows.T @ rows
    itself = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    deviation = F.mse_loss(gram, itself, reduction="sum")
    return deviation + (size - dim) if size > dim else deviation


def gram_deviation_by_chunks(rows: Tensor, unit: bool, chunk: int, shard: Shard | None = None) -> Tensor:
    """`gram_deviation` for C > D."""
    shard = shard or Shard(len(rows))

    def visit(rows: Tensor, gradient: bool) -> tuple[tuple[Tensor, ...], Pullback]:
        size, dim = shard.total, rows.shape[1]
        gram = rows.new_zeros(dim, dim)
        for _, (direction, _) in chunks_of(rows, chunk, unit):
            for start in range(0, dim, GRAM_COLUMNS):  # it is symmetric: what lies below the diagonal is left out
                end = start + GRAM_COLUMNS
                gram[start:end, start:].addmm_(direction[:, start:end].T, direction[:, start:])
        gram = shard.sum(gram.triu() + gram.triu(1).T)
        gram.diagonal().sub_(1)
        to_rows = torch.empty_like(rows) if gradient else rows
        for part, (direction, lengths) in chunks_of(rows, chunk, unit) if gradient else ():
            four = direction.new_full((len(direction),), 4)
            back_to_lengths(direction @ gram, direction, lengths, four, out=to_rows[part])
        return (gram.square().sum() + (size - dim),), lambda of_value: (to_rows.mul_(of_value),)

    (value,) = in_one_visit(visit, rows)
    return value


def chunks_of(rows: Tensor, chunk: int, unit: bool = True) -> Iterator[tuple[slice, tuple[Tensor, Tensor | None]]]:
    """Some rows at a time: which, themselves as unit rows, and how long they are. If not `unit`: as they are, None."""
    for start in range(0, len(rows), chunk):
        part = slice(start, min(start + chunk, len(rows)))
        if unit:
            lengths = torch.linalg.vector_norm(rows[part], dim=1)
            yield part, (rows[part] / lengths.clamp_min(SHORTEST)[:, None], lengths)
        else:
            yield part, (rows[part], None)


def back_to_lengths(
    gradient: Tensor, direction: Tensor, lengths: Tensor | None, factors: Tensor, *, out: Tensor
) -> None:
    """The gradient [c, D] to unit rows, times `factors` [c], as one to the rows of these lengths, as normalize's."""
    if lengths is None:
        torch.mul(gradient, factors[:, None], out=out)
        return
    along = torch.linalg.vecdot(gradient, direction).mul_(lengths >= SHORTEST)
    torch.addcmul(gradient, direction, along[:, None], value=-1, out=out)
    out.mul_((factors / lengths.clamp_min(SHORTEST))[:, None])


def chunk_classes_for(batch: int, num_classes: int, dim: int, device: torch.device) -> int:
    """How many classes at a time; 0: all of them, by plain autograd."""
    if batch * num_classes <= PLAIN_NUMBERS:
        return 0
    return chunk_of(max(batch, dim), device)


def chunk_of(width: int, device: torch.device) -> int:
    """How many rows of this width at a time."""
    return max(64, CHUNK_NUMBERS.get(device.type, CHUNK_NUMBERS["cuda"]) // max(width, 1))
