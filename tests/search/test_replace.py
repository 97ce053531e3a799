"""A new model beside the old one, then in its place: nobody ever sees a mixture."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lookalike.catalog import Catalog
from lookalike.errors import StoredIndexError
from lookalike.index import Manifest
from lookalike.index.models import Opened
from lookalike.search import Index

MakeCatalog = Callable[..., Catalog]
KILLS = 100 if os.environ.get("LOOKALIKE_LONG") else 10


def seed_of(path: Path, make_encoder: Any, make_catalog: MakeCatalog) -> int:
    """Which encoder made the index: its name, its copy and every row agree, or this fails."""
    manifest = Manifest.read(path)
    seed = int(manifest.encoder.removeprefix("tiny "))
    index = Index.open(path, make_encoder.load(manifest.folder(path) / "encoder"))
    assert index._encoder.fingerprint == make_encoder(seed).fingerprint
    catalog = make_catalog()
    assert len(index) == len(catalog)
    for item_id, picture in zip(catalog.column("item_id"), catalog.column("image"), strict=True):
        match = index.search(image=picture, k=1)[0]
        assert (match.item_id, round(match.score, 5)) == (item_id, 1.0)
    return seed


def test_readers_go_on_until_they_open_again(
    make_catalog: MakeCatalog, make_encoder: Any, make_picture: Any, tmp_path: Path
) -> None:
    path, catalog = tmp_path / "i", make_catalog()
    Index.create(path, make_encoder(0)).add(make_catalog(7))
    reader = Index.open(path, make_encoder(0))
    photo = make_picture("blue", 2)
    before = reader.search(image=photo, k=30)
    report = Index.replace(path, make_encoder(1), catalog)
    assert (report.added, report.unchanged, reader.is_stale) == (20, 0, True)
    assert reader.search(image=photo, k=30) == before
    for write in (lambda: reader.add(catalog), lambda: reader.remove("red-0"), lambda: reader.rollback(1)):
        with pytest.raises(StoredIndexError) as caught:
            write()
        assert str(caught.value) == f"the index at {path} was replaced by one of another model; open it again"
    assert seed_of(path, make_encoder, make_catalog) == 1
    assert (path / "items.lance").exists()
    del reader, caught, write  # the error too knows who was refused
    gc.collect()
    assert seed_of(path, make_encoder, make_catalog) == 1
    assert sorted(file.name for file in path.iterdir()) == ["manifest.json", "model-1"]
    Index.replace(path, make_encoder(2), catalog)
    assert seed_of(path, make_encoder, make_catalog) == 2
    assert sorted(file.name for file in path.iterdir()) == ["manifest.json", "model-2"]


def test_a_replacement_that_was_stopped_is_gone_on_with(
    make_catalog: MakeCatalog, make_encoder: Any, tmp_path: Path
) -> None:
    class Stopped(make_encoder):
        def embed(self, images: Any, batch_size: int = 64) -> Any:
            if self.largest_call:
                raise KeyboardInterrupt
            return super().embed(images, batch_size)

    path = tmp_path / "i"
    Index.create(path, make_encoder(0)).add(make_catalog())
    with pytest.raises(KeyboardInterrupt):
        Index.replace(path, Stopped(1), make_catalog(6), batch_size=8)
    assert seed_of(path, make_encoder, make_catalog) == 0
    report = Index.replace(path, make_encoder(1), make_catalog(), batch_size=8)
    assert (report.added, report.unchanged) == (13, 7)  # the first batch, less one that is not in this catalog
    assert seed_of(path, make_encoder, make_catalog) == 1


def test_an_attempt_of_another_encoder_is_thrown_away(
    make_catalog: MakeCatalog, make_encoder: Any, tmp_path: Path
) -> None:
    path = tmp_path / "i"
    Index.create(path, make_encoder(0)).add(make_catalog())
    attempt = Index.create(path / "model-1", make_encoder(5))
    attempt.add(make_catalog())
    with pytest.raises(StoredIndexError, match="another model is being built for the index at"):
        Index.replace(path, make_encoder(1), make_catalog())
    del attempt  # its process has ended
    assert Index.replace(path, make_encoder(1), make_catalog()).added == 20
    assert seed_of(path, make_encoder, make_catalog) == 1


def test_nothing_readable_changes_nothing(make_catalog: MakeCatalog, make_encoder: Any, tmp_path: Path) -> None:
    path = tmp_path / "i"
    Index.create(path, make_encoder(0)).add(make_catalog())
    with pytest.raises(StoredIndexError) as caught:
        Index.replace(path, make_encoder(1), make_catalog(image=[b"no picture"] * 20))
    assert str(caught.value) == f"no picture of shop.csv can be read; the index at {path} stays as it was"
    assert seed_of(path, make_encoder, make_catalog) == 0
    with pytest.raises(StoredIndexError, match="there is no index at"):
        Index.replace(tmp_path / "nowhere", make_encoder(1), make_catalog())


def test_opening_while_models_are_switched(make_catalog: MakeCatalog, make_encoder: Any, tmp_path: Path) -> None:
    path, is_done, failures = tmp_path / "i", threading.Event(), list[BaseException]()
    Index.create(path, make_encoder(0)).add(make_catalog())

    def read() -> None:
        try:
            while not is_done.wait(0.001):
                opened = Opened(path)
                seed = int(opened.manifest.encoder.removeprefix("tiny "))
                assert make_encoder.load(opened.folder / "encoder").seed == seed
                opened.close()
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for seed in range(1, 5):
            Index.replace(path, make_encoder(seed), make_catalog())
    finally:
        is_done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert seed_of(path, make_encoder, make_catalog) == 4


def test_format_1_is_opened_and_replaced(make_catalog: MakeCatalog, make_encoder: Any, tmp_path: Path) -> None:
    path = tmp_path / "i"
    index = Index.create(path, make_encoder(0))
    index.add(make_catalog())
    # As it was: no page number, no checksums, no lock of readers, no versions.
    index._stored._table.drop_columns(["_picture", "_checksum"])
    text = (path / "manifest.json").read_text().replace('"format": 2,\n  "model": 0', '"format": 1')
    assert '"model"' not in text
    (path / "manifest.json").write_text(text)
    del index
    shutil.rmtree(path / "versions")
    (path / "readers.lock").unlink()
    assert seed_of(path, make_encoder, make_catalog) == 0
    index = Index.open(path, make_encoder(0))
    assert (index.verify().unchecked, index.columns) == (20, ["item_id", "label", "price"])
    assert index.add(make_catalog()).added == 20  # nothing is known of their pictures
    assert index.add(make_catalog()).unchanged == 20
    assert index.verify().unchecked == 0
    index.rollback(1)
    assert index.verify().unchecked == 20
    Index.replace(path, make_encoder(1), make_catalog())
    assert seed_of(path, make_encoder, make_catalog) == 1


SWITCH = """
import os, sys
import lance_namespace, numpy, pyarrow.compute, sqlglot  # most of what importing costs, done once
sys.path.insert(0, sys.argv[1])
import conftest

