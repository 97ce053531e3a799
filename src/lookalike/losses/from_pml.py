"""from_pml: any loss of pytorch-metric-learning behind our call, by its name and settings that a recipe can hold."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from lookalike.errors import LossInputError, did_you_mean
from lookalike.losses.base import Loss, check_batch

#: What a loss is made of, and the module of the library it lies in.
MODULES = {
    "loss": "losses",
    "miner": "miners",
    "distance": "distances",
    "reducer": "reducers",
    "embedding_regularizer": "regularizers",
    "weight_regularizer": "regularizers",
}
#: How we call what the library asks for.
SIZES = {"num_classes": "num_classes", "embedding_size": "dim", "descriptors_dim": "dim"}
#: Arguments that take a function, or that the library gives itself.
NOT_SETTINGS = {"collect_stats", "weight_init_func", "mat_based_loss", "aggregation_func"}
#: Words the library does not check: it takes any other for the first.
CHOICES = {"type_of_triplets": ("all", "hard", "semihard", "easy")}
TAKE_NO_MINER = ("P2SGradLoss", "PNPLoss", "RankedListLoss")
NOT_OFFERED = {
    "GenericPairLoss": "other losses are built on it, and it is none itself",
    "ManifoldLoss": "it takes no labels, but classes drawn at random",
    "VICRegLoss": "it takes no labels, but a second view of each picture",
    "SelfSupervisedLoss": "it takes no labels, but a second view of each picture",
    "SmoothAPLoss": "it tells positives by their place in the batch, not by their labels",
    "InstanceLoss": "it takes the number of a class for a place in the batch",
    "MultipleLosses": "add losses with WeightedSum, in a recipe with [loss.plus]",
    "CrossBatchMemory": "give memory_size to the loss that is to have a memory",
    "EmbeddingsAlreadyPackagedAsTriplets": "it tells positives by their place in the batch, not by their labels",
    "BatchedDistance": "it returns nothing",
    "ClassWeightedReducer": "its weights are a tensor",
    "DoNothingReducer": "it gives no number",
    "MultipleReducers": "one reducer is taken for all terms",
}


class FromPML(Loss):
    """A loss of pytorch-metric-learning; `from_pml` makes it.

    Needs: labels.
    Terms: "pml".
    Raises: LossInputError: labels that are not in 0..C-1 of a class table, embeddings of another dimension than the
    table's, or a batch the library refuses.
    """

    place: Tensor

    def __init__(self, loss: nn.Module, miner: nn.Module | None, num_classes: int | None, dim: int | None) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner
        self.num_classes, self.dim = num_classes, dim
        if hasattr(loss, "queue_idx"):  # of a memory, which forgets how full it is when its state is loaded
            self.register_buffer("place", torch.zeros(2, dtype=torch.long))

    def terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What the library makes of the batch."""
        labels = check_batch(embeddings, labels, self.num_classes)
        if self.dim not in (None, embeddings.shape[1]):
            raise LossInputError(f"the loss has {self.dim} dimensions, the embeddings {embeddings.shape[1]}")
        # The library recasts its table to what the embeddings are: they come in the precision of the table.
        table = next(self.loss.parameters(), None)
        dtype = torch.promote_types(embeddings.dtype, torch.float32) if table is None else table.dtype
        embeddings = embeddings.to(dtype)
        if len(labels) > getattr(self.loss, "memory_size", len(labels)):
            raise LossInputError(
                f"memory_size = {self.loss.memory_size} is less than the batch of {len(labels)}: raise it"
            )
        if not len(labels):
            return {"pml": 0 * embeddings.sum()}
        try:
            mined = None if self.miner is None else self.miner(embeddings, labels)
            with self._place_of_memory():
                total: Tensor = self.loss(embeddings, labels, mined).sum()  # a few give a tensor of one number
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of any kind, down to a plain Exception
            raise LossInputError(
                f"{type(self.loss).__name__} of pytorch-metric-learning refuses the batch: {_reason(error)}"
            ) from error
        if total.isnan() and len(labels.unique()) == len(labels):  # a mean over no positive
            total = 0 * embeddings.sum()
        return {"pml": total}

    @contextmanager
    def _place_of_memory(self) -> Iterator[None]:
        """Tell a memory where its next item goes and whether it is full, and keep that in the state dict."""
        if not hasattr(self, "place"):
            yield
            return
        memory: Any = self.loss
        place, full = self.place.tolist()
        memory.queue_idx, memory.has_been_filled = place, bool(full)
        yield
        self.place.copy_(torch.tensor([memory.queue_idx, memory.has_been_filled]))


