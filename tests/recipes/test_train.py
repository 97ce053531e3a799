"""A whole run through the library: what it trains on, what it may not see, and what it says."""

import json
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike import Catalog, Recipe, Run, evaluate, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.encoders import Encoder
from lookalike.errors import CatalogError, TrainingError
from lookalike.recipes.build import build_encoder, frozen_encoder, with_image_size
from lookalike.recipes.data import RunData, labeled_items, prepare
from lookalike.training.resume import Checkpoints
from lookalike.training.run import begun
from lookalike.training.state import Tree

TINY = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32, "encoder.dim": 16}


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(24, views=6, size_px=48), "shop")


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.load("default").override(TINY | {"training.epochs": 2})


def prepared(recipe: Recipe, catalog: Catalog) -> tuple[RunData, Encoder]:
    encoder = build_encoder(recipe.encoder)
    return prepare(recipe, labeled_items(recipe, catalog), encoder), encoder


def test_training_validation_and_test_share_no_class(recipe: Recipe, shop: Catalog) -> None:
    data, _ = prepared(recipe, shop)
    parts = [set(data.labels[mask]) for mask in (data.training, data.validation, data.test)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == 24
    assert (data.training.astype(int) + data.validation + data.test == 1).all()
    assert {shop.column("split")[row] for row in np.flatnonzero(data.test)} == {"test"}


def test_choosing_the_weights_never_sees_a_test_item(recipe: Recipe, shop: Catalog) -> None:
    data, _ = prepared(recipe, shop)
    protocols = data.validation_protocols()
    assert any("of all classes" in protocol.name for protocol in protocols)  # else this shows nothing
    assert not any(data.test[protocol.rows].any() for protocol in protocols)
    assert any(data.training[protocol.rows].any() for protocol in data.test_protocols())


def test_a_split_with_validation_items_is_not_mixed_up(recipe: Recipe, shop: Catalog) -> None:
    labels, splits = shop.column("label"), shop.column("split")
    spare = sorted({label for label, split in zip(labels, splits, strict=True) if split == "train"})[0]
    marked = ["validation" if label == spare else split for label, split in zip(labels, splits, strict=True)]
    table = shop.table.set_column(shop.table.column_names.index("split"), "split", [marked])
    data, _ = prepared(recipe, Catalog(table))
    assert {labels[row] for row in np.flatnonzero(data.validation)} == {spare}
    assert not any(labels[row] == spare for row in np.flatnonzero(data.training))


def test_the_table_is_refused_before_weights_are_fetched(
    recipe: Recipe, shop: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(settings: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(import_module("lookalike.recipes.train"), "build_encoder", fetched)
    with pytest.raises(CatalogError, match="has no labels"):
        train(recipe, Catalog(shop.table.drop_columns(["label"])), tmp_path / "run")
    with pytest.raises(AssertionError, match="fetched"):
        train(recipe, shop, tmp_path / "run")


def test_a_run_can_be_opened_again(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    made = train(recipe, shop, tmp_path / "run")
    opened = Run.load(tmp_path / "run")
    assert opened.metrics == json.loads(json.dumps(made.metrics))
    assert opened.encoder.fingerprint == made.encoder.fingerprint == made.metrics["fingerprint"]
    assert Recipe.load(tmp_path / "run" / "recipe.toml") == recipe
    expected = made.metrics["test"]["all"]["trained"]["recall_at_1"]
    assert evaluate(opened.encoder, shop).recall_at[1] == pytest.approx(expected)


def test_the_frozen_baseline_of_a_run_can_be_built_again(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    made = train(recipe.override({"training.tune_backbone": True}), shop, tmp_path / "run")
    frozen = frozen_encoder(tmp_path / "run")
    assert frozen is not None
    assert frozen.backbone_fingerprint != made.encoder.backbone_fingerprint  # it was tuned
    expected = made.metrics["test"]["all"]["frozen"]["recall_at_1"]
    assert evaluate(frozen, shop).recall_at[1] == pytest.approx(expected)


def test_the_weights_kept_are_those_with_the_best_score(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    made = train(recipe.override({"training.epochs": 4}), shop, tmp_path / "run")
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert made.metrics["best"]["validation"] == max(row["validation"] for row in history)


def test_the_report_stands_alone(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    train(recipe, shop, tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "http:" not in page and "https:" not in page
    assert page.count("data:image/jpeg;base64") > 20
    assert "Recall@1" in page
    assert "frozen backbone" in page


def test_no_run_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no run in"):
        Run.load(tmp_path)


def test_the_image_size_follows_small_pictures(shop: Catalog) -> None:
    settings = Recipe().override({"encoder.backbone": "mobilenetv2_100"})
    assert with_image_size(settings, shop).encoder.image_size == 96  # pictures of 48 px; never below 96
    assert with_image_size(settings.override({"encoder.image_size": 64}), shop).encoder.image_size == 64
    large = Catalog(draw_boutique(8, views=2, size_px=140))
    assert with_image_size(settings, large).encoder.image_size == 160
    fixed = settings.override({"encoder.backbone": "deit_tiny_patch16_224"})
    assert with_image_size(fixed, shop).encoder.image_size == 224


def terms_by_epoch(run: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [row["terms"] for row in rows if "terms" in row]


def test_a_composition_is_trained(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    recipe = recipe.override({"loss.plus.proxy_orthogonality.weight": 0.5, "loss.plus.density.max_density": 0.3})
    train(recipe, shop, tmp_path / "run")
    assert Recipe.load(tmp_path / "run" / "recipe.toml") == recipe
    first, last = terms_by_epoch(tmp_path / "run")
    names = ("normalized_softmax.softmax", "proxy_orthogonality.orthogonality", "density.density", "kept.similarity")
    assert all(last[name] >= 0 for name in names)
    assert last["normalized_softmax.softmax"] < first["normalized_softmax.softmax"]


@pytest.mark.parametrize("name", ["pml.MultiSimilarityLoss", "pml.SoftTripleLoss"])
def test_a_loss_of_another_library_is_trained(name: str, recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    recipe = recipe.override(
        {"loss.name": name, "loss.distance.name": "CosineSimilarity", "training.epochs": 6}  # one is too few to see it
    )
    train(recipe, shop, tmp_path / "run")
    assert Recipe.load(tmp_path / "run" / "recipe.toml") == recipe
    first, *_, last = terms_by_epoch(tmp_path / "run")
    term = f"{name.removeprefix('pml.')}.pml"
    assert 0 < last[term] < first[term]


def test_a_batch_of_single_pictures_is_for_losses_with_a_class_table(
    recipe: Recipe, shop: Catalog, tmp_path: Path
) -> None:
    single = recipe.override({"training.images_per_class": 1, "training.epochs": 1})
    with pytest.raises(TrainingError, match=r"pml\.CircleLoss compares pictures of one class"):
        train(single.override({"loss.name": "pml.CircleLoss"}), shop, tmp_path / "pairs")
    run = train(single.override({"loss.name": "pml.ArcFaceLoss"}), shop, tmp_path / "table")
    assert run.metrics["loss"] == "pml.ArcFaceLoss"


class Stopped(BaseException):
    """The process is gone."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the process end after so many checkpoints; 0: never."""
    write = Checkpoints.write

    def choose(writes: int) -> None:
        left = [writes]

        def stopping(self: Checkpoints, tree: Tree) -> None:
            write(self, tree)
            left[0] -= 1
            if left[0] == 0:
                raise Stopped

        monkeypatch.setattr(Checkpoints, "write", stopping)

    return choose


def without_seconds(run: Path) -> tuple[dict[str, object], list[dict[str, object]]]:
    metrics = json.loads((run / "metrics.json").read_text())
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    for part in (metrics, metrics["best"], *rows):
        part.pop("seconds", None)
    return metrics, rows


def test_a_stopped_run_is_gone_on_with(
    recipe: Recipe,
    shop: Catalog,
    tmp_path: Path,
    stop_after: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = recipe.override({"training.checkpoint_minutes": 0, "training.classes_per_batch": 3})
    whole = train(recipe, shop, tmp_path / "whole")
    stop_after(4)
    with pytest.raises(Stopped):
        train(recipe, shop, tmp_path / "run")
    kept = (tmp_path / "run" / "history.jsonl").read_text()
    (tmp_path / "run" / "history.jsonl").write_text(kept + '{"epoch": 1, "validat')  # half a line, after the checkpoint
    stop_after(0)
    capsys.readouterr()
    again = train(recipe.override({"training.checkpoint_minutes": 5}), shop, tmp_path / "run")
    said = capsys.readouterr().err
    assert "holds this run, not finished: going on with it" in said
    assert "going on at epoch 1, after 3 of its steps" in said
    assert again.encoder.fingerprint == whole.encoder.fingerprint
    assert without_seconds(tmp_path / "run") == without_seconds(tmp_path / "whole")
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
        "encoder", "history.jsonl", "metrics.json", "panels", "recipe.toml", "report.html",
    ]  # fmt: skip


def test_only_the_same_run_is_gone_on_with(
    recipe: Recipe, shop: Catalog, tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    run = tmp_path / "run"
    stop_after(1)
    with pytest.raises(Stopped):
        train(recipe, shop, run)
    before = sorted((file.name, file.stat().st_mtime_ns) for file in run.rglob("*"))
    longer, sharper = recipe.override({"training.epochs": 3}), recipe.override({"loss.scale": 30})
    others = {
        r"training\.epochs is 2 there and 3 here\. The same recipe": (longer, shop, True),
        r"loss\.scale is 20\.0 there and 30 here": (sharper, shop, True),
        r"another one: the catalog has changed\.": (recipe, shop.take(range(140)), True),
        r"judge_test is True there and False here": (recipe, shop, False),
        r"seed is 0 there and 1 here; the backbone has changed\.": (recipe.override({"training.seed": 1}), shop, True),
    }
    for said, (other, catalog, judge_test) in others.items():
        with pytest.raises(TrainingError, match=said):
            train(other, catalog, run, judge_test=judge_test)
    with begun(tmp_path / "held", {}), pytest.raises(TrainingError, match="another process is at work in"):
        train(recipe, shop, tmp_path / "held")
    assert sorted((file.name, file.stat().st_mtime_ns) for file in run.rglob("*")) == before
    shutil.rmtree(run / "checkpoints")  # of an old version, or somebody's
    with pytest.raises(TrainingError, match="is not empty; a run is never overwritten"):
        train(recipe, shop, run)


def test_fixed_queries_are_drawn_while_it_trains(recipe: Recipe, shop: Catalog, tmp_path: Path) -> None:
    recipe = recipe.override({"training.epochs": 21})
    train(recipe, shop, tmp_path / "run", judge_test=False)
    panels = sorted((tmp_path / "run" / "panels").iterdir())
    assert [file.name for file in panels] == [f"epoch_{epoch:03d}.jpg" for epoch in range(0, 22, 3)]
    first, last = (Image.open(file) for file in (panels[0], panels[-1]))
    assert first.size == last.size
    # The queries, at the left, are the same; what they find is not.
    step, rows = first.size[0] // 7, first.size[1]
    columns = [(0, 0, step - 10, rows), (step + 10, 0, *first.size)]
    assert [first.crop(box).tobytes() == last.crop(box).tobytes() for box in columns] == [True, False]
    assert max(file.stat().st_size for file in panels) < 200_000


def test_without_validation_classes_a_collapse_is_looked_for_among_the_training_items(
    recipe: Recipe, shop: Catalog, tmp_path: Path
) -> None:
    train(recipe.override({"training.validation_share": 0}), shop, tmp_path / "run", judge_test=False)
    rows = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [row["validation"] for row in rows] == [None, None, None]
    assert all(-0.1 < row["mean_cosine"] < 0.9 and row["effective_rank"] > 3 for row in rows)
    assert not (tmp_path / "run" / "panels").exists()
