"""The pages of encoders and of reproduction say what is so: tables, names, and snippets that run."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import timm
import torch

from lookalike import Recipe
from lookalike.encoders import Encoder
from lookalike.encoders.backbones import check_name
from lookalike.encoders.poolings import POOLINGS
from tests.encoders.test_bn_inception import published

DOCS = Path(__file__).parent.parent / "docs"
ENCODERS = (DOCS / "encoders.md").read_text(encoding="utf-8")
REPRODUCTION = (DOCS / "reproduction.md").read_text(encoding="utf-8")


def reproduction() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproduction", DOCS / "reproduction.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_reproduction_are_those_of_the_recipes() -> None:
    assert reproduction().with_tables(REPRODUCTION) == REPRODUCTION, "run python docs/reproduction.py"
    assert REPRODUCTION.count("| `papers/") == 44


def test_every_recipe_named_is_there() -> None:
    for name in re.findall(r"papers/\w+", ENCODERS + REPRODUCTION):
        assert Recipe.load(name).training.epochs > 1


def test_every_backbone_named_is_published() -> None:
    table = ENCODERS.split("## Pooling")[0]
    names = [
        name for cell in re.findall(r"^\|[^|]+\|([^|]+)\|", table, re.M) for name in re.findall(r"`([^`]+)`", cell)
    ]
    names = [name for name in names if name != "encoder.pooling"]
    assert len(names) > 12
    for name in names:
        check_name(name)


def test_every_pooling_is_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \|", ENCODERS, re.M) == list(POOLINGS)


@pytest.mark.parametrize("number", [0, 1])
def test_the_conversions_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snippet = re.findall(r"```python\n(.*?)```", ENCODERS, re.S)[number]
    monkeypatch.chdir(tmp_path)
    torch.save(timm.create_model("test_resnet").state_dict(), "weights.pth")
    torch.save(published(), "bn_inception-52deb4733.pth")
    exec(snippet, {})
    file, backbone = (("weights.safetensors", "test_resnet"), ("bn_inception.safetensors", "bn_inception"))[number]
    assert Encoder.create(backbone, 8, weights=file, image_size=32).dim == 8
