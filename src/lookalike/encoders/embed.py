"""A whole catalog to embeddings; pictures that cannot be read are named and left out."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from lookalike.catalog import Catalog
from lookalike.encoders.encoder import Encoder
from lookalike.encoders.loading import loaded_batches
from lookalike.encoders.mode import looking
from lookalike.errors import CatalogError, EncoderError
from lookalike.files import sha256, write_text, written_whole
from lookalike.progress import track

SHARD_ROWS = 4096
BATCH_SIZE = 64


@dataclass(frozen=True)
class Embedded:
    """Embeddings of the items that could be read.

    Attributes:
        embeddings: float32 [M, D].
        rows: int64 [M], the catalog's row of each.
        broken: (item_id, reason) of the others.
    """

    embeddings: np.ndarray
    rows: np.ndarray
    broken: list[tuple[str, str]]


def embed_catalog(encoder: Encoder, catalog: Catalog, batch_size: int = BATCH_SIZE) -> Embedded:
    """Embed every picture of the catalog: unit rows.

    Raises:
        CatalogError: not one picture can be read.
        EncoderError: a batch size below 1.
    """
    return not_all_broken(_run(encoder, encoder, catalog, batch_size, "embedding"), catalog)


def backbone_features(encoder: Encoder, catalog: Catalog, batch_size: int = BATCH_SIZE) -> Embedded:
    """The backbone's features of every picture [M, F], as they come: not normalized."""
    return not_all_broken(_run(encoder.features, encoder, catalog, batch_size, "reading pictures"), catalog)


def embed_to_file(
    encoder: Encoder, catalog: Catalog, path: Path, batch_size: int = BATCH_SIZE
) -> list[tuple[str, str]]:
    """Write item_id and embedding of every item to a Parquet file; a killed call goes on where it was.

    Returns:
        (item_id, reason) of the pictures that could not be read.

    Raises:
        CatalogError: not one picture can be read.
        EncoderError: a batch size below 1.
    """
    parts = path.with_name(f".{path.name}.parts")
    stamp = {"encoder": encoder.fingerprint, "items": _items_digest(catalog), "shard_rows": SHARD_ROWS}
    _begin_or_resume(parts, stamp)
    broken: list[tuple[str, str]] = []
    for start in range(0, len(catalog), SHARD_ROWS):
        shard = parts / f"{start:012d}.parquet"
        if not shard.exists():
            rows = np.arange(start, min(start + SHARD_ROWS, len(catalog)))
            _write_shard(shard, encoder, catalog.take(rows), batch_size)
        broken += json.loads(pq.read_schema(shard).metadata[b"broken"])
    if len(broken) < len(catalog):
        _join(sorted(parts.glob("*.parquet")), path)
    shutil.rmtree(parts)
    if len(broken) == len(catalog):
        raise CatalogError(_all_broken(catalog, broken))
    return [(item, reason) for item, reason in broken]


def batches_of(
    apply: Callable[[Tensor], Tensor],
    encoder: Encoder,
    catalog: Catalog,
    batch_size: int,
    what: str,
    broken: dict[int, str],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Go through a catalog: rows that can be read, int64 [B], and what `apply` makes of their pictures, [B, ...].

    `what` stands beside the bar; `broken` gets the reason for each row that cannot be read.

    Raises:
        EncoderError: a batch size below 1.
    """
    if batch_size < 1:
        raise EncoderError(f"batch_size must be at least 1, not {batch_size}")
    size = encoder.preprocessing.image_size
    batches = np.array_split(np.arange(len(catalog)), range(batch_size, len(catalog), batch_size))
    loaded = loaded_batches(
        lambda row: encoder.preprocessing(catalog.image(row, size)),
        batches,
        on_broken=lambda row, error: broken.update({row: str(error)}),
    )
    for rows, images in track(loaded, what, total=len(batches)):
        if len(rows):
            with looking(encoder):
                values = apply(images).float().cpu().numpy()
            yield rows, values


def _run(apply: Callable[[Tensor], Tensor], encoder: Encoder, catalog: Catalog, batch_size: int, what: str) -> Embedded:
    broken: dict[int, str] = {}
    found = list(batches_of(apply, encoder, catalog, batch_size, what, broken))
    items = catalog.column("item_id")
    left_out = [(items[row], reason) for row, reason in broken.items()]
    if not found:
        return Embedded(np.zeros((0, 0), np.float32), np.zeros(0, np.int64), left_out)
    rows, parts = zip(*found, strict=True)
    return Embedded(np.concatenate(parts), np.concatenate(rows), left_out)


def not_all_broken(embedded: Embedded, catalog: Catalog) -> Embedded:
    """The same.

    Raises:
        CatalogError: not one picture can be read.
    """
    if not len(embedded.rows):
        raise CatalogError(_all_broken(catalog, embedded.broken))
    return embedded


def _all_broken(catalog: Catalog, broken: Sequence[Sequence[str]]) -> str:
    return f"{catalog.name}: not one of {len(catalog)} pictures can be read; the first: {broken[0][1]}"


def _items_digest(catalog: Catalog) -> str:
    """Of the ids and the paths or bytes of the pictures: parts of another catalog are not gone on with."""
    ids, images = (catalog.table.column(name) for name in ("item_id", "image"))
    pairs = ((item.as_py().encode(), image.as_py()) for item, image in zip(ids, images, strict=True))
    return sha256(
        *(sha256(item, image if isinstance(image, bytes) else image.encode()).encode() for item, image in pairs)
    )


def _begin_or_resume(parts: Path, stamp: dict[str, object]) -> None:
    written = parts / "stamp.json"
    if not (written.exists() and json.loads(written.read_text(encoding="utf-8")) == stamp):
        shutil.rmtree(parts, ignore_errors=True)
        write_text(written, json.dumps(stamp))


def _write_shard(shard: Path, encoder: Encoder, catalog: Catalog, batch_size: int) -> None:
    embedded = _run(encoder, encoder, catalog, batch_size, "embedding")
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embedded.embeddings.ravel()), encoder.dim)
    items = catalog.table.column("item_id").take(pa.array(embedded.rows)).combine_chunks()
    table = pa.table({"item_id": items, "embedding": vectors})
    with written_whole(shard) as temporary:
        pq.write_table(table.replace_schema_metadata({"broken": json.dumps(embedded.broken)}), temporary)


def _join(shards: list[Path], path: Path) -> None:
    with written_whole(path) as temporary:
        schema = pq.read_schema(shards[0]).remove_metadata()
        with pq.ParquetWriter(temporary, schema) as writer:
            for shard in shards:
                writer.write_table(pq.read_table(shard).replace_schema_metadata(None))
