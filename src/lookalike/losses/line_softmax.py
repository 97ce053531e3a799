"""line_softmax: the cross entropy over the nearest points of very many lines, each a class."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lookalike.losses.chunked import PLAIN_NUMBERS, Pullback, in_one_visit

#: Added to the squared length of a segment: one much shorter than its root, 1e-3, counts as a point.
EPSILON = 1e-6
#: Fewest rows worked on at a time: fewer, and adding up the gradient of the lines would take most of the time.
FEWEST_ROWS = 32
#: Products with all vertices in a block of rows.
BLOCK_NUMBERS = {"cpu": 2**20, "cuda": 2**26}

#: left [B, T] and right [C, T], whose products are the margins of items and negative classes.
Text = tuple[Tensor, Tensor]


def line_softmax(
    unit: Tensor,
    table: Tensor,
    labels: Tensor,
    *,
    scale: float,
    own_margins: float | Tensor,
    text: Text | None = None,
    chunk: int = 0,
) -> Tensor:
    """The mean cross entropy of s (S_ic + left_i . right_c), and of s (S_iy - own margin) at the own class: scalar.

    Args:
        unit: unit rows [B, D].
        table: of lines [V, C, D]: the first vertices, and the steps from there. S is the cosine to the nearest point.
        labels: int64 [B].
        scale: s.
        own_margins: one, or [B]; no gradient.
        text: left and right; no gradient.
        chunk: rows at a time; 0: chosen by size, all at once, by plain autograd, where the products are few.

    Memory beyond the gradients is that of some [chunk, C], and only plain autograd can be differentiated twice.

    >>> points = torch.stack([torch.eye(2), torch.zeros(2, 2)])  # two lines without length
    >>> round(line_softmax(torch.eye(2), points, torch.tensor([0, 1]), scale=1, own_margins=0.5).item(), 4)
    0.4741
    """
    rows, shapes = table.flatten(0, 1), shapes_of(table)
    if not len(unit):
        return (unit @ rows.T).sum()
    own_margins = torch.as_tensor(own_margins, dtype=unit.dtype, device=unit.device).expand(len(unit))[:, None]
    if text is not None:
        text = text[0].to(unit), text[1].to(unit)
    chunk = chunk or _rows_for(len(unit), len(rows), unit.device)
    if chunk:
        return _by_rows(unit, rows, shapes, labels[:, None], scale, own_margins, text, min(chunk, len(unit)))
    similarities, _ = nearest((unit @ rows.T).unflatten(1, table.shape[:2]).unbind(1), shapes)
    own = similarities.gather(1, labels[:, None]) - own_margins
    if text is not None:
        similarities = torch.addmm(similarities, text[0], text[1].T)
    return F.cross_entropy(scale * similarities.scatter(1, labels[:, None], own), labels)


def nearest(dots: Sequence[Tensor], shapes: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines to the nearest point of each line, and where on it that is: 0 at the first vertex, 1 at the last.

    Of each segment the point nearest in space is taken, of all segments the one of the largest cosine.

    Args:
        dots: V of [..., C], the products of the unit vectors with a table of lines.
        shapes: [3, V - 1, ..., C], of that table.
    """
    to_start, *along_steps = dots
    smallest = torch.finfo(to_start.dtype).eps  # of a squared length: below it all is rounding
    highest, place = to_start, to_start
    for number, along in enumerate(along_steps):
        square, slant, length = shapes[:, number]
        tau = ((along - slant) / (length + EPSILON)).clamp(0, 1)
        squares = square + tau * (2 * slant + tau * length)
        squares = squares + (smallest - squares.detach()).relu()
        cosines = (to_start + tau * along) * squares.rsqrt()
        position = (number + tau) / len(along_steps)
        is_best = cosines > highest if number else torch.ones_like(cosines, dtype=torch.bool)
        highest, place = torch.where(is_best, cosines, highest), torch.where(is_best, position, place)
        to_start = to_start + along
    return highest, place


def shapes_of(table: Tensor) -> Tensor:
    """Of each segment |v|^2, v.u and |u|^2, where it begins at v and leads to v + u: [3, V - 1, C]."""
    begins, steps = table[:-1].cumsum(dim=0), table[1:]
    return torch.stack([begins.square().sum(-1), (begins * steps).sum(-1), steps.square().sum(-1)])


