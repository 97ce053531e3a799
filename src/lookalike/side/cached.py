"""Vectors of texts, kept on disk: the second run on the same texts starts at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lookalike.files import cache_folder, sha256, written_whole
from lookalike.progress import note
from lookalike.side.text_encoders import TextEncoder


def cached_vectors(encoder: TextEncoder, texts: Sequence[str | None]) -> np.ndarray:
    """`encoder.encode(texts)`, read from the cache if the same encoder has read the same texts before.

    The key is the encoder's fingerprint and a hash of the distinct texts. A damaged file is made again, and a cache
    that cannot be written stops nothing.
    """
    distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    parts = (b"" if text is None else b"+" + text.encode("utf-8", "surrogatepass") for text in distinct)
    path = cache_folder("texts") / f"{sha256(encoder.fingerprint.encode(), *parts)}.safetensors"
    vectors = _stored(path, (len(distinct), encoder.dim))
    if vectors is None:
        vectors = encoder.encode(list(distinct))
        _keep(path, vectors)
    return vectors[[distinct[text] for text in texts]].reshape(-1, encoder.dim)


def _stored(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The vectors; None if there are none, or if they are damaged."""
    try:
        with safe_open(path, "numpy") as file:
            vectors: np.ndarray = file.get_tensor("vectors")
            whole = (file.metadata() or {}).get("sha256") == sha256(vectors.tobytes())
    except (SafetensorError, OSError):
        return None
    return vectors if whole and vectors.shape == shape else None


def _keep(path: Path, vectors: np.ndarray) -> None:
    try:
        with written_whole(path) as temporary:
            save_file({"vectors": vectors}, temporary, {"sha256": sha256(vectors.tobytes())})
    except (OSError, SafetensorError) as error:
        note(f"the text vectors could not be kept in {path.parent} ({error}); the next run makes them again")
