"""The demo, whole: drawn, trained twice, judged, indexed, asked; a second call repeats nothing."""

from pathlib import Path

import pytest

from lookalike import Match, Recipe
from lookalike.errors import CatalogError
from lookalike.recipes import demo


class Shown:
    """What a call showed and trained."""

    def __init__(self) -> None:
        self.results: list[demo.Results] = []
        self.answers: list[tuple[str, list[Match]]] = []
        self.trained: list[str] = []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """One epoch instead of many, and a count of trainings."""
    shown, load, train = Shown(), Recipe.load, demo.train
    monkeypatch.setattr(
        Recipe, "load", lambda name: load(name).override({"training.epochs": 1} if name == "demo" else {})
    )

    def counted(recipe: Recipe, *arguments: object) -> object:
        shown.trained.append(recipe.loss.name)
        return train(recipe, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "train", counted)
    return shown


def run(shown: Shown, folder: Path, products: int = 20) -> Path:
    return demo.run_demo(
        folder, products, 0, shown.results.append, lambda asked, found: shown.answers.append((asked, found))
    )


def test_the_demo_from_shop_to_answers(quick: Shown, tmp_path: Path) -> None:
    report = run(quick, tmp_path / "demo")
    (results,) = quick.results
    assert set(results["all"]) == {"untrained", "triplet", "adaptive_additive_softmax"}
    assert results["all"]["triplet"].num_queries == 8 * 8  # 8 of 20 products are for testing, 8 views each
    assert list(results["all"]["triplet"].recall_at) == [1, 4]
    assert len(quick.answers) == 3
    for asked, found in quick.answers:
        assert len(found) == 5
        assert Path(asked.split(" (")[0]).is_file()
    assert "price < 60" in quick.answers[2][0]
    assert all(match.attributes["price"] < 60 for match in quick.answers[2][1])
    assert report.read_text(encoding="utf-8").count("data:image/jpeg") > 50
    assert (tmp_path / "demo" / "neighbors.png").stat().st_size > 10_000

    first = [[match.item_id for match in found] for _, found in quick.answers]
    run(quick, tmp_path / "demo")
    assert quick.trained == ["triplet", "adaptive_additive_softmax"]  # not trained again
    assert [[match.item_id for match in found] for _, found in quick.answers[3:]] == first


def test_what_was_asked_is_not_in_stock(quick: Shown, tmp_path: Path) -> None:
    run(quick, tmp_path / "demo")
    for asked, found in quick.answers[:2]:
        assert all(match.score < 0.99999 for match in found), asked


def test_another_demo_is_not_touched(quick: Shown, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    with pytest.raises(CatalogError, match="is not empty, and no demo with"):
        run(quick, tmp_path / "demo")
    assert quick.trained == []
