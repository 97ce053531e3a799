"""A small shop, a run on it and an index of it, made once by the commands themselves."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lookalike import Catalog
from lookalike.catalog.boutique import draw_boutique
from lookalike.cli import main

#: A tiny network at a tiny size, so that a run takes a second.
TINY = ["--set", "encoder.backbone=test_resnet", "--set", "encoder.pretrained=false", "--set", "encoder.image_size=32"]


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


def process_of(*arguments: str | Path, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """A command in a process of its own, which Ctrl-C stops even where the tests themselves run with it ignored."""
    return subprocess.Popen(
        [sys.executable, "-m", "lookalike", *map(str, arguments)],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture
def lookalike(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["lookalike", *map(str, arguments)])
        capsys.readouterr()
        code: str | int | None = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code
        captured = capsys.readouterr()
        return Result(int(code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 products, 6 views each, as a Parquet catalog."""
    return Catalog(draw_boutique(24, views=6, size_px=48)).write(tmp_path_factory.mktemp("shop") / "shop.parquet")


@pytest.fixture(scope="session")
def run(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the shop."""
    from lookalike import Recipe, train

    folder = tmp_path_factory.mktemp("runs") / "first"
    settings = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKALIKE_CACHE", str(folder.parent / "cache"))
        train(Recipe.load("default").override(settings | {"encoder.dim": 16, "training.epochs": 2}), shop, folder)
    return folder


@pytest.fixture
def index(lookalike: Command, shop: Path, run: Path, tmp_path: Path) -> Path:
    """An index of the shop."""
    folder = tmp_path / "shop.index"
    assert lookalike("index", shop, "--run", run, "--to", folder).code == 0
    return folder
