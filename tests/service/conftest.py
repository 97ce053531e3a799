"""A shop whose encoder knows words, its index, the service in this process and in one of its own, and a browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from lookalike import Catalog, Encoder, Index, Recipe, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.service import Settings, create_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: Ids and values that would do harm as HTML, SQL or a path.
HOSTILE = ["<img src=x onerror=alert(1)>", "'; DROP TABLE items; --", "../../etc/passwd", 'a"b`c\\d', "ä €/🙂 %2F?#"]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a small shop with descriptions."""
    folder = tmp_path_factory.mktemp("serving")
    Catalog(draw_boutique(24, views=6, size_px=64)).write(folder / "shop.parquet")
    settings = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32}
    recipe = Recipe.load("default").override(settings | {"encoder.dim": 16, "training.epochs": 2})
    train(recipe, Catalog.read(folder / "shop.parquet"), folder / "run")
    return folder


@pytest.fixture(scope="session")
def shop(run: Path) -> Catalog:
    """Its catalog; the first items have hostile ids, and the first label is one too."""
    table = Catalog.read(run / "shop.parquet").table
    ids, labels = table.column("item_id").to_pylist(), table.column("label").to_pylist()
    ids[: len(HOSTILE)] = HOSTILE
    table = table.set_column(table.column_names.index("item_id"), "item_id", pa.array(ids))
    labels[0] = HOSTILE[0]
    return Catalog(table.set_column(table.column_names.index("label"), "label", pa.array(labels)), "shop.csv")


@pytest.fixture(scope="session")
def encoder(run: Path) -> Encoder:
    return Encoder.load(run / "run")


@pytest.fixture(scope="session")
def index(run: Path, shop: Catalog, encoder: Encoder) -> Path:
    """An index nobody writes to."""
    Index.create(run / "index", encoder).add(shop)
    return run / "index"


@pytest.fixture
def own_index(index: Path, tmp_path: Path) -> Path:
    """One for this test alone."""
    return Path(shutil.copytree(index, tmp_path / "index"))


MakeClient = Callable[..., TestClient]


@pytest.fixture
def make_client(index: Path, encoder: Encoder) -> Iterator[MakeClient]:
    """The service in this process, with these settings."""
    opened = []

    def make(settings: Settings | None = None, folder: Path = index, encoder: Any = encoder) -> TestClient:
        app = create_app(folder, encoder, settings or Settings())
        opened.append(TestClient(app, raise_server_exceptions=False).__enter__())
        return opened[-1]

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def client(index: Path, encoder: Encoder) -> Iterator[TestClient]:
    """The service as it comes."""
    with TestClient(create_app(index, encoder, Settings()), raise_server_exceptions=False) as opened:
        yield opened


class Server:
    """`lookalike serve` in a process of its own."""

    program: tuple[str | Path, ...] = ("-m", "lookalike", "serve")

    def __init__(self, index: Path, *options: str | Path, **environment: str):
        command = [sys.executable, *self.program, index, "--port", "0", *options]
        self.process = subprocess.Popen(
            list(map(str, command)), env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"{line}{self.process.communicate(timeout=20)}"
        self.address = found[0]

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.address, timeout=30, trust_env=False, **options)

    def end(self, sent: signal.Signals = signal.SIGTERM) -> str:
        """Stop it; what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(sent)
        _, err = self.process.communicate(timeout=60)
        return err

    @property
    def memory(self) -> int:
        """The most it ever held, in bytes."""
        return self._status("VmHWM")

    @property
    def memory_now(self) -> int:
        """What it holds, in bytes."""
        return self._status("VmRSS")

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]


@pytest.fixture(scope="session")
def server(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that do not end it; it keeps feedback and poor queries."""
    kept = tmp_path_factory.mktemp("kept")
    opened = Server(index, "--feedback", kept / "feedback.jsonl", "--keep-poor-queries", kept / "poor")
    yield opened
    assert "Traceback" not in opened.end()


@pytest.fixture
def make_server() -> Iterator[Callable[..., Server]]:
    """Servers that end with the test."""
    opened: list[Server] = []

    def make(*arguments: Any, **environment: str) -> Server:
        opened.append(Server(*arguments, **environment))
        return opened[-1]

    yield make
    for server in opened:
        server.end(signal.SIGKILL)
