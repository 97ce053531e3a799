import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lookalike.errors import StoredIndexError
from lookalike.index import LanceIndex
from lookalike.index.tidy import LOCK, SLACK_BYTES, WriterLock

MakeRows = Callable[..., pa.Table]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_it_is_there_after_opening_again(make_rows: MakeRows, tmp_path: Path) -> None:
    LanceIndex.create(tmp_path / "i", 4).add(make_rows(["a", "b"], price=[1, 2]))
    index = LanceIndex.open(tmp_path / "i")
    assert (len(index), index.dim) == (2, 4)
    assert index.schema.names == ["item_id", "vector", "thumbnail", "_picture", "_checksum", "price"]
    assert index.get("a").drop_columns(["_picture", "_checksum"]).to_pylist() == make_rows(["a"], price=[1]).to_pylist()


def test_what_another_process_stores_is_seen(make_rows: MakeRows, tmp_path: Path) -> None:
    reader = LanceIndex.create(tmp_path, 4)
    writer = LanceIndex.open(tmp_path)
    for number in range(3):
        writer.add(make_rows([str(number)], **{f"column{number}": [number]}))
        assert len(reader) == number + 1
        assert len(reader.search(np.ones((1, 4)), 9, f"column{number} = {number}")[0]) == 1
        writer.tidy()  # the version the reader last saw is gone


@pytest.mark.parametrize("folder", ["nowhere", "", "file"])
def test_opening_what_is_no_index(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoredIndexError) as caught:
        LanceIndex.open(tmp_path / folder)
    assert str(caught.value) == f"there is no index at {tmp_path / folder}; make one with `lookalike index`"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_creating_where_an_index_is(make_rows: MakeRows, tmp_path: Path) -> None:
    LanceIndex.create(tmp_path, 4).add(make_rows(["a"]))
    with pytest.raises(StoredIndexError) as caught:
        LanceIndex.create(tmp_path, 4)
    assert str(caught.value) == f"there is an index at {tmp_path} already; open it, or give another folder"
    assert len(LanceIndex.open(tmp_path)) == 1


def test_a_damaged_table_is_told_in_one_sentence(make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(["a"]))
    for manifest in (tmp_path / "items.lance" / "_versions").glob("*.manifest"):
        manifest.write_bytes(b"nonsense")
    with pytest.raises(StoredIndexError) as caught:
        LanceIndex.open(tmp_path)
    assert str(caught.value).startswith(f"the index at {tmp_path} could not be opened: ")
    assert str(caught.value).endswith("; if it stays so, restore the folder from a copy or index again")
    assert "\n" not in str(caught.value)


def test_a_refused_batch_changes_nothing(make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(["a"], price=[1]))
    with pytest.raises(StoredIndexError, match="column 'price' is int64 in the index and string in the new items"):
        index.add(make_rows(["a", "b"], price=["x", "y"], color=["red", "blue"]))
    assert index.schema.names == ["item_id", "vector", "thumbnail", "_picture", "_checksum", "price"]
    assert len(index) == 1
    assert (tmp_path / LOCK).read_bytes() == b"0"


def test_more_ids_than_fit_one_condition(make_rows: MakeRows, tmp_path: Path) -> None:
    ids = [f"it's {number}" for number in range(5000)]
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(ids))
    wanted = ids[::-2]
    assert index.get([*wanted, "nobody"]).column("item_id").to_pylist() == wanted
    assert index.remove(wanted) == 2500
    assert len(index) == 2500


def test_ids_are_never_sql(make_rows: MakeRows, tmp_path: Path) -> None:
    ids = ["a", "') OR ('1' = '1", "'", "''", "\\", "a\\'", "a\0b", "a\nb", "日本", "--", "`", '"', "%", ""]
    index = LanceIndex.create(tmp_path, 4)
    index.add(make_rows(ids))
    for item in ids:
        assert index.get([item]).column("item_id").to_pylist() == [item]
    for number, item in enumerate(ids):
        assert index.remove([item]) == 1
        assert len(index) == len(ids) - number - 1


