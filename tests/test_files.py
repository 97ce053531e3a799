"""Files are there whole or not at all, whatever happens while they are written."""

import os
import random
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.files import sha256, write_text, written_whole


def test_a_block_that_ends_well_leaves_the_new_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "a.txt"
    with written_whole(path) as temporary:
        assert temporary.parent == path.parent  # a rename across file systems is no rename
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_fault_leaves_the_old_content_and_no_rest(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(fault), written_whole(path) as temporary:
        temporary.write_text("half")
        raise fault
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_fault_of_the_rename_leaves_no_rest(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(OSError), written_whole(tmp_path / "a") as temporary:
        temporary.write_text("a file cannot replace a folder")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_rights_of_any_new_file(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
        assert os.umask(mask) == mask  # left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Täschchen \U0001f45c")
    assert (tmp_path / "a.txt").read_bytes() == "Täschchen \U0001f45c".encode()


WRITER = """
import sys
from pathlib import Path
from lookalike.files import written_whole
path = Path(sys.argv[1])
print("ready", flush=True)
for number in range(10**9):
    with written_whole(path) as temporary:
        with temporary.open("w") as file:
            for _ in range(200):
                file.write(f"{number}\\n" * 50)
"""


def test_a_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path, rng, seen = tmp_path / "a.txt", random.Random(1), set()
    path.write_text("-1\n" * 10_000)
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process, process.stdout:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.03))
            process.kill()
        lines = path.read_text().splitlines()
        assert len(lines) == 10_000
        assert len({*lines}) == 1
        seen.add(lines[0])
    assert len(seen) > 1  # some were killed after the first rename


PARTS = st.lists(st.binary(max_size=4), max_size=4)


@given(PARTS, PARTS)
def test_lists_of_parts_do_not_collide(one: list[bytes], other: list[bytes]) -> None:
    assert (sha256(*one) == sha256(*other)) == (one == other)


def test_joined_parts_are_another_list() -> None:
    digests = {sha256(*parts) for parts in [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), (b"", b"abc"), ()]}
    assert len(digests) == 6
    assert all(len(digest) == 64 for digest in digests)
