"""Features of a frozen backbone, kept by picture: what a backbone has seen once it need not see again."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lookalike.catalog import Catalog
from lookalike.catalog.images import read_bytes
from lookalike.encoders.embed import BATCH_SIZE, Embedded, batches_of, not_all_broken
from lookalike.encoders.encoder import Encoder
from lookalike.errors import ImageError
from lookalike.files import cache_folder, sha256, written_whole
from lookalike.progress import note

#: Pictures of a file: what a kill costs at most.
FILE_PICTURES = 4096


def cached_features(encoder: Encoder, catalog: Catalog) -> Embedded:
    """The backbone's features of every picture [M, F], computed only for those that it has not seen before.

    A picture is known by its bytes, the backbone by its weights and the preprocessing. So a part of a catalog, another
    order or other names cost nothing that was computed before, equal pictures are computed once, and a call that was
    killed goes on where it was. A cache that cannot be written stops nothing.

    Raises:
        CatalogError: not one picture can be read.
    """
    folder = cache_folder("features") / _backbone_key(encoder)
    digests = [_digest(scalar.as_py()) for scalar in catalog.table.column("image")]
    place = {digest: number for number, digest in enumerate(dict.fromkeys(digests))}
    pictures = np.array([place[digest] for digest in digests], np.int64)  # of the rows
    table = _Table(len(place))
    for numbers, values in _stored(folder, place):
        table.put(numbers, values)
    reasons = _fill(table, np.unique(pictures, return_index=True)[1], encoder, catalog, digests, folder)
    rows = np.flatnonzero(table.is_known[pictures])
    items = catalog.column("item_id")
    broken = [(items[row], reasons[pictures[row]]) for row in np.flatnonzero(~table.is_known[pictures]).tolist()]
    return not_all_broken(Embedded(table.values[pictures[rows]], rows, broken), catalog)


class _Table:
    """Features of so many pictures, by number, as far as they are known."""

    def __init__(self, count: int) -> None:
        self.is_known = np.zeros(count, bool)
        self.values = np.zeros((count, 0), np.float32)

    def put(self, numbers: np.ndarray, values: np.ndarray) -> None:
        if not self.values.shape[1]:
            self.values = np.empty((len(self.values), values.shape[1]), np.float32)
        self.values[numbers], self.is_known[numbers] = values, True


def _fill(
    table: _Table, first_rows: np.ndarray, encoder: Encoder, catalog: Catalog, digests: list[bytes], folder: Path
) -> dict[int, str]:
    """Compute what is missing and keep it; why some pictures cannot be read, by number."""
    missing = np.flatnonzero(~table.is_known)
    if not len(missing):
        return {}
    rows, broken, can_keep = first_rows[missing], dict[int, str](), True
    batches = batches_of(encoder.features, encoder, catalog.take(rows), BATCH_SIZE, "reading pictures", broken)
    for made, values in _of_a_file(batches):
        table.put(missing[made], values)
        seen = np.frombuffer(b"".join(digests[row] for row in rows[made]), np.uint8).reshape(len(made), -1)
        can_keep = can_keep and _keep(folder, seen, values)
    return {int(missing[row]): reason for row, reason in broken.items()}


def _of_a_file(batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches joined to as many pictures as one file keeps."""
    while some := list(islice(batches, FILE_PICTURES // BATCH_SIZE)):
        rows, values = zip(*some, strict=True)
        yield np.concatenate(rows), np.concatenate(values)


def _keep(folder: Path, digests: np.ndarray, features: np.ndarray) -> bool:
    try:
        with written_whole(folder / f"{sha256(digests.tobytes())[:32]}.safetensors") as temporary:
            content = {"digests": digests, "features": features}
            save_file(content, temporary, {"sha256": _checksum(digests, features)})
    except (OSError, SafetensorError) as error:
        note(f"the features could not be kept in {folder} ({error}); the next run makes them again")
        return False
    return True


def _stored(folder: Path, place: dict[bytes, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of pictures and their features, file by file; what is damaged is as good as not there."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "numpy") as file:
                digests = file.get_tensor("digests")
                rows = {row: place[key] for row, key in enumerate(map(bytes, digests)) if key in place}
                if not rows:
                    continue
                features = file.get_tensor("features")
                is_whole = (file.metadata() or {}).get("sha256") == _checksum(digests, features)
        except (SafetensorError, OSError):
            continue
        if is_whole:
            yield np.array(list(rows.values())), features[list(rows)]


def _checksum(digests: np.ndarray, features: np.ndarray) -> str:
    return sha256(digests.tobytes(), features.tobytes())


def _digest(source: str | bytes) -> bytes:
    try:
        return bytes.fromhex(sha256(read_bytes(source)))
    except ImageError:
        return bytes(32)


def _backbone_key(encoder: Encoder) -> str:
    settings = str(sorted(asdict(encoder.preprocessing).items()))
    return sha256(encoder.backbone_fingerprint.encode(), settings.encode())[:32]