def test_replacing_over_and_over_does_not_fill_the_disk(make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 256)
    rows = make_rows([str(number) for number in range(500)], 256)
    rows = rows.set_column(2, "thumbnail", pa.array([np.random.default_rng(n).bytes(4000) for n in range(500)]))
    for _ in range(12):  # 2.5 MB each, 30 MB in all
        index.add(rows)
    assert size(tmp_path) < 2 * rows.nbytes + SLACK_BYTES
    index.tidy()
    assert size(tmp_path) < 1.1 * rows.nbytes
    assert index.get([str(number) for number in range(500)]).column("vector").equals(rows.column("vector"))


def test_many_small_batches_are_merged(make_rows: MakeRows, tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    for number in range(60):
        index.add(make_rows([str(number)]))
    assert len(index) == 60
    assert len(list((tmp_path / "items.lance" / "data").iterdir())) < 40


def test_what_a_killed_writer_left_is_swept(make_rows: MakeRows, tmp_path: Path) -> None:
    LanceIndex.create(tmp_path, 4).add(make_rows(["a"]))
    leaked = [tmp_path / "items.lance" / "data" / name for name in (".tmpAbC12", "0101.lance", "0101.lance#1")]
    for path in leaked:
        path.write_bytes(b"half")
    LanceIndex.open(tmp_path)
    assert all(path.exists() for path in leaked)  # nobody was killed: nothing to look for

    (tmp_path / LOCK).write_bytes(b"1")
    with WriterLock(tmp_path).held():  # a writer at work now: its files are not ours to sweep
        LanceIndex.open(tmp_path)
        assert all(path.exists() for path in leaked)
    (tmp_path / LOCK).write_bytes(b"1")
    assert len(LanceIndex.open(tmp_path)) == 1
    assert not any(path.exists() for path in leaked)
    assert (tmp_path / LOCK).read_bytes() == b"0"


def test_a_second_writer_waits_and_then_gives_up(tmp_path: Path) -> None:
    LanceIndex.create(tmp_path, 4)
    with (
        WriterLock(tmp_path).held(),
        pytest.raises(StoredIndexError) as caught,
        WriterLock(tmp_path).held(patience_s=0.05),
    ):
        pass
    assert str(caught.value) == (f"another process is writing to the index at {tmp_path}; wait until it has finished")
    with WriterLock(tmp_path).held(patience_s=0):
        pass


def test_reading_without_the_right_to_write(
    make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LanceIndex.create(tmp_path, 4).add(make_rows(["a"]))
    (tmp_path / LOCK).write_bytes(b"1")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    # As root, access rights stop nobody; so the lock says no.
    monkeypatch.setattr("lookalike.index.tidy.os.open", refuse)
    index = LanceIndex.open(tmp_path)
    assert len(index.search(np.ones((1, 4)), 1)[0]) == 1
    with pytest.raises(StoredIndexError) as caught:
        index.add(make_rows(["b"]))
    assert str(caught.value) == (
        f"the index at {tmp_path} could not be written: writing there is not permitted; "
        "check the access rights of the folder"
    )


def test_the_room_is_free_of_torch() -> None:
    code = "import sys, lookalike.index, lookalike.search; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_version_tidied_away_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    index = LanceIndex.create(tmp_path, 4)
    tries = []

    def gone(table: object) -> int:
        tries.append(table)
        if len(tries) < 3:
            raise RuntimeError("lance error: Not found: data/01.lance")
        return 7

    assert index._read(gone) == 7
    with pytest.raises(StoredIndexError, match=r"could not be read: lance error: Not found"):
        index._read(lambda table: gone(tries.clear()))
    with pytest.raises(StoredIndexError, match="could not be read: something else; if it stays so, restore"):
        index._read(_broken)


def _broken(table: object) -> None:
    raise RuntimeError("something else\nat some line of Rust")
