"""Archives of strangers: hostile ones write nothing outside, stopped ones go on, damaged ones say so."""

import gzip
import io
import os
import struct
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.catalog.benchmarks import archives
from lookalike.catalog.benchmarks.archives import ArchiveLimits, safe_parts, unpacked
from lookalike.errors import CatalogError
from tests.catalog.benchmark_folders import as_tar, as_zip

SMALL = ArchiveLimits(max_files=20, max_bytes=2**20, max_ratio=10, small_bytes=2**16)

BAD_NAMES = [
    "../evil.txt",
    "a/../../evil.txt",
    "a/b/../../../evil.txt",
    "..",
    "/evil.txt",
    "//evil.txt",
    "/etc/passwd",
    "..\\evil.txt",
    "a\\..\\..\\evil.txt",
    "\\\\host\\share\\evil.txt",
    "C:evil.txt",
    "C:/evil.txt",
    "c:\\evil.txt",
    "a\x07b.txt",
    "a\nb.txt",
    "a\u202eb.txt",
    "n" * 300,
    "/".join("d" * 40) + "/deep.txt",
]


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, link
    return made


def tar_of(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for made, content in entries:
            archive.addfile(made, io.BytesIO(content) if made.isreg() else None)
    return path


def plain(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, size=len(content)), content


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind, link=link), b""


def zip_of(path: Path, *names: str, mode: int = 0, content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            made = zipfile.ZipInfo(name)
            made.filename = name  # ZipInfo mends some names
            made.external_attr, made.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(made, content)
    return path


def pax_with(archive_path: Path, **headers: str) -> Path:
    with tarfile.open(archive_path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        made = entry("a.txt", size=1)
        made.pax_headers = headers
        archive.addfile(made, io.BytesIO(b"x"))
    return archive_path


def long_header(path: Path) -> Path:
    """A tar header that says its name has 64 MiB; packed, that is 64 KiB."""
    header = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=64 * 2**20)
    with gzip.open(path, "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.writelines([bytes(2**20)] * 64)
    return path


def goes_on(path: Path) -> Path:
    """A tar file with 20 MiB of zeros behind its end."""
    tar_of(path, plain("a"))
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(20 * 2**20)))
    return path


def zip_with_bytes(path: Path, old: bytes, new: bytes) -> Path:
    zip_of(path, "aaaa.txt")
    path.write_bytes(path.read_bytes().replace(old, new))
    return path


def overlapping(path: Path) -> Path:
    """Two hundred names for the same packed bytes."""
    zip_of(path, "0000.txt", content=bytes(60_000))
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    record = content[start:end]
    records = b"".join(record.replace(b"0000", b"%04d" % number) for number in range(15))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 15, 15, len(records), start, 0)
    path.write_bytes(content[:start] + records + tail)
    return path


