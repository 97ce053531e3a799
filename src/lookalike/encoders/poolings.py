"""From the last feature map of a backbone to one vector, where its own way is not wanted."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lookalike.errors import EncoderError, did_you_mean

#: Of places [B, N, F]; "token" is no function of them.
PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda places: places.mean(dim=1),
    "max": lambda places: places.amax(dim=1),
    "avgmax": lambda places: (places.mean(dim=1) + places.amax(dim=1)) / 2,
    "catavgmax": lambda places: torch.cat([places.mean(dim=1), places.amax(dim=1)], dim=1),
}
POOLINGS = (*PLAIN, "gem", "token", "attention")


class GeM(nn.Module):
    """Generalized mean, mean(x^p)^(1/p) with p learned from 3: p = 1 is the average, a large p nears the maximum.

    Values below 1e-6 count as 1e-6, so it is made for maps that a ReLU made.
    Source: Radenović, Tolias, Chum, Fine-tuning CNN image retrieval with no human annotation, TPAMI 2019 [related].
    """

    LEAST = 1e-6

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(3.0))

    def forward(self, places: Tensor) -> Tensor:
        """Places [B, N, F] to [B, F]."""
        pooled: Tensor = places.clamp_min(self.LEAST).pow(self.p).mean(dim=1).pow(1 / self.p)
        return pooled


class Attention(nn.Module):
    """Mean of the places, weighted by softmax(x . q / sqrt(F)) with a learned query q.

    q begins at 0, which is the average: nothing the backbone knows is lost at the start [ours].
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(feature_dim))

    def forward(self, places: Tensor) -> Tensor:
        """Places [B, N, F] to [B, F]."""
        weights = (places @ self.query * places.shape[2] ** -0.5).softmax(dim=1)
        return torch.einsum("bn,bnf->bf", weights, places)


class Pooling(nn.Module):
    """Pools the last feature map of a backbone our way; what the model itself does after the map is left out.

    What it learns (p of GeM, the query of attention) is learned where the backbone is tuned.

    Raises:
        EncoderError: no such pooling, or a backbone without a class token.
    """

    def __init__(self, name: str, backbone: nn.Module, backbone_name: str) -> None:
        super().__init__()
        if name not in POOLINGS:
            raise EncoderError(f"there is no pooling {name!r}.{did_you_mean(name, POOLINGS)}")
        if name == "token" and getattr(backbone, "cls_token", None) is None:
            raise EncoderError(f"backbone {backbone_name!r} has no class token to take; choose another pooling, as avg")
        self.name = name
        self.learned: nn.Module = nn.Identity()
        if name == "gem":
            self.learned = GeM()
        elif name == "attention":
            self.learned = Attention(backbone.num_features)  # type: ignore[arg-type]

    def forward(self, backbone: nn.Module, images: Tensor) -> Tensor:
        """Normalized pictures [B, 3, S, S] to features [B, F]; catavgmax gives 2 F."""
        last: Tensor = backbone.forward_features(images)  # type: ignore[operator]
        if self.name == "token":
            return last[:, 0]
        places = _places(last, backbone)
        pooled: Tensor = PLAIN[self.name](places) if self.name in PLAIN else self.learned(places)
        return pooled


def _places(last: Tensor, backbone: nn.Module) -> Tensor:
    """A last map as [B, N, F], without class and register tokens."""
    if last.ndim == 3:
        return last[:, getattr(backbone, "num_prefix_tokens", 0) :]
    if last.ndim != 4:
        raise EncoderError(f"the backbone's last features have shape {tuple(last.shape)}: nothing to pool")
    if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        return last.flatten(1, 2)
    return last.flatten(2).transpose(1, 2)
