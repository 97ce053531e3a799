"""What a list of files says beside writers, after killed ones and on a full disk: nothing false."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

import pyarrow as pa
import pytest

from lookalike.index import LanceIndex, Verified, inventory
from lookalike.index.inventory import NAME
from lookalike.index.tidy import LOCK
from lookalike.index.writing import Writer
from tests.full_disk import largest_file
from tests.index import dying
from tests.index.files import files_in
from tests.index.files import folder as folder

MakeRows = Callable[..., pa.Table]

#: What is tried with kill -9; all others by an exception that nothing catches, which takes less time.
KILLED = ["add written", "tidy halfway", "rollback committed"]


class Killed(BaseException):
    """In place of kill -9."""


@pytest.fixture(scope="module")
def whole(make_rows: MakeRows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "index"
    index = LanceIndex.create(folder, 4)
    index.add(make_rows([str(number) for number in range(50)]))
    index.optimize(approximate=True)
    index.keep()
    index.add(make_rows(["a", "b"]))
    index.remove(["1", "2"])
    index.remove(["3"])
    return folder


def check(folder: Path, reader: LanceIndex, later: pa.Table) -> None:
    """Raise if anything is said to be damaged, or left, after a writer was killed; `reader` opened the index before."""
    assert (folder / LOCK).read_bytes() == b"1"
    with patch.object(Writer, "sweep"):  # as of one that may only read
        assert reader.verify().is_whole
    assert reader.verify().is_whole
    index = LanceIndex.open(folder)  # sweeps
    assert ((folder / LOCK).read_bytes(), index.verify().is_whole) == (b"0", True)
    assert list(folder.rglob("*.tmp")) == []
    index.add(later)
    assert reader.verify().is_whole
    files_in(folder, "_versions/*.manifest")[0].unlink()
    assert not reader.verify().is_whole


def test_killed_around_the_writing_of_the_list(folder: Path, tmp_path: Path, make_rows: MakeRows) -> None:
    copies = [Path(shutil.copytree(folder, tmp_path / moment)) for moment in KILLED]
    readers = [LanceIndex.open(copy) for copy in copies]
    command = [sys.executable, dying.__file__, *map(str, copies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(copies), done.stderr
    for copy, reader in zip(copies, readers, strict=True):
        check(copy, reader, make_rows(["later"]))


@pytest.mark.parametrize("moment", dying.MOMENTS)
@pytest.mark.parametrize("change", dying.CHANGES)
def test_stopped_around_the_writing_of_the_list(change: str, moment: str, folder: Path, make_rows: MakeRows) -> None:
    def die(*_: object) -> NoReturn:
        raise Killed

    reader = LanceIndex.open(folder)
    with pytest.raises(Killed):
        dying.change(folder, change, moment, die, make_rows(["a", "new"]))
    check(folder, reader, make_rows(["later"]))


def test_a_writer_between_the_list_and_the_look(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer, calls = LanceIndex.open(folder), LanceIndex.open(folder), []
    present = inventory._present

    def late(table: Path) -> set[str]:
        found = present(table)
        if not calls:
            calls.append(table)
            writer.tidy()
        return found

    monkeypatch.setattr(inventory, "_present", late)
    assert reader.verify() == Verified(49)
    assert calls


def test_a_reader_waits_for_a_writer_at_work(folder: Path) -> None:
    reader, writer, found = LanceIndex.open(folder), LanceIndex.open(folder), list[Verified]()
    verifying = threading.Thread(target=lambda: found.append(reader.verify()))
    with writer._writer.change("tidied"):
        for file in files_in(folder, "_indices/*/*"):  # as tidying may
            file.unlink()
        verifying.start()
        verifying.join(0.3)
        assert found == []
    verifying.join()
    assert found == [Verified(49)]


def test_a_disk_that_is_full_for_the_list(folder: Path, make_rows: MakeRows) -> None:
    path = folder / "full"
    index = LanceIndex.create(path, 4)
    for number in range(20):
        index.add(make_rows([str(number)]))
    largest = max(file.stat().st_size for file in files_in(path, "*/*"))
    listed = (path / NAME).read_bytes()
    assert largest + 1000 < len(listed)  # only the list is too large
    # Not around the whole test: what pytest writes to a file would be too large, too.
    with largest_file(largest + 1000):
        index.add(make_rows(["more"]))
        assert (len(index), (path / LOCK).read_bytes()) == (21, b"1")
        assert (path / NAME).read_bytes() == listed
        assert index.verify() == Verified(21)
        index.remove(["0"])  # clears up first, after which the list is short again
        assert (len(index), (path / LOCK).read_bytes()) == (20, b"0")
    files_in(path, "_versions/*.manifest")[0].unlink()
    assert not index.verify().is_whole