# Killed before the n-th time that Python changes the file system; what LanceDB does lies between these.
def deadly(act):
    def acted(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return act(*arguments, **named)
    return acted

for line in sys.stdin:
    # LanceDB starts threads and may not be forked: only the children import it.
    if os.fork() == 0:
        try:
            from lookalike.search import Index
            path, left = line.split()[0], int(line.split()[1])
            for name in ("rename", "replace", "unlink", "rmdir", "mkdir", "pwrite", "fsync", "link"):
                setattr(os, name, deadly(getattr(os, name)))
            Index.replace(path, conftest.TinyEncoder(1), conftest.catalog_of(), batch_size=7)
            print("left", left, flush=True)
        finally:
            os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_killed_at_any_step_of_a_switch(make_catalog: MakeCatalog, make_encoder: Any, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", SWITCH, str(Path(__file__).parent)]
    many = 10**6

    def copied(name: str) -> Path:
        return Path(shutil.copytree(tmp_path / "whole", tmp_path / name))

    def replaced(path: Path, step: int) -> list[str]:
        assert killer.stdin is not None
        assert killer.stdout is not None
        killer.stdin.write(f"{path} {step}\n")
        killer.stdin.flush()
        said = [killer.stdout.readline().split()]
        if said[0][0] == "left":
            said.append(killer.stdout.readline().split())
        return [words[1] for words in said]

    Index.create(tmp_path / "whole", make_encoder(0)).add(make_catalog())
    seen = set()
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killer:
        left, code = replaced(copied("counted"), many)
        assert code == "0"
        steps = many - int(left)
        # The last steps are the switch itself and the removal of the old model.
        for step in sorted({round(1 + number * (steps - 1) / (KILLS - 1)) for number in range(KILLS)}):
            path = copied(str(step))
            assert replaced(path, step) == [str(-signal.SIGKILL)], f"step {step} of {steps}"
            seen.add(seed_of(path, make_encoder, make_catalog))
            Index.replace(path, make_encoder(1), make_catalog())
            assert seed_of(path, make_encoder, make_catalog) == 1
            shutil.rmtree(path)
    assert seen == {0, 1}
