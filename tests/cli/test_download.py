"""A data set by commands alone: download, check, train with its texts, evaluate."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lookalike.catalog.benchmarks import BENCHMARKS
from lookalike.catalog.benchmarks.benchmark import RemoteFile
from tests.catalog.benchmark_folders import as_tar, cub, inshop, laid_out, under
from tests.cli.conftest import TINY, Command


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", folder
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_from_the_download_to_a_trained_encoder(
    lookalike: Command, mirror: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, served = mirror
    archive = as_tar(served / "CUB_200_2011.tgz", cub(images=4))
    tiny = RemoteFile(archive.name, hashlib.md5(archive.read_bytes()).hexdigest())
    counts = {"train": (12, 3), "test": (12, 3)}
    monkeypatch.setitem(BENCHMARKS, "cub200", replace(BENCHMARKS["cub200"], files=(tiny,), counts=counts))

    to = tmp_path / "cub"
    license = BENCHMARKS["cub200"].license
    done = lookalike("download", "cub200", "--to", to, "--mirror", address)
    assert done.code == 0
    assert done.out.splitlines() == [str(to / "CUB_200_2011.tgz"), f"CUB-200-2011. {license} Read it as cub200:{to}"]

    checked = lookalike("check", f"cub200:{to}")
    assert checked.code == 0
    assert "splits: train 12, test 12" in checked.out
    assert "no problems found" in checked.out
    assert "text: 24 of 24 items (100%) have a usable one" in checked.out

    few = ["--set", "training.epochs=1", "--set", "loss.name=adaptive_additive_softmax", "--set", "encoder.dim=8"]
    trained = lookalike("train", "--catalog", f"cub200:{to}", "--run", tmp_path / "run", *TINY, *few)
    assert trained.code == 0, trained.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["loss"] == "adaptive_additive_softmax"
    assert metrics["items"] == {"training": 12, "validation": 0, "test": 12}
    figures = metrics["test"]["all"]["trained"]
    assert figures["num_queries"] == 12 and 0 <= figures["recall_at_1"] <= 1


def test_queries_and_gallery_reach_the_figures(lookalike: Command, run: Path, tmp_path: Path) -> None:
    laid_out(tmp_path, under(inshop(), "Eval/", "Anno/", "img/"))
    found = json.loads(lookalike("evaluate", f"inshop-part:{tmp_path}", "--run", run, "--json").out)
    assert {*found} == {"query -> gallery"}
    figures = found["query -> gallery"]["this encoder"]
    assert (figures["num_queries"], figures["num_gallery"]) == (4, 4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cub"], "Error: there is no data set 'cub'. Did you mean 'cub200'?"),
        (["inshop"], "Error: DeepFashion In-Shop cannot be downloaded by a program. Open https://mmlab"),
        (["sop", "--mirror", "http://127.0.0.1:9"], "Error: http://127.0.0.1:9/Stanford_Online_Products.zip cannot be"),
        (["inaturalist2018"], "say so with accept_license=True (--accept-license)."),
    ],
)
def test_what_cannot_be_downloaded_is_one_sentence(
    lookalike: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = lookalike("download", *arguments, "--to", tmp_path / "new")
    assert (done.code, done.out) == (1, "")
    assert said in done.err and len(done.err.strip().splitlines()) == 1
