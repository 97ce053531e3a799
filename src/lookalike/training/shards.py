"""The classes of a loss shared out over processes; and its state whole, for any number of them to go on from."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from lookalike.losses import Loss, Proxies
from lookalike.losses.sharded import Shard, piece
from lookalike.training.distributed import rank, world

State = dict[str, Any]
#: What becomes of a tensor, along the axis that counts classes.
Change = Callable[[Tensor, int, Shard], Tensor]
#: Name in the state dict, module, name there, the axis that counts classes, and which of them this process has.
Share = tuple[str, nn.Module, str, int, Shard]


def share_out(loss: Loss, above: int) -> None:
    """Leave each process its part of the proxies, in place, and of what else counts classes.

    The proxies stay whole where there are no more than `above`, where a process would be left without, and where a
    loss that uses them needs all in one place: lines, and losses of other libraries. Before the optimizer is made.
    """
    losses = [module for module in loss.modules() if isinstance(getattr(module, "proxies", None), Proxies)]
    for table in {module for module in loss.modules() if isinstance(module, Proxies)}:
        users = [module for module in losses if module.proxies is table]
        if world() > 1 and table.num_classes > max(above, world() - 1) and all(map(_can_share, users)):
            table.shard = Shard(table.num_classes, rank(), world())
    _replace(loss, lambda *whole: _own(*whole).clone())


def make_whole(loss: Loss) -> None:
    """Undo `share_out`, in the first process; elsewhere the parts stay, of no use from here on."""
    _replace(loss, _put_together)
    for module in loss.modules():
        if isinstance(module, Proxies):
            module.shard = None


def whole_state(loss: Loss, optimizer: Optimizer) -> tuple[State, State]:
    """The state dicts of a loss and of its optimizer with all classes; called by all processes.

    They are whole in the first process only, in main memory where they were shared out.
    """
    return _changed(loss, optimizer, loss.state_dict(), optimizer.state_dict(), _put_together)


def load_whole_state(loss: Loss, optimizer: Optimizer, of_loss: State, of_optimizer: State) -> None:
    """Go on from what `whole_state` gave, in any number of processes; each takes its part."""
    of_loss, of_optimizer = _changed(loss, optimizer, of_loss, of_optimizer, _own)
    loss.load_state_dict(of_loss)
    optimizer.load_state_dict(of_optimizer)


def _changed(
    loss: Loss,
    optimizer: Optimizer,
    of_loss: State,
    of_optimizer: State,
    change: Change,
) -> tuple[State, State]:
    """The two states with what is shared out, and the moments of it, changed. How many steps were taken stays."""
    of_loss, states = dict(of_loss), dict(of_optimizer["state"])
    changed: dict[Tensor, Tensor] = {}  # losses with one table have it under several names
    places: dict[Tensor, tuple[int, Shard]] = {}
    for key, module, name, axis, shard in _shares(loss):
        tensor = getattr(module, name)
        if tensor not in changed:
            changed[tensor], places[tensor] = change(of_loss[key], axis, shard), (axis, shard)
        of_loss[key] = changed[tensor]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parameter in enumerate(parameters):
        if parameter in changed and number in states:
            states[number] = {
                name: change(value, *places[parameter]) if value.ndim == parameter.ndim else value
                for name, value in states[number].items()
            }
    return of_loss, of_optimizer | {"state": states}


def _replace(loss: Loss, change: Change) -> None:
    for _, module, name, axis, shard in list(_shares(loss, once=True)):
        tensor = getattr(module, name)
        changed = change(tensor.detach(), axis, shard).to(tensor.device)
        setattr(module, name, nn.Parameter(changed) if isinstance(tensor, nn.Parameter) else changed)


def _can_share(loss: nn.Module) -> bool:
    """Whether a loss works with a part of its proxies: it says so, and all else it learns is small."""
    learned = [module for module in loss.modules() if list(module.parameters(recurse=False))]
    return isinstance(loss, Loss) and loss.class_axes is not None and all(isinstance(m, Proxies) for m in learned)


def _shares(loss: Loss, once: bool = False) -> Iterator[Share]:
    """What of a loss is shared out, under each of its names, or `once`."""
    for prefix, module in loss.named_modules(remove_duplicate=once):
        proxies = module if isinstance(module, Proxies) else getattr(module, "proxies", None)
        if isinstance(proxies, Proxies) and proxies.shard and isinstance(module, Proxies | Loss):
            for name, axis in (module.class_axes or {}).items():
                if getattr(module, name) is not None:
                    yield f"{prefix}.{name}".removeprefix("."), module, name, axis, proxies.shard


def _put_together(part: Tensor, axis: int, shard: Shard) -> Tensor:
    """The parts of all processes put together in the first one, in main memory; elsewhere the own part."""
    part = part.detach().contiguous()
    if shard.rank:
        dist.send(part, 0)
        return part
    whole = torch.empty(*part.shape[:axis], shard.total, *part.shape[axis + 1 :], dtype=part.dtype)
    for sender in range(shard.world):
        place = whole.movedim(axis, 0)[piece(shard.total, sender, shard.world)].movedim(0, axis)
        theirs = torch.empty(place.shape, dtype=part.dtype, device=part.device) if sender else part
        if sender:
            dist.recv(theirs, sender)
        place.copy_(theirs)
    return whole


def _own(whole: Tensor, axis: int, shard: Shard) -> Tensor:
    return whole.movedim(axis, 0)[shard.classes].movedim(0, axis)
