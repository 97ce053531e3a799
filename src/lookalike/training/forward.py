"""How a batch becomes embeddings: in which precision, whole or in pieces, compiled or not."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lookalike.encoders import Encoder
from lookalike.errors import TrainingError
from lookalike.training.settings import TrainingSettings

Embed = Callable[[Tensor], Tensor]


def check_forward(encoder: Encoder, settings: TrainingSettings) -> None:
    """Refuse, before any long work, what the encoder or its device cannot do.

    Raises:
        TrainingError: as of `embed_of` and `precision_of`.
    """
    embed_of(encoder, settings)
    precision_of(encoder.device, settings)


def embed_of(encoder: Encoder, settings: TrainingSettings) -> Embed:
    """What makes embeddings of the inputs of a batch: of pictures, or of features where the backbone stands still.

    Raises:
        TrainingError: the backbone cannot compute its layers again.
    """
    embed: Embed = encoder.embed_features
    if settings.tune_backbone:
        embed = encoder
        _checkpoint_layers(encoder.backbone, encoder.config.name, settings.checkpoint_layers)
    if settings.compile:
        embed = torch.compile(embed)
    return partial(in_pieces, embed, settings.piece_size) if settings.piece_size else embed


def in_pieces(embed: Embed, piece_size: int, inputs: Tensor) -> Tensor:
    """The embeddings of a batch [B, ...], with the memory of a piece of it, for a third more work.

    Every piece is embedded twice: now, keeping nothing, and in the backward pass, when the gradient of its embeddings
    is known, with the random state and the precision of the first time. The loss sees the whole batch, so its gradient
    is that of the batch, pairs across pieces too, which no sum over small batches gives. Only BatchNorm in training
    mode knows of pieces: it takes the mean and the variance of each, and its running ones move twice.

    Source: Gao, Zhang, Han, Callan, RepL4NLP 2021, arXiv 2101.06983 (gradient cache) [paper]; by torch's checkpoints,
    which is the same work [ours].
    """
    pieces = [checkpoint(embed, piece, use_reentrant=False) for piece in inputs.split(piece_size)]
    return torch.cat(pieces)


def precision_of(
    device: torch.device, settings: TrainingSettings
) -> tuple[Callable[[], AbstractContextManager[None]], torch.amp.GradScaler]:
    """The context to embed in, and the scaler of its gradients, which only float16 needs.

    Raises:
        TrainingError: float16 anywhere but on a GPU.
    """
    none = torch.amp.GradScaler(enabled=False)
    name = settings.precision
    if name == "auto" and device.type == "cuda":
        name = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if name in ("auto", "float32"):
        return nullcontext, none
    if name == "float16" and device.type != "cuda":
        raise TrainingError(f"training.precision = 'float16' needs a GPU, and this is {device.type}: take 'bfloat16'")
    scaler = torch.amp.GradScaler("cuda") if name == "float16" else none
    return partial(torch.autocast, device.type, getattr(torch, name)), scaler


def _checkpoint_layers(backbone: nn.Module, name: str, wanted: bool) -> None:
    try:
        backbone.set_grad_checkpointing(wanted)  # type: ignore[operator]
    except (AssertionError, AttributeError) as error:
        if wanted:
            raise TrainingError(
                f"the backbone {name!r} cannot compute its layers again ({error}): set training.checkpoint_layers = "
                "false; training.piece_size spares memory with any backbone"
            ) from None
