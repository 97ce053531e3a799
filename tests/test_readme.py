"""The README's code runs, its commands parse, its links exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from lookalike import Catalog, Recipe
from lookalike.catalog.boutique import draw_boutique
from lookalike.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TINY = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32, "training.epochs": 1}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("lookalike ")]


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shop = Catalog(draw_boutique(24, views=4, size_px=48))
    lines = ["sku,file,product,title,price,split"]
    for row in shop.table.to_pylist():
        (tmp_path / f"{row['item_id']}.jpg").write_bytes(row["image"])
        lines.append(
            f'{row["item_id"]},{row["item_id"]}.jpg,{row["label"]},"{row["text"]}",{row["price"]},{row["split"]}'
        )
    (tmp_path / "products.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "photo.jpg").write_bytes(shop.column("image")[0])
    recipe = Recipe.load("default").override(TINY)  # the published weights cannot be had everywhere
    monkeypatch.setattr(Recipe, "load", lambda name: recipe)

    (example,) = blocks(ROOT / "README.md", "python")
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + 5
    assert printed[0].startswith(("Training", "Nothing"))


@pytest.mark.parametrize("line", commands())
def test_shell_lines_parse(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert command.make_context(name, arguments).params


def test_there_are_commands_to_test() -> None:
    named = "download check describe train tune evaluate compare reproduce embed index search duplicates serve cache"
    assert {line.split()[1] for line in commands()} == set(named.split())
