"""Pictures decoded once to squares of uint8, kept on disk and mapped into memory: reading one costs next to nothing.

A square is known by the bytes of its picture and by what was made of it, so all runs and catalogs share them. They lie
in parts, Arrow files written whole: a process killed while packing loses the part it was at, and no part looks whole
that is not. Measured on one core: a JPEG of a square of 366 pixels takes 1.5 ms to decode, its crop 0.04 ms to copy.
"""

import errno
import hashlib
import shutil
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
from PIL import Image

from lookalike.catalog.images import read_bytes
from lookalike.catalog.table import Catalog
from lookalike.errors import CatalogError, ImageError
from lookalike.files import cache_folder, sha256, written_whole
from lookalike.progress import note, progress_bar, track

#: Of the code that makes squares: another one makes other squares.
VERSION = 1
PART_BYTES = 128 * 2**20
#: What a killed process left half written is swept away after this time.
LEFTOVER_S = 3600
DIGEST = pa.binary(32)
#: Pictures a thread reads in one go to see which they are.
DIGESTED = 256


@dataclass(frozen=True)
class _Part:
    path: Path
    digests: list[bytes]
    checksums: np.ndarray  # uint32 [n]
    squares: np.ndarray  # uint8 [n, T, T, 3], mapped


@dataclass
class PackedPictures:
    """The squares of a catalog's pictures, by row."""

    catalog: Catalog
    square: Callable[[Image.Image], np.ndarray]
    side: int
    parts: list[_Part]
    places: np.ndarray  # int64 [N, 2], part and place in it
    checked: np.ndarray = field(init=False)  # bool [N]

    def __post_init__(self) -> None:
        self.checked = np.zeros(len(self.places), dtype=bool)

    def __getitem__(self, row: int) -> np.ndarray:
        """The square of a row, uint8 [T, T, 3], not to be written to.

        When first read it is compared with its checksum; a damaged one is made again from the picture, here and, its
        part being removed, in the next run.

        Raises:
            ImageError: it is damaged, and so is the picture.
        """
        number, place = self.places[row]
        part = self.parts[number]
        found: np.ndarray = part.squares[place]
        if not self.checked[row]:
            if zlib.crc32(found.data) != part.checksums[place]:
                return self._made_again(row, part)
            self.checked[row] = True
        return found

    def _made_again(self, row: int, part: _Part) -> np.ndarray:
        if part.path.exists():
            _remove_damaged(part.path)
        return self.square(self.catalog.image(row, self.side))


def pack(catalog: Catalog, square: Callable[[Image.Image], np.ndarray], side: int, name: str) -> PackedPictures:
    """The squares of all pictures; those that are not in the cache yet are made now, and stay there.

    Args:
        catalog: whose pictures.
        square: a decoded picture to uint8 [side, side, 3].
        side: T, in pixels.
        name: of what `square` does.

    Raises:
        ImageError: a picture cannot be read; the sentence names it.
        CatalogError: the disk has no room for the squares.
    """
    folder = cache_folder("packed") / f"{name}-{side}-{VERSION}-pillow{PIL.__version__}"
    digests = _digests(catalog)
    shape = (side, side, 3)
    parts = _parts(folder, shape)
    known = {digest for part in parts for digest in part.digests}
    missing = {digest: row for row, digest in enumerate(digests) if digest not in known}
    if missing:
        _pack_missing(catalog, square, shape, folder, missing)
        parts = _parts(folder, shape)
    places = {digest: (n, place) for n, part in enumerate(parts) for place, digest in enumerate(part.digests)}
    return PackedPictures(catalog, square, side, parts, np.array([places[digest] for digest in digests], np.int64))


