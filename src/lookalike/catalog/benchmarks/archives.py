"""Unpack the archives of strangers: nothing outside the folder, no links, no bombs; whole or not at all."""

import gzip
import io
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Self

from lookalike.errors import CatalogError
from lookalike.progress import progress_bar

SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz")
GZIP = b"\x1f\x8b"
MIB = 2**20
#: A tar header with a long name or attributes.
LONGEST_HEADER_BYTES = 2**16
MOST_PADDING_BYTES = 16 * MIB


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may unpack to: a file of a few KiB can hold many GiB of zeros.

    Attributes:
        max_files: members, folders counted too.
        max_bytes: of all members together.
        max_ratio: unpacked to packed bytes; pictures are near 1, lists of numbers near 20.
        small_bytes: so much is allowed whatever the ratio.
    """

    max_files: int = 2_000_000
    max_bytes: int = 400 * 2**30
    max_ratio: int = 100
    small_bytes: int = 64 * MIB


DEFAULT_LIMITS = ArchiveLimits()


class _Refused(Exception):
    """Why an archive is not unpacked; `unpacked` adds its name and the remedy."""


@dataclass(frozen=True, slots=True)
class _Member:
    """One file or folder of an archive; `packed_bytes` says how far into the archive we are."""

    name: str
    size: int
    is_folder: bool
    packed_bytes: int
    opened: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive we unpack."""
    return path.name.lower().endswith(SUFFIXES)


def unpacked(archive: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Path:
    """The folder with what is in a zip or tar file, unpacked beside it on the first call.

    A call that was stopped leaves a hidden folder; the next one goes on there. The folder gets its name when all of
    it is there. Only plain files and folders are unpacked, hidden ones left out.

    Raises:
        CatalogError: it is damaged, encrypted, unsafe, beyond the limits, or the disk is full.
    """
    whole = archive.with_name(f"{archive.name}.unpacked")
    if whole.is_dir():
        return whole
    begun = archive.with_name(f".{archive.name}.partial")
    try:
        begun.mkdir(exist_ok=True)
        _unpack(archive, begun, limits)
        begun.rename(whole)
    except _Refused as error:
        shutil.rmtree(begun, ignore_errors=True)
        raise CatalogError(
            f"{archive} is not unpacked: {error}; get it from its official address, or unpack it yourself if you trust "
            "it, and name the folder"
        ) from None
    except Exception as error:
        if whole.is_dir():  # another process was faster
            return whole
        if isinstance(error, OSError) and error.errno is not None:
            raise CatalogError(
                f"{archive} cannot be unpacked into {begun}: {error.strerror}; mend that and call again: it goes on "
                "where it was"
            ) from None
        # The readers of archives raise many kinds on damaged input (EOFError, zlib.error, struct.error ...). Which file
        # is the damaged one is not known, so none is kept for the next call.
        shutil.rmtree(begun, ignore_errors=True)
        reason = str(error) or type(error).__name__
        raise CatalogError(f"{archive} is damaged or cut off ({reason}); download it again") from None
    return whole


def safe_parts(name: str) -> tuple[str, ...]:
    """The parts of a relative path that stays inside its folder.

    Raises:
        ValueError: it does not, or no file should be called so.
    """
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name) or ".." in parts:
        raise ValueError(f"{name[:200]!r} leads outside of its folder")
    if not name.isprintable() or any(len(part.encode(errors="replace")) > 255 for part in parts) or len(parts) > 32:
        raise ValueError(f"{name[:200]!r} is no name for a file")
    return parts


