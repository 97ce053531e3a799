"""Features of a frozen backbone, computed once and kept: the second run on the same pictures starts in seconds."""

import os
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lookalike.catalog import Catalog
from lookalike.catalog.images import read_bytes
from lookalike.encoders.embed import Embedded, backbone_features
from lookalike.encoders.encoder import Encoder
from lookalike.errors import ImageError
from lookalike.files import sha256, written_whole


def cache_folder() -> Path:
    """Where features are kept: $LOOKALIKE_CACHE, or the user's cache folder."""
    chosen = os.environ.get("LOOKALIKE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lookalike"


def cached_features(encoder: Encoder, catalog: Catalog) -> Embedded:
    """`backbone_features`, read from the cache if the same backbone has seen the same pictures before.

    The key covers the backbone's weights, the preprocessing and the bytes of every picture. What could not be read is
    part of the result, so a catalog with broken pictures is cached too.
    """
    path = cache_folder() / "features" / f"{_key(encoder, catalog)}.safetensors"
    items = catalog.column("item_id")
    if path.exists():
        try:
            stored = load_file(path)
            readable = set(stored["rows"].tolist())
            broken = [(items[row], "cannot be read") for row in range(len(items)) if row not in readable]
            return Embedded(stored["features"], stored["rows"], broken)
        except (SafetensorError, OSError, KeyError):
            path.unlink(missing_ok=True)  # damaged: make it again
    features = backbone_features(encoder, catalog)
    with written_whole(path) as temporary:
        save_file({"features": features.embeddings, "rows": features.rows}, temporary)
    return features


def _key(encoder: Encoder, catalog: Catalog) -> str:
    def content(source: str | bytes) -> bytes:
        try:
            return read_bytes(source)
        except ImageError:
            return b""

    pictures = [sha256(content(scalar.as_py())) for scalar in catalog.table.column("image")]
    settings = str(sorted(asdict(encoder.preprocessing).items()))
    return sha256(encoder.backbone_fingerprint.encode(), settings.encode(), *(p.encode() for p in pictures))