def _pack_missing(
    catalog: Catalog,
    square: Callable[[Image.Image], np.ndarray],
    shape: tuple[int, ...],
    folder: Path,
    missing: dict[bytes, int],
) -> None:
    each = int(np.prod(shape)) + 36
    needed, free = len(missing) * each, shutil.disk_usage(_nearest(folder)).free
    if needed > free:
        raise _full(f"the decoded pictures take {needed / 2**30:.2f} GiB, and {free / 2**30:.2f} GiB are free")
    note(f"decoding {len(missing):,} pictures once, into {needed / 2**30:.2f} GiB at {folder}")
    _sweep(folder)
    wanted = list(missing.items())
    size = max(1, PART_BYTES // each)
    with progress_bar() as bar, ThreadPoolExecutor(cpu_count(), "packing") as pool:
        task = bar.add_task("decoding pictures", total=len(wanted), note="")
        try:
            for start in range(0, len(wanted), size):
                part = wanted[start : start + size]
                squares = np.empty((len(part), *shape), np.uint8)

                def make(place: int, part: list[tuple[bytes, int]] = part, squares: np.ndarray = squares) -> None:
                    squares[place] = square(catalog.image(part[place][1], shape[0]))

                for _ in pool.map(make, range(len(part))):
                    bar.advance(task)
                _write(folder, [digest for digest, _ in part], squares)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise _full("it filled up while pictures were decoded; what was made is kept") from None
            raise CatalogError(f"the decoded pictures cannot be written to {folder} ({error.strerror})") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _write(folder: Path, digests: list[bytes], squares: np.ndarray) -> None:
    """Write a part. Its name follows from its content, so two processes at the same work write the same file."""
    checksums = np.array([zlib.crc32(square.data) for square in squares], np.uint32)
    kind = pa.binary(squares[0].nbytes)
    columns = {
        "digest": pa.array(digests, DIGEST),
        "checksum": pa.array(checksums),
        "square": pa.FixedSizeBinaryArray.from_buffers(kind, len(squares), [None, pa.py_buffer(squares)]),
    }
    table = pa.table(columns).replace_schema_metadata({"check": _check(digests, checksums)})
    with (
        written_whole(folder / f"{sha256(*digests)[:32]}.arrow") as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)


def _parts(folder: Path, shape: tuple[int, ...]) -> list[_Part]:
    """The parts there are; a damaged one is removed."""
    found = []
    for path in sorted(folder.glob("*.arrow")):
        try:
            found.append(_open(path, shape))
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            _remove_damaged(path)
    return found


def _open(path: Path, shape: tuple[int, ...]) -> _Part:
    with pa.memory_map(str(path)) as source:  # what was read stays mapped when it is closed
        table = pa.ipc.open_file(source).read_all()
    digests = table.column("digest").to_pylist()
    checksums = table.column("checksum").to_numpy()
    if (table.schema.metadata or {}).get(b"check") != _check(digests, checksums).encode():
        raise ValueError
    (chunk,) = table.column("square").chunks
    squares = np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, *shape)[: len(digests)]
    if len(squares) != len(digests):
        raise ValueError
    return _Part(path, digests, checksums, squares)


def _check(digests: list[bytes], checksums: np.ndarray) -> str:
    return sha256(*digests, checksums.tobytes())


def _digests(catalog: Catalog) -> list[bytes]:
    """SHA-256 of every picture as it is stored."""
    images = catalog.table.column("image")

    def digest(row: int) -> bytes:
        try:
            return hashlib.sha256(read_bytes(images[row].as_py())).digest()
        except ImageError:
            catalog.image(row)  # says the same, and names the item
            raise

    def several(start: int) -> list[bytes]:
        return [digest(row) for row in range(start, min(start + DIGESTED, len(catalog)))]

    starts = range(0, len(catalog), DIGESTED)
    with ThreadPoolExecutor(cpu_count(), "hashing") as pool:
        found = track(pool.map(several, starts), "looking for pictures decoded before", total=len(starts))
        return [digest for part in found for digest in part]


def _remove_damaged(path: Path) -> None:
    note(f"{path} is damaged; it is removed, and its pictures are decoded again")
    with suppress(OSError):
        path.unlink()


def _sweep(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFTOVER_S:
                path.unlink()


def _nearest(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _full(what: str) -> CatalogError:
    return CatalogError(
        f"no room at {cache_folder()}: {what}; make room, set LOOKALIKE_CACHE to a folder on a larger disk, or set "
        "training.pack_pictures = false to decode in every epoch"
    )