def _unpack(archive: Path, folder: Path, limits: ArchiveLimits) -> None:
    packed_bytes = archive.stat().st_size
    allowed = min(limits.max_bytes, max(limits.small_bytes, packed_bytes * limits.max_ratio))
    names, total = _Names(), 0
    with _members(archive) as members, progress_bar() as bar:
        task = bar.add_task(f"unpacking {archive.name}, MiB", total=packed_bytes // MIB, note="")
        for count, member in enumerate(members, start=1):
            parts = names.add(member.name, member.is_folder)
            total += member.size
            if count > limits.max_files:
                raise _Refused(f"it holds more than {limits.max_files:,} files")
            if member.size < 0 or total > allowed:
                raise _Refused(f"its {packed_bytes:,} bytes unpack to more than {allowed:,}, like a bomb")
            is_hidden = parts[:1] == ("__MACOSX",) or any(part.startswith(".") for part in parts)
            if not member.is_folder and not is_hidden:
                _write(member, folder.joinpath(*parts))
            bar.update(task, completed=member.packed_bytes // MIB)
    # All of it must be on the disk before the folder is called whole; once, since there may be half a million files.
    os.sync()


def _write(member: _Member, path: Path) -> None:
    if path.is_file() and path.stat().st_size == member.size:
        return  # unpacked by a call that was stopped later
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.opened() as source, path.open("wb") as file:
        shutil.copyfileobj(source, file, MIB)
        if file.tell() != member.size:
            raise EOFError(f"{member.name} has {file.tell():,} bytes instead of {member.size:,}")


class _Names:
    """The names met so far, in small letters: on some disks Bag.jpg and bag.jpg are one file."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()

    def add(self, name: str, is_folder: bool) -> tuple[str, ...]:
        try:
            parts = safe_parts(name)
        except ValueError as error:
            raise _Refused(str(error)) from None
        if not parts and not is_folder:
            raise _Refused(f"{name!r} is no name for a file")
        folded = [part.casefold() for part in parts]
        paths = ["/".join(folded[:depth]) for depth in range(1, len(folded) + 1)]
        folders = paths if is_folder else paths[:-1]
        if any(path in self.files for path in paths) or (not is_folder and paths[-1] in self.folders):
            raise _Refused(f"{name!r} is in it twice")
        self.folders.update(folders)
        self.files.update(paths[len(folders) :])
        return parts


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    with archive.open("rb") as packed:
        magic = packed.read(4)
        packed.seek(0)
        if magic.startswith(b"PK"):
            with zipfile.ZipFile(packed) as opened_zip:
                yield _zip_members(opened_zip)
        else:
            stream = gzip.GzipFile(fileobj=packed) if magic.startswith(GZIP) else packed
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as opened_tar:
                yield _tar_members(opened_tar, packed)
            # The checksum is at the very end, behind some zeros which tarfile does not read.
            if len(stream.read(MOST_PADDING_BYTES)) == MOST_PADDING_BYTES:
                raise _Refused("it goes on after its end")


def _zip_members(opened: zipfile.ZipFile) -> Iterator[_Member]:
    packed_bytes = 0
    for entry in opened.infolist():
        if entry.flag_bits & 1:
            raise _Refused("it is encrypted; its owner gives the password")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _Refused(f"{entry.filename!r} is a link or a device, not a file")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Refused(f"{entry.filename!r} is compressed by an unusual method ({entry.compress_type})")
        packed_bytes += entry.compress_size
        # zipfile cuts a filename at a NUL; the original shows it.
        yield _Member(entry.orig_filename, entry.file_size, entry.is_dir(), packed_bytes, partial(opened.open, entry))


def _tar_members(opened: tarfile.TarFile, packed: IO[bytes]) -> Iterator[_Member]:
    while (entry := opened.next()) is not None:
        opened.members.clear()  # type: ignore[attr-defined]  # half a million of them would take half a GiB
        if not (entry.isdir() or entry.isreg()) or entry.issparse():
            raise _Refused(f"{entry.name!r} is a link or a device, not a file")
        yield _Member(entry.name, entry.size, entry.isdir(), packed.tell(), partial(_content, opened, entry))


def _content(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    return opened.extractfile(entry) or io.BytesIO()


class _Header(tarfile.TarInfo):
    """A header that tarfile may read: one with a long name is read into memory whole, however long it says it is."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """As the base class, within the limit."""
        header = super().frombuf(buf, encoding, errors)
        is_file = header.isreg() or header.isdir()
        if header.size < 0 or (not is_file and header.size > LONGEST_HEADER_BYTES):
            raise _Refused(f"a header in it says it has {header.size:,} bytes")
        return header
