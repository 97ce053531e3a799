"""Encoder: a backbone, a head and the preprocessing they were made with."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lookalike.catalog.images import ImageSource, decode
from lookalike.encoders import backbones, saved
from lookalike.encoders.backbones import BackboneConfig
from lookalike.encoders.calibration import Calibration
from lookalike.encoders.head import Head
from lookalike.encoders.mode import looking
from lookalike.encoders.poolings import Pooling
from lookalike.encoders.transforms import Fit, Preprocessing
from lookalike.encoders.words import Words
from lookalike.errors import EncoderError
from lookalike.files import sha256

#: Settings that came later, with what they were before: a description leaves these out, so that an encoder saved
#: before has the same one.
LATER = {"arguments": {}, "crop_share": 1.0, "resampling": "bicubic", "head_norm": True}


class Encoder(nn.Module):
    """Maps pictures to embeddings: unit vectors whose inner product is their similarity.

    With `words` it maps descriptions there too. They are no part of its fingerprint: no picture's embedding depends on
    them, so what was indexed without them can be searched with them. The same holds of its `calibration`, by which a
    similarity becomes a probability.
    """

    mean: Tensor
    std: Tensor
    words: Words | None = None
    calibration: Calibration | None = None

    def __init__(
        self,
        config: BackboneConfig,
        backbone: nn.Module,
        head: Head,
        preprocessing: Preprocessing,
        pooling: Pooling | None = None,
    ) -> None:
        super().__init__()
        self.config, self.preprocessing, self.pooling = config, preprocessing, pooling
        # Convolutions run faster with the channels last, which is also how decoded pictures lie in memory.
        self.backbone, self.head = backbone.to(memory_format=torch.channels_last), head
        self.freeze_patch_embedding = False
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1) * 255, persistent=False)

    @classmethod
    def create(
        cls,
        backbone: str,
        dim: int = 128,
        *,
        pretrained: bool = True,
        weights: str | Path | None = None,
        image_size: int | None = None,
        pooling: str | None = None,
        fit: Fit = "squash",
        crop_share: float | None = None,
        head_norm: bool = True,
        freeze_patch_embedding: bool = False,
    ) -> "Encoder":
        """A new encoder on a timm backbone.

        Args:
            backbone: name of the timm model, or of one on the Hub, like hf-hub:timm/deit_small_patch16_224.fb_in1k.
            dim: D, length of an embedding.
            pretrained: load the published weights.
            weights: a local `.safetensors` file instead.
            image_size: side of the square input in pixels; the model's own by default.
            pooling: avg, max, avgmax, catavgmax, gem, token or attention; the model's own way by default.
            fit: how pictures become square: squash, crop or pad.
            crop_share: how much of the shorter side `crop` keeps; the model's own by default.
            head_norm: whether the head begins with a LayerNorm.
            freeze_patch_embedding: leave a transformer's first layer as it is when the backbone is tuned.

        Raises:
            EncoderError: no such backbone or pooling, weights that cannot be loaded, or a size that cannot be.
        """
        if dim < 1:
            raise EncoderError(f"dim must be at least 1, not {dim}")
        own = backbones.own_input(backbone)
        share = (own.crop_share if crop_share is None else crop_share) if fit == "crop" else 1.0
        preprocessing = Preprocessing(image_size or own.size, fit, own.mean, own.std, share, own.resampling)  # type: ignore[arg-type]
        config = BackboneConfig(backbone, preprocessing.image_size, pooling)
        model = backbones.build(config, pretrained=pretrained, weights=weights)
        encoder = cls._assembled(backbones.without_hub(config), model, preprocessing, dim, head_norm)
        if freeze_patch_embedding:
            backbones.patch_embedding(model, backbone)  # refused here, before long work
            encoder.freeze_patch_embedding = True
        return encoder.eval()

    @property
    def dim(self) -> int:
        """D, length of an embedding."""
        return self.head.linear.out_features

    @property
    def feature_dim(self) -> int:
        """F, length of the backbone's features."""
        return self.head.linear.in_features

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.mean.device

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides an embedding: equal fingerprints, equal embeddings."""
        return self._fingerprint(self.state_dict(), _plain({"head_norm": self._head_norm}))

    @property
    def backbone_fingerprint(self) -> str:
        """The same for the backbone's features alone."""
        learned = {} if self.pooling is None else self.pooling.state_dict(prefix="pooling.")
        return self._fingerprint(self.backbone.state_dict() | learned, {})

    def tune_backbone(self, tuned: bool) -> None:
        """Let backbone and pooling learn, or hold them still; a frozen patch embedding stays as it is."""
        self.backbone.train(tuned).requires_grad_(tuned)
        if self.pooling is not None:
            self.pooling.requires_grad_(tuned)
        if self.freeze_patch_embedding:
            backbones.patch_embedding(self.backbone, self.config.name).requires_grad_(False)

    def describe(self) -> str:
        """One line: what it is."""
        return f"{self.config.name}, {self.preprocessing.image_size} px, {self.dim}-d"

    def features(self, images: Tensor) -> Tensor:
        """Pictures, uint8 [B, 3, S, S], to the backbone's features [B, F]."""
        normalized = (images.to(self.device, torch.float32) - self.mean) / self.std
        features: Tensor = (
            self.backbone(normalized) if self.pooling is None else self.pooling(self.backbone, normalized)
        )
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Pictures, uint8 [B, 3, S, S], to unit rows [B, D]."""
        return self.embed_features(self.features(images))

    def embed_features(self, features: Tensor) -> Tensor:
        """The backbone's features [B, F] to unit rows [B, D]."""
        return F.normalize(self.head(features).float(), dim=1)

    def prepare(self, pictures: Sequence[ImageSource]) -> Tensor:
        """Decode and fit pictures: uint8 [B, 3, S, S].

        Raises:
            ImageError: one cannot be decoded.
        """
        size = self.preprocessing.image_size
        arrays = [self.preprocessing(decode(picture, size)) for picture in pictures]
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def embed_feature_array(self, features: np.ndarray) -> np.ndarray:
        """The backbone's features, float32 [N, F], to unit rows float32 [N, D]."""
        parts = torch.from_numpy(features).split(8192)
        embeddings = [self.embed_features(part.to(self.device)).cpu() for part in parts]
        return torch.cat(embeddings).numpy()

    def embed(self, images: Sequence[ImageSource], batch_size: int = 64) -> np.ndarray:
        """Pictures (paths, bytes or Pillow images) to embeddings.

        Returns:
            float32 [N, D], unit rows.

        Raises:
            ImageError: one cannot be decoded.
            EncoderError: a batch size below 1.
        """
        if batch_size < 1:
            raise EncoderError(f"batch_size must be at least 1, not {batch_size}")
        batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        with looking(self):
            parts = [self(self.prepare(batch)).cpu().numpy() for batch in batches]
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), dtype=np.float32)

    def embed_words(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to where pictures of what they describe lie among the embeddings.

        Returns:
            float32 [N, D], unit rows.

        Raises:
            EncoderError: the encoder has no words, or a text holds none that it knows.
            SideError: its text encoder cannot be loaded.
        """
        if self.words is None:
            raise EncoderError(
                "this encoder knows no words; train on a catalog with a text column (--text), and index with that run"
            )
        return self.words.embed(texts)

    def save(self, folder: str | Path) -> Path:
        """Write `encoder.json`, `weights.safetensors` and any `words/` into `folder`, whole or not at all."""
        backbone, preprocessing = (_plain(asdict(part)) for part in (self.config, self.preprocessing))
        config = {"backbone": backbone, "dim": self.dim, "preprocessing": preprocessing}
        config |= _plain({"head_norm": self._head_norm}) | {"fingerprint": self.fingerprint}
        config |= {} if self.calibration is None else {"calibration": asdict(self.calibration)}
        saved.save(Path(folder), config, self.state_dict(), self.words)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> "Encoder":
        """Read an encoder from its folder, or from a run directory that holds it.

        Raises:
            EncoderError: there is none, it is damaged, or it was made by a newer version.
        """
        folder = Path(folder)
        if (folder / "encoder").is_dir() or saved.is_interrupted(folder / "encoder"):
            folder = folder / "encoder"
        config, state = saved.load(folder)
        try:
            settings = BackboneConfig(**config["backbone"])
            stored: dict[str, Any] = config["preprocessing"]
            stored |= {"mean": tuple(stored["mean"]), "std": tuple(stored["std"])}
            model = backbones.build(settings)
            norm = config.get("head_norm", True)
            encoder = cls._assembled(settings, model, Preprocessing(**stored), config["dim"], norm)
            encoder.load_state_dict(state)
        except (KeyError, TypeError, RuntimeError) as error:
            raise EncoderError(f"the encoder in {folder} is damaged: {error}") from None
        if encoder.fingerprint != config.get("fingerprint"):
            raise EncoderError(f"{folder / saved.CONFIG} is damaged (its fingerprint is wrong); restore or train again")
        if "words" in config:
            encoder.words = Words.load(folder.resolve() / saved.WORDS, config["words"])
        if "calibration" in config:
            encoder.calibration = Calibration.from_dict(config["calibration"], folder / saved.CONFIG)
        return encoder.eval()

    @classmethod
    def _assembled(
        cls, config: BackboneConfig, backbone: nn.Module, preprocessing: Preprocessing, dim: int, head_norm: bool
    ) -> "Encoder":
        pooling = None if config.pooling is None else Pooling(config.pooling, backbone, config.name)
        head = Head(backbones.feature_dim(backbone, config.image_size, pooling), dim, head_norm)
        return cls(config, backbone, head, preprocessing, pooling)

    @property
    def _head_norm(self) -> bool:
        return isinstance(getattr(self.head, "norm", None), nn.LayerNorm)

    def _fingerprint(self, state: dict[str, Tensor], head: dict[str, Any]) -> str:
        settings = [_plain(asdict(self.config)), _plain(asdict(self.preprocessing)), *([head] if head else [])]
        description = json.dumps(settings, sort_keys=True).encode()
        weights = [part for name in sorted(state) for part in (name.encode(), state[name].cpu().numpy().tobytes())]
        return sha256(description, *weights)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in LATER or value != LATER[name]}