def sparse(path: Path) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(entry("a.bin", tarfile.GNUTYPE_SPARSE))
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "symlink out": (lambda p: tar_of(p, special("a", tarfile.SYMTYPE, "/etc")), "a link or a device"),
    "symlink inside": (lambda p: tar_of(p, plain("b"), special("a", tarfile.SYMTYPE, "b")), "a link or a device"),
    "through a symlink": (
        lambda p: tar_of(p, special("a", tarfile.SYMTYPE, ".."), plain("a/evil.txt")),
        "a link or a device",
    ),
    "hard link": (lambda p: tar_of(p, special("a", tarfile.LNKTYPE, "/etc/passwd")), "a link or a device"),
    "character device": (lambda p: tar_of(p, special("a", tarfile.CHRTYPE)), "a link or a device"),
    "block device": (lambda p: tar_of(p, special("a", tarfile.BLKTYPE)), "a link or a device"),
    "pipe": (lambda p: tar_of(p, special("a", tarfile.FIFOTYPE)), "a link or a device"),
    "sparse file": (sparse, "a link or a device"),
    "name twice": (lambda p: tar_of(p, plain("a"), plain("a")), "'a' is in it twice"),
    "name twice, one dotted": (lambda p: tar_of(p, plain("a"), plain("./a")), "is in it twice"),
    "name twice, one large": (lambda p: tar_of(p, plain("a"), plain("A")), "'A' is in it twice"),
    "file and folder": (lambda p: tar_of(p, plain("a"), plain("a/b")), "'a/b' is in it twice"),
    "folder and file": (lambda p: tar_of(p, plain("a/b"), plain("a")), "'a' is in it twice"),
    "no name": (lambda p: tar_of(p, plain("./")), "is no name for a file"),
    "pax path out": (lambda p: pax_with(p, path="../evil.txt"), "leads outside"),
    "pax size below zero": (lambda p: pax_with(p, size="-1"), "like a bomb"),
    "bomb in a tar": (lambda p: tar_of(p, plain("a", bytes(2**20))), "unpack to more than 65,536, like a bomb"),
    "bomb of many files": (
        lambda p: tar_of(p, *(plain(str(n), bytes(9000)) for n in range(15))),
        "unpack to more than 65,536, like a bomb",
    ),
    "too many files": (lambda p: tar_of(p, *(plain(str(n)) for n in range(21))), "more than 20 files"),
    "too many folders": (
        lambda p: tar_of(p, *(special(str(n), tarfile.DIRTYPE) for n in range(21))),
        "more than 20 files",
    ),
    "goes on after its end": (goes_on, "goes on after its end"),
    "long header": (long_header, "says it has 67,108,864 bytes"),
    "zip: bomb": (lambda p: zip_of(p, "a", content=bytes(2**20)), "unpack to more than 65,536, like a bomb"),
    "zip: overlapping": (overlapping, "like a bomb|damaged"),
    "zip: symlink": (lambda p: zip_of(p, "a", mode=0o120777, content=b"/etc"), "a link or a device"),
    "zip: device": (lambda p: zip_of(p, "a", mode=0o060777), "a link or a device"),
    "zip: name twice": (lambda p: zip_of(p, "a", "A"), "is in it twice"),
    "zip: NUL in a name": (lambda p: zip_with_bytes(p, b"aaaa.txt", b"aa\0a.txt"), "no name for a file|damaged"),
    "zip: too many files": (lambda p: zip_of(p, *map(str, range(21))), "more than 20 files"),
}


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def check_refused(archive: Path, sentence: str) -> None:
    """It is refused by name, and nothing of it is left."""
    with pytest.raises(CatalogError, match=sentence) as caught:
        unpacked(archive, SMALL)
    assert str(archive) in str(caught.value)
    assert everything_in(archive.parent) == {archive.name}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused(tmp_path: Path, case: str) -> None:
    make, sentence = HOSTILE[case]
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    check_refused(make(folder / ("a.zip" if case.startswith("zip") else "a.tgz")), sentence)
    assert len(everything_in(tmp_path)) == 3


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    archive = tar_of(folder / "a.tgz", plain(name)) if kind == "tar" else zip_of(folder / "a.zip", name)
    check_refused(archive, "leads outside of its folder|is no name for a file")
    assert len(everything_in(tmp_path)) == 3


def test_an_encrypted_zip_asks_for_its_owner(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "img.zip", "aaaa.txt")
    content = bytearray(archive.read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + place] |= 1
    archive.write_bytes(content)
    check_refused(archive, r"img.zip is not unpacked: it is encrypted; its owner gives the password; get it from")


def test_an_unusual_compression_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", b"x" * 99)
    check_refused(tmp_path / "a.zip", "unusual method")


def test_a_long_header_is_not_read_into_memory(tmp_path: Path) -> None:
    archive = long_header(tmp_path / "a.tgz")
    tracemalloc.start()
    with pytest.raises(CatalogError, match="says it has"):
        unpacked(archive)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20


@given(st.text(alphabet="ab./\\:C\x00\n-", max_size=12))
def test_a_name_that_is_safe_stays_inside(name: str) -> None:
    try:
        parts = safe_parts(name)
    except ValueError:
        return
    path = os.path.normpath(os.path.join("/folder", *parts))
    assert path == "/folder" or path.startswith("/folder/")
    assert not {"..", ".", ""} & {*parts}


