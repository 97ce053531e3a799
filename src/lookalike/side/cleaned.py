"""An encoder behind a clean-up: every text passes it, those it was made from and those of queries."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.files import sha256
from lookalike.side.cleaning import Cleaning
from lookalike.side.stored import write_folder

if TYPE_CHECKING:
    from lookalike.side.text_encoders import TextEncoder

INNER = "encoder"


class CleanedEncoder:
    """Cleans texts, then has them encoded."""

    def __init__(self, encoder: "TextEncoder", cleaning: Cleaning) -> None:
        self._encoder = encoder
        self.cleaning = cleaning

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any]) -> "CleanedEncoder":
        """The encoder that `save` wrote there."""
        from lookalike.side.text_encoders import load_text_encoder

        cleaning = Cleaning(tuple(config["steps"]), frozenset(config["brands"]))
        return cls(load_text_encoder(folder / INNER), cleaning)

    @property
    def dim(self) -> int:
        """T, length of a vector."""
        return self._encoder.dim

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the clean-up and the encoder's fingerprint."""
        return sha256(json.dumps(self._settings()).encode(), self._encoder.fingerprint.encode())

    def encode(self, texts: Sequence[str | None]) -> np.ndarray:
        """float32 [N, T], unit rows; a row of zeros where nothing is left of a text."""
        return self._encoder.encode([self.cleaning(text) for text in texts])

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_text_encoder` reads, the encoder in one of its own inside."""
        config = {"kind": "cleaned", "fingerprint": self.fingerprint} | self._settings()
        write_folder(folder, config, lambda aside: self._encoder.save(aside / INNER))

    def _settings(self) -> dict[str, list[str]]:
        return {"steps": list(self.cleaning.steps), "brands": sorted(self.cleaning.brands)}
