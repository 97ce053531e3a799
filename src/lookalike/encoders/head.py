"""The head: features of the backbone to the embedding's dimension, begun so that it forgets as little as possible."""

import torch
from torch import Tensor, nn

from lookalike.errors import EncoderError

#: How far the start evens out the directions' variances: 0 is PCA, 1 is full whitening. Between the two it beats both,
#: and the raw features too, on the real sets it was tried on (docs/log.md).
WHITENING = 0.25
BLOCK_ROWS = 8192


class Head(nn.Module):
    """LayerNorm without parameters (or none), then a linear map: features [B, F] -> embeddings [B, D], of any length.

    A linear map drawn at random forgets much of what a pretrained backbone knows, and few training classes cannot
    teach it again. `fit_geometry` starts it at a map that keeps what given features tell apart.
    """

    def __init__(self, feature_dim: int, dim: int, norm: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(feature_dim, elementwise_affine=False) if norm else nn.Identity()
        self.linear = nn.Linear(feature_dim, dim)
        nn.init.orthogonal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] to embeddings [B, D]."""
        embeddings: Tensor = self.linear(self.norm(features))
        return embeddings

    @torch.no_grad()
    def fit_geometry(self, features: Tensor) -> None:
        """Set the map to the D leading principal components of the normalized features [N, F], partly whitened.

        The mean is taken out, since all pictures share it; a component of variance v is divided by v^(w/2) with
        w = `WHITENING`, since the few strongest directions otherwise drown the rest. Where D is above the rank, the
        remaining rows stay as they are, small enough not to matter.

        Raises:
            EncoderError: fewer than two features.
        """
        if len(features) < 2:
            raise EncoderError(f"the head is fitted to at least 2 features, not {len(features)}")
        mean, covariance = self._moments(features)
        variances, components = torch.linalg.eigh(covariance)
        variances, components = variances.flip(0), components.flip(1)
        kept = min(self.linear.out_features, int((variances > 1e-9 * variances[0]).sum()))
        scale = (variances[:kept] / variances[0]) ** (-WHITENING / 2)
        self.linear.weight.mul_(1e-3)
        self.linear.weight[:kept] = (components[:, :kept] * scale).T.to(self.linear.weight)
        self.linear.bias.copy_(-(self.linear.weight.cpu().double() @ mean))

    def _moments(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [F] and covariance [F, F] of the normalized features, in float64 on the CPU, a block at a time."""
        blocks = features.cpu().split(BLOCK_ROWS)
        mean = torch.stack([self.norm(block).double().sum(dim=0) for block in blocks]).sum(dim=0) / len(features)
        covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
        for block in blocks:
            centered = self.norm(block).double() - mean
            covariance.addmm_(centered.T, centered)
        return mean, covariance / len(features)
