"""The pages of the losses: every loss has one, their recipes load, their code runs, their links and pictures exist."""

import re
from pathlib import Path

import pytest
import torch

from lookalike import Recipe
from lookalike.losses import LOSSES, REGULARIZERS

FOLDER = Path(__file__).parent.parent / "docs" / "losses"
PAGES = sorted(FOLDER.glob("*.md"))


def blocks(language: str) -> list[tuple[str, str]]:
    found = [(page, re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)) for page in PAGES]
    return [(page.stem, block) for page, texts in found for block in texts]


@pytest.mark.parametrize(("page", "recipe"), blocks("toml"))
def test_recipes_load(page: str, recipe: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
    assert Recipe.load(tmp_path / "recipe.toml") != Recipe(), page


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_code_runs(page: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    exec(compile(code, page, "exec"), {})
    assert "nan" not in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_exist_and_pictures_are_small(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))
    files = [page.parent / target for target in targets if "://" not in target]
    assert files and [file for file in files if not file.exists()] == []
    assert max([file.stat().st_size for file in files if file.suffix == ".png"], default=0) < 60_000


def test_every_loss_has_a_page_that_names_its_class() -> None:
    text = {page.stem: page.read_text("utf-8") for page in PAGES}
    assert [name for name in LOSSES if f"`{LOSSES[name].__name__}`" not in text.get(name, "")] == []
    named = {word for page in text.values() for word in re.findall(r"`(\w+)`", page)}
    assert {*REGULARIZERS, *(kind.__name__ for kind in REGULARIZERS.values())} <= named
    assert [page.name for page in PAGES if page.stem != "README" and f"({page.name}" not in text["README"]] == []