def _rows_for(size: int, lines: int, device: torch.device) -> int:
    if size * lines <= PLAIN_NUMBERS:
        return 0
    return max(FEWEST_ROWS, BLOCK_NUMBERS.get(device.type, BLOCK_NUMBERS["cuda"]) // lines)


def _by_rows(
    unit: Tensor,
    rows: Tensor,
    shapes: Tensor,
    labels: Tensor,
    scale: float,
    own_margins: Tensor,
    text: Text | None,
    chunk: int,
) -> Tensor:
    """Of rows [V C, D], `chunk` items at a time; labels and own margins are [B, 1]."""

    def visit(unit: Tensor, rows: Tensor, shapes: Tensor, gradient: bool) -> tuple[tuple[Tensor, ...], Pullback]:
        to_unit, to_rows, to_shapes = (torch.zeros_like(x) if gradient else x for x in (unit, rows, shapes))
        block, losses = _Block(unit, shapes, chunk), []
        for start in range(0, len(unit), chunk):
            part = slice(start, min(start + chunk, len(unit)))
            logits = block.similarities(unit[part], rows)
            own = logits.gather(1, labels[part]).sub_(own_margins[part])
            if text is not None:
                logits.addmm_(text[0][part], text[1].T)
            logits.scatter_(1, labels[part], own).mul_(scale)
            highest = logits.amax(dim=1, keepdim=True)
            sums = logits.sub_(highest).exp_().sum(dim=1, keepdim=True)
            losses.append((sums.log() + highest - scale * own).sum())
            if gradient:
                weights = logits.mul_(scale / len(unit) / sums)
                weights.scatter_add_(1, labels[part], weights.new_full(own.shape, -scale / len(unit)))
                to_dots = block.gradient(weights, to_shapes)
                torch.mm(to_dots, rows, out=to_unit[part])
                to_rows.addmm_(to_dots.T, unit[part])
        gradients = (to_unit, to_rows, to_shapes)
        return (torch.stack(losses).sum() / len(unit),), lambda of: tuple(x.mul_(of) for x in gradients)

    (value,) = in_one_visit(visit, unit, rows, shapes)
    return value


class _Block:
    """`nearest` for some rows at a time, and its gradient by hand.

    The same memory serves all blocks: new memory would come in pages not yet mapped, which cost more than arithmetic.
    """

    def __init__(self, unit: Tensor, shapes: Tensor, chunk: int) -> None:
        self.shapes, (_, self.segments, num_classes) = shapes, shapes.shape
        self.inverse = 1 / (shapes[2] + EPSILON)
        self.smallest = torch.finfo(unit.dtype).eps
        self.dots = unit.new_empty(chunk, (self.segments + 1) * num_classes)
        self.room = unit.new_empty(3 * self.segments + 5, chunk, num_classes)

    def similarities(self, unit: Tensor, rows: Tensor) -> Tensor:
        """[b, C], to be changed in place."""
        dots = torch.mm(unit, rows.T, out=self.dots[: len(unit)])
        self.to_start, *self.along = dots.unflatten(1, (self.segments + 1, -1)).unbind(1)
        room = self.room[:, : len(unit)]
        self.tau, self.roots, self.cosines = room[:-5].unflatten(0, (3, self.segments))
        to_start, highest, self.scratch = room[-5].copy_(self.to_start), room[-4], room[-3:]
        self.better: list[Tensor] = []
        for k, along in enumerate(self.along):
            square, slant, length = self.shapes[:, k]
            tau = torch.sub(along, slant, out=self.tau[k]).mul_(self.inverse[k]).clamp_(0, 1)
            root = torch.mul(tau, length, out=self.roots[k]).add_(2 * slant).mul_(tau).add_(square)
            root.clamp_min_(self.smallest).rsqrt_()
            torch.addcmul(to_start, tau, along, out=self.cosines[k]).mul_(root)
            to_start.add_(along)
            if k:
                self.better.append(self.cosines[k] > highest)
            torch.maximum(self.cosines[k], highest if k else self.cosines[k], out=highest)
        return highest

    def gradient(self, weights: Tensor, to_shapes: Tensor) -> Tensor:
        """From that of the similarities [b, C], used up, to that of the products [b, V C]; adds that of the shapes."""
        to_starts = None
        for k in reversed(range(self.segments)):
            tau, root, along, (_, slant, length) = self.tau[k], self.roots[k], self.along[k], self.shapes[:, k]
            to_tau, product, own = self.scratch
            if k:  # what is left is that of the segments before
                weights.sub_(torch.mul(weights, self.better[k - 1], out=own))
            else:
                own = weights
            to_squares = self.cosines[k].mul_(own).mul_(root).mul_(root)  # times -2
            to_dot = root.mul_(own)
            torch.mul(tau, length, out=to_tau).add_(slant).mul_(to_squares).neg_().addcmul_(to_dot, along)
            to_tau.mul_(self.inverse[k])
            torch.ops.aten.hardtanh_backward(to_tau, tau, 0.0, 1.0, grad_input=to_tau)  # 0 at both ends
            torch.mul(tau, to_squares, out=product).add_(to_tau)
            to_shapes[0, k].sub_(to_squares.sum(dim=0), alpha=0.5)
            to_shapes[1, k].sub_(product.sum(dim=0))
            product.add_(to_tau).mul_(tau)
            to_shapes[2, k].sub_(product.sum(dim=0), alpha=0.5)
            torch.addcmul(to_tau, to_dot, tau, out=along)
            if to_starts is not None:
                along.add_(to_starts)
                to_dot.add_(to_starts)
            to_starts = to_dot
        self.to_start.copy_(to_starts)
        return self.dots[: len(weights)]