def from_pml(
    name: str,
    num_classes: int | None = None,
    dim: int | None = None,
    *,
    miner: str | Mapping[str, Any] | None = None,
    memory_size: int = 0,
    **settings: Any,
) -> FromPML:
    """A loss of pytorch-metric-learning, called like ours: `from_pml("MultiSimilarityLoss", alpha=2)`.

    For what we do not have, and to compare with what we have. Normalization, averages, defaults and the start of a
    class table are the library's.

    Args:
        name: of the class in the library.
        num_classes: of a loss with a class table; others do without.
        dim: of the embeddings, for a class table or a memory; others do without.
        miner: which pairs or triplets count: "TripletMarginMiner", or {"name": "TripletMarginMiner", "margin": 0.2}.
        memory_size: so many embeddings of earlier batches are compared with, too (the library's CrossBatchMemory); 0:
            none.
        settings: as the library calls them. `distance`, `reducer`, `embedding_regularizer` and `weight_regularizer`
            are given by name or table as `miner` is.

    Not offered, the reasons in NOT_OFFERED: losses without labels, losses and miners that go by places in the batch,
    wrappers (WeightedSum and `memory_size` stand for two of them), and settings that are functions or tensors.

    Raises:
        LossInputError: the library is missing; there is no such loss, part or setting, it is not offered, or the
            library refuses its values.

    >>> loss = from_pml("ContrastiveLoss", miner={"name": "PairMarginMiner", "pos_margin": 0.1})
    >>> round(loss(torch.eye(3), torch.tensor([0, 0, 1])).item(), 4)
    1.4142
    """
    if miner is not None and name in TAKE_NO_MINER:
        raise LossInputError(f"{name} takes no miner: leave it out")
    if isinstance(memory_size, bool) or not isinstance(memory_size, int) or memory_size < 0:
        raise LossInputError(f"memory_size must be a whole number, 0 for no memory, not {memory_size!r}")
    sizes = {"num_classes": num_classes, "dim": dim}
    loss = _part("loss", settings | {"name": name}, sizes)
    known = {SIZES.get(argument) for argument in _arguments(type(loss))}
    mining = None if miner is None else _part("miner", miner, sizes)
    if memory_size:
        if dim is None:
            raise LossInputError("a loss with memory_size needs dim, the dimension of the embeddings")
        memory = _classes("loss")["CrossBatchMemory"]
        loss, mining = _call(f"memory_size = {memory_size}", memory, loss, dim, memory_size, mining), None
    return FromPML(
        loss,
        mining,
        num_classes if "num_classes" in known else None,
        dim if memory_size or "dim" in known else None,
    )


def _part(kind: str, given: str | Mapping[str, Any], sizes: Mapping[str, int | None]) -> nn.Module:
    """A loss, miner, ... from its name, or from a table of its name and settings."""
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise LossInputError(f"{kind} = {given!r}: a name is needed, or a table with a name")
    name, classes = table["name"], _classes(kind)
    if name not in classes:
        offered = classes.keys() - NOT_OFFERED.keys()
        raise LossInputError(f"pytorch-metric-learning has no {kind} {name!r}.{did_you_mean(name, sorted(offered))}")
    if name in NOT_OFFERED:
        raise LossInputError(f"{name} of pytorch-metric-learning is not offered: {NOT_OFFERED[name]}")
    arguments = _arguments(classes[name])
    settings = {key: value for key, value in table.items() if key != "name"}
    for key, value in settings.items():
        if key not in arguments or key in SIZES:
            nearest = did_you_mean(key, arguments.keys() - SIZES.keys())
            raise LossInputError(f"{key!r} is not a setting of {name}.{nearest}")
        settings[key] = _part(key, value, sizes) if key in MODULES else _checked(name, key, value, arguments[key])
    for key, ours in SIZES.items():
        if key in arguments and sizes[ours] is not None:
            settings[key] = sizes[ours]
    missing = [SIZES.get(key, key) for key, default in arguments.items() if default is inspect.Parameter.empty]
    missing = [key for key in missing if key not in settings and sizes.get(key) is None]
    if missing:
        raise LossInputError(f"{name} needs {' and '.join(missing)}")
    return _call(name, classes[name], **settings)


def _checked(name: str, key: str, value: object, default: object) -> object:
    """The value, if it is of a kind with the default: the library itself would fail late or never."""
    kinds: Any
    if isinstance(default, bool):
        kinds, needed = bool, "true or false is"
    elif isinstance(default, int | float):
        kinds, needed = int | float, "a number is"
    elif isinstance(default, str):
        kinds, needed = str | int, "a word is"
    else:
        kinds, needed = int | float | list | tuple, "a number is, or two numbers are,"
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise LossInputError(f"{name}: {key} = {value!r}, where {needed} needed")
    if value not in CHOICES.get(key, (value,)):
        raise LossInputError(f"{name}: {key} = {value!r}: choose one of {', '.join(CHOICES[key])}")
    return value


def _classes(kind: str) -> dict[str, type[nn.Module]]:
    """The public classes of this kind, by name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its imports
            module = import_module(f"pytorch_metric_learning.{MODULES[kind]}")
    except ImportError as error:
        raise LossInputError("this loss needs pytorch-metric-learning: pip install 'lookalike[pml]'") from error
    classes = {name: value for name, value in vars(module).items() if inspect.isclass(value)}
    return {name: cls for name, cls in classes.items() if issubclass(cls, nn.Module) and not name.startswith("Base")}


def _arguments(cls: type) -> dict[str, Any]:
    """The constructor arguments of a class and of what it is built on, with their defaults."""
    arguments: dict[str, Any] = {}
    for base in cls.__mro__[: cls.__mro__.index(nn.Module)]:
        if "__init__" in vars(base):
            for name, p in list(inspect.signature(vars(base)["__init__"]).parameters.items())[1:]:
                if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and name not in NOT_SETTINGS:
                    arguments.setdefault(name, p.default)
    return arguments


def _call(named: str, make: Callable[..., nn.Module], *arguments: Any, **settings: Any) -> nn.Module:
    try:
        return make(*arguments, **settings)
    except Exception as error:  # the library raises Exception itself
        raise LossInputError(f"{named}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or "a check inside pytorch-metric-learning failed without a word"