# Damaged


@pytest.mark.parametrize("name", ["a.tgz", "a.zip", "a.tar"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.75])
def test_an_archive_that_was_cut_off(tmp_path: Path, name: str, kept: float) -> None:
    files = {f"{number}.bin": os.urandom(3000) for number in range(9)}
    archive = (as_zip if name == "a.zip" else as_tar)(tmp_path / name, files)
    archive.write_bytes(archive.read_bytes()[: int(kept * archive.stat().st_size)])
    with pytest.raises(CatalogError, match=r"is damaged or cut off \(.*\); download it again"):
        unpacked(archive)
    assert not (tmp_path / f"{name}.unpacked").exists()


@pytest.mark.parametrize("name", ["a.tgz", "a.zip"])
def test_a_bit_that_flipped(tmp_path: Path, name: str) -> None:
    files = {"a.bin": os.urandom(9000)}
    archive = (as_zip if name == "a.zip" else as_tar)(tmp_path / name, files)
    content = bytearray(archive.read_bytes())
    content[5000] ^= 4
    archive.write_bytes(content)
    with pytest.raises(CatalogError, match="is damaged or cut off"):
        unpacked(archive)
    assert not list(tmp_path.rglob("a.bin"))  # nor taken for whole by the next call


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"<html>Please log in</html>")
    with pytest.raises(CatalogError, match="is damaged or cut off"):
        unpacked(tmp_path / "a.tgz")


# Whole, once, and resumed


@pytest.mark.parametrize("make", [as_tar, as_zip])
def test_what_is_in_it_is_there_hidden_files_are_not(tmp_path: Path, make: Callable[..., Path]) -> None:
    files = {"a/b.bin": os.urandom(70_000), "a/c.txt": b"", "./d.txt": b"d", "a/._b.bin": b"Mac", "__MACOSX/x": b"Mac"}
    archive = make(tmp_path / ("a.zip" if make is as_zip else "a.tgz"), files)
    folder = unpacked(archive)
    assert everything_in(folder) == {"a", "a/b.bin", "a/c.txt", "d.txt"}
    assert (folder / "a/b.bin").read_bytes() == files["a/b.bin"]
    assert everything_in(tmp_path) == {
        archive.name,
        folder.name,
        *(f"{folder.name}/{n}" for n in everything_in(folder)),
    }
    archive.write_bytes(b"")  # not looked at again
    assert unpacked(archive) == folder


def test_a_call_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{number}.bin": os.urandom(500) for number in range(6)}
    archive = as_tar(tmp_path / "a.tgz", files)
    write, written = archives._write, []

    def stopped(member: archives._Member, path: Path) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write(member, path)

    monkeypatch.setattr(archives, "_write", stopped)
    with pytest.raises(KeyboardInterrupt):
        unpacked(archive)
    begun = tmp_path / ".a.tgz.partial"
    assert everything_in(begun) == {"0.bin", "1.bin", "2.bin"}
    (begun / "1.bin").write_bytes(b"half")
    before = (begun / "0.bin").stat().st_mtime_ns
    monkeypatch.setattr(archives, "_write", write)
    folder = unpacked(archive)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert (folder / "0.bin").stat().st_mtime_ns == before  # not written again


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = as_tar(tmp_path / "a.tgz", {"a.txt": b"x"})

    def full(member: archives._Member, path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_write", full)
        with pytest.raises(
            CatalogError, match=r"cannot be unpacked into .*: No space left on device; mend that and call"
        ):
            unpacked(archive)
    assert unpacked(archive).is_dir()


def test_two_processes_at_once_both_get_it(tmp_path: Path) -> None:
    files = {f"{number}.bin": os.urandom(2000) for number in range(60)}
    archive = as_zip(tmp_path / "a.zip", files)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(unpacked(archive))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "a.zip.unpacked"] * 4
    assert {path.name: path.read_bytes() for path in found[0].iterdir()} == files
