"""Pairs within a batch: distances and who is whose positive."""

import torch
import torch.nn.functional as F
from torch import Tensor


def squared_distances(embeddings: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of `embeddings` [B, D] as unit vectors: [B, B], in [0, 4]."""
    precise = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
    unit = F.normalize(precise, dim=1)
    return (2 - 2 * unit @ unit.T).clamp(0, 4)


def positive_and_negative_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Masks [B, B]: pairs of one class without an item and itself, and pairs of two classes."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same
