"""Thumbs up and down as pairs to train on: read, brought into every batch, and heard."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F

from lookalike import Catalog, Recipe, train
from lookalike.catalog.boutique import draw_boutique
from lookalike.errors import RecipeError
from lookalike.losses import TripletLoss, WeightedSum
from lookalike.recipes.feedback import (
    FeedbackBatches,
    FeedbackLoss,
    FeedbackPairs,
    pairs_among,
    read_feedback,
    with_feedback,
)
from lookalike.training.inputs import FeatureInputs
from lookalike.training.items import TrainingItems

IDS = ["a", "b", "c", "d"]


def write(path: Path, *opinions: tuple[str, str, bool], **more: Any) -> Path:
    lines = [json.dumps({"query_item_id": one, "item_id": other, "good": good} | more) for one, other, good in opinions]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_the_majority_counts_and_ties_say_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opinions = [
        ("a", "b", True),
        ("b", "a", True),
        ("a", "b", False),
        ("c", "a", False),
        ("c", "d", True),
        ("d", "c", False),
    ]
    opinions += [("a", "held out", True), ("x", "y", False), ("b", "b", True)]
    path = write(tmp_path / "said.jsonl", *opinions, time="2026-01-01", score=0.5)
    with path.open("a") as file:
        file.write('{"item_id": "a", "good": true, "words": "red"}\n{"item_id": "b", "good": true, "picture": "0"}\n')
    assert read_feedback(path) == opinions
    pairs = pairs_among(read_feedback(path), IDS)
    assert pairs.liked.tolist() == [[0, 1]]
    assert pairs.disliked.tolist() == [[0, 2]]
    assert "9 opinions, of training items 1 liked pairs, 1 not" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"item_id": "a", "good": true, "query_item_id": "b"}\nnonsense\n', "line 2: 'nonsense' is no feedback"),
        ('{"item_id": "a"}\n', "line 1"),
        ('{"item_id": "a", "good": 1}\n', "line 1"),
        ("[1]\n", "line 1"),
        ('{"item_id": "a", "good": true, "words": "red"}\n', "none of the 1 lines"),
        ("", "none of the 0 lines"),
    ],
)
def test_files_that_are_no_feedback(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "said.jsonl").write_text(content)
    with pytest.raises(RecipeError, match=said):
        read_feedback(tmp_path / "said.jsonl")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_feedback(tmp_path / "nowhere.jsonl")
    with pytest.raises(RecipeError, match="nothing to learn from"):
        pairs_among([("x", "y", True)], IDS)


@dataclass
class Plain:
    """Ten batches of two rows."""

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        yield from np.arange(20).reshape(10, 2)

    def __len__(self) -> int:
        return 10


def test_every_batch_ends_with_pairs_and_every_pair_comes() -> None:
    liked = np.stack([np.arange(100, 140), np.arange(200, 240)], axis=1)
    pairs = FeedbackPairs(liked, np.array([[300, 400], [301, 401]]))
    batches = FeedbackBatches(Plain(), pairs, seed=3)
    first = list(batches.epoch(1))
    assert len(first) == len(batches) == 10
    seen: set[tuple[int, ...]] = set()
    for plain, rows in zip(Plain().epoch(1), first, strict=True):
        assert rows.dtype == np.int64
        assert rows[:2].tolist() == plain.tolist()
        drawn = rows[2:].reshape(-1, 2)
        assert len(drawn) == 18
        assert (drawn[:16, 0] < 200).all()
        assert (drawn[16:, 0] >= 300).all()
        assert (drawn[:, 1] - drawn[:, 0] == 100).all()
        seen |= {tuple(pair) for pair in drawn.tolist()}
    assert len(seen) == 42
    assert all((one == other).all() for one, other in zip(first, batches.epoch(1), strict=True))
    assert any((one != other).any() for one, other in zip(first, batches.epoch(2), strict=True))


@pytest.mark.parametrize(("num_liked", "num_disliked"), [(2, 3), (0, 2), (3, 0)])
def test_the_loss_is_what_its_formula_says(num_liked: int, num_disliked: int) -> None:
    torch.manual_seed(0)
    now, start = torch.randn(2, 14, 5, dtype=torch.float64)
    total = 0.0
    count = num_liked + num_disliked
    for place in range(count):
        first, second = 14 - 2 * count + 2 * place, 14 - 2 * count + 2 * place + 1
        s, before = (float(F.cosine_similarity(x[first], x[second], dim=0)) for x in (now, start))
        total += max(0, min(1, before + 0.2) - s) if place < num_liked else max(0, s - max(-1, before - 0.2))
    loss = FeedbackLoss(num_liked, num_disliked)
    assert loss(now, start_embeddings=start).item() == pytest.approx(total / count, abs=1e-12)
    now = now.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, start_embeddings=start), now)


def test_the_loss_is_added_to_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "said.jsonl", ("a", "b", True))
    recipe = Recipe.load("default").override({"loss.name": "triplet", "training.feedback": str(path)})
    catalog = Catalog(pa.table({"item_id": IDS, "image": [b""] * 4}))
    items = TrainingItems(FeatureInputs(np.zeros((4, 2))), Plain(), np.zeros(4, np.int64))
    x, labels = torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 0, 0])
    alone, changed = with_feedback(recipe, catalog, TripletLoss(), items)
    two = WeightedSum({"a": (2.0, TripletLoss()), "b": (3.0, TripletLoss())})
    assert alone.terms(x, labels, start_embeddings=x).keys() == {"triplet.triplet", "feedback.feedback"}
    assert with_feedback(recipe, catalog, two, items)[0].weights == {"a": 2.0, "b": 3.0, "feedback": 1.0}
    assert [rows.tolist()[2:] for rows in changed.batches.epoch(1)] == [[0, 1]] * 10


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return Catalog(draw_boutique(24, views=6, size_px=48), "shop")


def test_planted_feedback_changes_what_is_found(shop: Catalog, tmp_path: Path) -> None:
    """Items of two classes that were liked together end nearer than without feedback, those disliked further apart."""
    settings = {"encoder.backbone": "test_resnet", "encoder.pretrained": False, "encoder.image_size": 32}
    settings |= {"encoder.dim": 16, "training.epochs": 15, "training.validation_share": 0}
    settings |= {"training.classes_per_batch": 4}
    recipe = Recipe.load("default").override(settings)
    trained = shop.where(split="train")
    labels = trained.column("label")
    by_label = {label: [row for row, one in enumerate(labels) if one == label] for label in sorted(set(labels))}
    rows = list(by_label.values())
    liked, disliked = (rows[0], rows[1]), (rows[2], rows[2])
    ids = trained.column("item_id")
    opinions = [(ids[one], ids[other], True) for one, other in zip(*liked, strict=False)]
    opinions += [(ids[one], ids[other], False) for one, other in zip(disliked[0], disliked[1][1:], strict=False)]
    path = write(tmp_path / "said.jsonl", *opinions)

    def cosines(run: Any) -> tuple[float, float]:
        x = run.encoder.embed([trained.image(row) for row in range(len(trained))])
        return tuple(
            float(np.mean([x[one] @ x[other] for one, other in zip(first, second, strict=False)]))
            for first, second in (liked, (disliked[0], disliked[1][1:]))
        )  # type: ignore[return-value]

    plain = cosines(train(recipe, shop, tmp_path / "plain"))
    heard = cosines(train(recipe.override({"training.feedback": str(path)}), shop, tmp_path / "heard"))
    assert heard[0] > plain[0] + 0.05
    assert heard[1] < plain[1] - 0.05


def test_a_missing_file_is_refused_at_once(shop: Catalog, tmp_path: Path) -> None:
    recipe = Recipe.load("default").override({"training.feedback": str(tmp_path / "nowhere")})
    with pytest.raises(RecipeError, match="cannot be read"):
        train(recipe, shop, tmp_path / "run")
    assert not (tmp_path / "run").exists()
