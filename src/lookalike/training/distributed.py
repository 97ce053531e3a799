"""Several processes, one run: each embeds a piece of every batch, and all take the step that one alone would take.

Every process has the whole model and reads the labels of the whole batch, but only its own piece of the pictures. The
embeddings of all pieces are gathered, and each process computes the loss of the whole batch: pairs across pieces
count, whatever the loss. Gradients of the encoder are then added up. No wrapper goes around the model: it would
average instead of add, would not bear a backbone that stands still for some epochs, and would see pieces embedded
twice as two steps.

Random numbers: the stream of torch is the same in all processes, and the loss draws from it; what an encoder draws
(dropout) follows from the seed, the step and the process.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

from lookalike.errors import LookalikeError, ProcessLostError, TrainingError
from lookalike.losses import Proxies
from lookalike.losses.sharded import piece

T = TypeVar("T")
#: How long one process may work while the others wait, as for the first that judges a large catalog. A process that
#: ends is noticed at once, whatever this is.
LONGEST = timedelta(hours=12)
#: What the messages of lost connections have in common, of which torch makes plain RuntimeErrors.
OF_CONNECTIONS = ("gloo", "nccl", "connection", "socket", "tcpstore")


@contextmanager
def joined() -> Iterator[None]:
    """Inside, the processes that torchrun started are connected; without torchrun there is one, and nothing to do.

    Raises:
        ProcessLostError: another process ended before its time.
    """
    if world() > 1 or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST)
    try:
        yield
    except LookalikeError as error:
        error.is_told = _is_told(error)
        raise
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in OF_CONNECTIONS):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, to those left: they are to tell it first
        lost = ProcessLostError(
            "another process of this run has ended (what it said before, if anything, says why): start the same "
            "command again, and the run goes on from its last checkpoint"
        )
        lost.is_told = _is_told(lost)
        raise lost from error
    finally:
        dist.destroy_process_group()


def _is_told(error: LookalikeError) -> bool:
    """Whether another process came before with this sentence; asked where the processes found each other."""
    try:
        port = int(os.environ["MASTER_PORT"])
        store = TCPStore(os.environ["MASTER_ADDR"], port, is_master=False, timeout=timedelta(seconds=5))
        return bool(store.add(str(error), 1) > 1)
    except RuntimeError:  # it has gone
        return False


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is: the first, 0, is the one that judges, writes and speaks."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_device(kind: str) -> torch.device:
    """The device of this process: of several GPUs, each process of a machine has its own.

    Raises:
        TrainingError: there are fewer GPUs than processes, or such devices cannot work together.
    """
    if world() == 1 or kind == "cpu":
        return torch.device(kind)
    if kind != "cuda":
        raise TrainingError(f"training.device = {kind!r} is for one process: take 'cpu', or start without torchrun")
    number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= there:
        raise TrainingError(
            f"process {number} of this machine has no GPU: start torchrun with --nproc-per-node {there}"
        )
    torch.cuda.set_device(number)
    return torch.device(kind, number)


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, or the error a user can mend that it raises, in all; the others wait."""
    if world() == 1:
        return make()
    made: list[Any] = [None, None]
    if rank() == 0:
        try:
            made[0] = make()
        except LookalikeError as error:
            made[1] = error
    dist.broadcast_object_list(made)
    result, failure = made
    if failure is not None:
        raise failure
    return result  # type: ignore[no-any-return]


def first_then_all(make: Callable[[], T]) -> T:
    """What `make` gives in each process; the others begin when the first is done, and find what it left on disk."""
    made = []
    from_first(lambda: made.append(make()))
    return made[0] if made else make()


def check_same(value: object, what: str) -> None:
    """Refuse to go on with something else than the first process.

    Raises:
        TrainingError: this process has another value.
    """
    if from_first(lambda: value) != value:
        raise TrainingError(
            f"{what} are not the same in all processes: they must read the same files, on a disk they share, and text "
            "encoders must be such that give the same each time, like 'tfidf'"
        )


def same_everywhere(*modules: nn.Module) -> None:
    """Give every process the tensors of the first, which by now may differ from its own by rounding."""
    for module in modules if world() > 1 else ():
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), 0)


def check_one_process(backbone: nn.Module) -> None:
    """Refuse to train BatchNorm in pieces: each process would normalize by its own.

    Raises:
        TrainingError: there are several processes, and the backbone has some.
    """
    if world() > 1 and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in backbone.modules()):
        raise TrainingError(
            "training.freeze_batchnorm = false needs the whole batch in one process, and this run has several: leave "
            "it true, or start without torchrun"
        )


def own_rows(rows: np.ndarray) -> np.ndarray:
    """The piece of a batch that this process embeds; where it has none, a row to embed for nothing."""
    own = rows[piece(len(rows), rank(), world())]
    return own if len(own) else rows[:1]


def gathered(own: Tensor, size: int) -> Tensor:
    """The embeddings of a batch [size, D] from those of `own_rows` in each process.

    Its gradient, the same everywhere, goes back to each piece from there: it is not added up.
    """
    if world() == 1:
        return own
    part = piece(size, rank(), world())
    whole: Tensor = _Gathered.apply(own[: part.stop - part.start], size, part)
    return whole


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, size: int, part: slice) -> Tensor:
        ctx.part = part
        whole = own.new_zeros(size, *own.shape[1:])
        whole[part] = own
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.part], None, None


@contextmanager
def own_random_numbers(step: int, device: torch.device) -> Iterator[None]:
    """Inside, what is drawn follows from the seed, the step and the process; the common stream stands still."""
    if world() == 1:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(hash((torch.initial_seed(), step, rank())))
        yield


def add_up_gradients(parameters: list[Tensor], loss: nn.Module) -> None:
    """After a backward pass: the gradients of the whole batch in all processes.

    That of an encoder is the sum over the pieces. What a loss has in every process has the same gradient there, but
    for rounding, of which the mean is taken: without it the copies would drift apart. What is shared out is complete.
    """
    if world() == 1:
        return
    shared, of_loss = _shared_out(loss), set(loss.parameters())
    gradients = []
    for parameter in parameters:
        if parameter.grad is not None and parameter not in shared:
            gradients.append(parameter.grad.div_(world()) if parameter in of_loss else parameter.grad)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    for parameter in shared:  # what is not finite in one process is so in all: then all skip the step
        if parameter.grad is not None:
            flat[0] += 0 * parameter.grad.sum()
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def clip_gradients(parameters: list[Tensor], loss: nn.Module, max_norm: float) -> Tensor:
    """Scale the gradients down to this norm, which is that of all processes together; returns it as it was."""
    shared = _shared_out(loss)
    if not shared:
        return clip_grad_norm_(parameters, max_norm)
    here = get_total_norm([p.grad for p in parameters if p.grad is not None and p in shared]).square()
    dist.all_reduce(here)
    rest = get_total_norm([p.grad for p in parameters if p.grad is not None and p not in shared])
    norm = (here + rest.square()).sqrt()
    clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def _shared_out(loss: nn.Module) -> set[Tensor]:
    """The parameters of which each process has its part."""
    return {module.weight for module in loss.modules() if isinstance(module, Proxies) and module.shard}
