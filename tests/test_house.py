"""The house keeps its rules: the map, the layers, light imports, small files, and no test that asserts nothing."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lookalike

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "lookalike"
ROOMS = sorted(folder.name for folder in SOURCE.iterdir() if (folder / "__init__.py").exists())


def heavy_modules_after(code: str) -> set[str]:
    """Which heavy modules a fresh interpreter has loaded after `code`."""
    report = "; import sys; print([m for m in ('torch', 'timm', 'lancedb', 'torchvision') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(result.stdout.strip().splitlines()[-1]))


def silent_tests(source: str) -> list[str]:
    """Names of the test functions in which nothing is asserted and nothing is expected to raise."""

    def speaks(node: ast.AST) -> bool:
        if isinstance(node, ast.Assert):
            return True
        if not isinstance(node, ast.Call):
            return False
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name in {"raises", "gradcheck", "gradgradcheck"} or name.startswith(("assert_", "check"))

    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    tests = [node for node in functions if node.name.startswith("test_")]
    return [test.name for test in tests if not any(speaks(node) for node in ast.walk(test))]


def test_the_map_names_every_room() -> None:
    assert lookalike.__doc__ is not None
    named = {line.split()[0] for line in lookalike.__doc__.splitlines() if line.startswith("    ")}
    assert named == set(ROOMS)


def test_every_room_has_a_layer() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {name.strip() for layer in layers for name in layer.split("|")}
    assert placed == {*ROOMS, "__main__", "errors", "files", "progress"}


@pytest.mark.parametrize("name", lookalike.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(lookalike, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Katalog'"):
        lookalike.Katalog  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import lookalike",
        "import lookalike.catalog.check, lookalike.catalog.boutique",
        "import lookalike.cli",
        "import lookalike.index; lookalike.index.ExactIndex",
    ],
)
def test_imports_without_torch(code: str) -> None:
    assert "torch" not in heavy_modules_after(code)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['lookalike', 'train', '--help']\n"
        "from lookalike.cli import main\n"
        "try: main()\nexcept SystemExit: pass\npass"
    )
    assert heavy_modules_after(code) == set()


def test_the_import_test_can_fail() -> None:
    assert "torch" in heavy_modules_after("import lookalike.losses")


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("file", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda file: file.name)
def test_no_test_is_silent(file: Path) -> None:
    assert silent_tests(file.read_text(encoding="utf-8")) == []


def test_the_silent_test_finder_can_fail() -> None:
    assert silent_tests("def test_nothing():\n    x = 1 == 2\n") == ["test_nothing"]
    assert silent_tests("def test_something():\n    assert 1 == 1\n") == []


def test_a_machine_without_a_browser_runs_all_other_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests/service"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "test_search.py" in done.stdout and "test_page.py::" not in done.stdout


def test_no_pickle_in_the_source() -> None:
    loaders = ("import pickle", "torch.load", "joblib.load", "allow_pickle=True")
    found = [file.name for file in SOURCE.rglob("*.py") for word in loaders if word in file.read_text(encoding="utf-8")]
    assert found == []


def test_nothing_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    words = ("/" + "work/", "/" + "root/", "--index" + "-url", "pypi" + ".org")
    texts = {name: (ROOT / name).read_bytes() for name in listed if (ROOT / name).is_file()}
    assert len(texts) > 50
    assert [name for name, text in texts.items() for word in words if word.encode() in text] == []
