"""Features of a frozen backbone, computed once and kept: the second run on the same pictures starts in seconds."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lookalike.catalog import Catalog
from lookalike.catalog.images import read_bytes
from lookalike.encoders.embed import Embedded, backbone_features
from lookalike.encoders.encoder import Encoder
from lookalike.errors import ImageError
from lookalike.files import cache_folder, sha256, written_whole
from lookalike.progress import note


def cached_features(encoder: Encoder, catalog: Catalog) -> Embedded:
    """`backbone_features`, read from the cache if the same backbone has seen the same pictures before.

    The key covers the backbone's weights, the preprocessing and the bytes of every picture. What could not be read is
    part of the result, so a catalog with broken pictures is cached too. A cache that cannot be written stops nothing.
    """
    path = cache_folder() / "features" / f"{_key(encoder, catalog)}.safetensors"
    items = catalog.column("item_id")
    stored = _stored(path)
    if stored is not None:
        features, rows = stored
        readable = set(rows.tolist())
        broken = [(items[row], _reason(catalog, row)) for row in range(len(items)) if row not in readable]
        return Embedded(features, rows, broken)
    made = backbone_features(encoder, catalog)
    try:
        with written_whole(path) as temporary:
            checksum = {"sha256": _checksum(made.embeddings, made.rows)}
            save_file({"features": made.embeddings, "rows": made.rows}, temporary, checksum)
    except (OSError, SafetensorError) as error:
        note(f"the features could not be kept in {path.parent} ({error}); the next run makes them again")
    return made


def _reason(catalog: Catalog, row: int) -> str:
    try:
        catalog.image(row)
    except ImageError as error:
        return str(error)
    return "cannot be read"


def _stored(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Features and rows; None if there are none, or if they are damaged."""
    try:
        with safe_open(path, "numpy") as file:
            features, rows = file.get_tensor("features"), file.get_tensor("rows")
            return (features, rows) if (file.metadata() or {}).get("sha256") == _checksum(features, rows) else None
    except (SafetensorError, OSError):
        return None


def _checksum(features: np.ndarray, rows: np.ndarray) -> str:
    return sha256(features.tobytes(), rows.tobytes())


def _key(encoder: Encoder, catalog: Catalog) -> str:
    def content(source: str | bytes) -> bytes:
        try:
            return read_bytes(source)
        except ImageError:
            return b""

    pictures = [sha256(content(scalar.as_py())) for scalar in catalog.table.column("image")]
    settings = str(sorted(asdict(encoder.preprocessing).items()))
    return sha256(encoder.backbone_fingerprint.encode(), settings.encode(), *(p.encode() for p in pictures))
