"""An encoder as a folder: weights.safetensors and encoder.json, with checksums, and words/ if it has any; no pickle."""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import torch as safetensors
from torch import Tensor

from lookalike.encoders.words import Words
from lookalike.errors import EncoderError
from lookalike.files import sha256, write_text

CONFIG = "encoder.json"
WEIGHTS = "weights.safetensors"
WORDS = "words"
FORMAT = 1


def save(folder: Path, config: dict[str, Any], state: dict[str, Tensor], words: Words | None = None) -> None:
    """Write the folder aside, then put it in place of what stands there."""
    folder = folder.resolve()
    aside = folder.with_name(f".{folder.name}.new")  # the name is always the same, so what a kill left is swept here
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        safetensors.save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, aside / WEIGHTS
        )
        checksum = sha256((aside / WEIGHTS).read_bytes())
        if words is not None:
            config = config | {"words": words.save(aside / WORDS)}
        write_text(aside / CONFIG, json.dumps({"format": FORMAT, "sha256": checksum} | config, indent=2))
        _replace(folder, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the weights.

    Raises:
        EncoderError: no encoder there, one of a newer format, or a damaged one.
    """
    folder = folder.resolve()
    recover(folder)
    if not (folder / CONFIG).exists():
        raise EncoderError(f"there is no encoder in {folder} (no {CONFIG}); give a run directory or an encoder folder")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        encoded = (folder / WEIGHTS).read_bytes()
    except (ValueError, OSError) as error:
        raise EncoderError(f"the encoder in {folder} cannot be read: {error}") from None
    if not isinstance(config, dict) or config.get("format") is None:
        raise EncoderError(f"{folder / CONFIG} is damaged (it names no format); restore it or train again")
    if config["format"] != FORMAT:
        raise EncoderError(f"the encoder in {folder} has format {config['format']}; this version reads {FORMAT}")
    if sha256(encoded) != config.get("sha256"):
        raise EncoderError(f"{folder / WEIGHTS} is damaged (its checksum is wrong); restore it or train again")
    return config, safetensors.load(encoded)


def recover(folder: Path) -> None:
    """Finish what a kill between the two renames of `_replace` left: the old folder is put back."""
    old = _old(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)


def is_interrupted(folder: Path) -> bool:
    """Whether `recover` has something to put back."""
    return _old(folder).exists()


def _replace(folder: Path, aside: Path) -> None:
    old = _old(folder)
    recover(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _old(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.old"
