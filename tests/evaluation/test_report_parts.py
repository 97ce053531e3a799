"""What a page shows, part by part, against plain loops and hand-made cases."""

import base64
import io
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image

from lookalike.evaluation import Protocol
from lookalike.evaluation import confusions as confusions_module
from lookalike.evaluation import maps as maps_module
from lookalike.evaluation.confusions import confusions
from lookalike.evaluation.curves import recall_curves, training_curves
from lookalike.evaluation.grids import grids
from lookalike.evaluation.histograms import BANDWIDTH, class_densities, similarities
from lookalike.evaluation.maps import layout, map_part, spread
from lookalike.evaluation.thumbnails import SHEET_COLUMNS, TILE_PX, Shown, sheets
from lookalike.losses.density import Groups, densities
from tests.evaluation.shops import COLORS, figures, shop

LABELS = np.array([0, 0, 1, 1, 2, 2])
EMBEDDINGS = np.array([[1, 0], [1, 0.1], [1, 0.15], [0.5, 1], [0, 1], [-1, 0.3]], dtype=np.float32)
ALL = Protocol("all", np.arange(6))
NAMES = ["a", "a", "b", "b", "c", "c"]


def blobs(classes: int, items: int, dim: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [N, D] that lie around as many centers, far from each other; and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), items)
    centers = np.eye(classes, dim)
    return (centers[labels] + 0.05 * rng.normal(size=(len(labels), dim))).astype(np.float32), labels


# Grids


def test_the_worst_queries_come_worst_first_and_the_best_best_first() -> None:
    result = figures(np.ones(6), LABELS)
    result.first_hit[:] = [1, 5, 2, 9, 3, 2**62]
    result.per_query["map_at_r"][:] = [1, 0.1, 0.6, 0, 0.5, 0]
    shown = Shown(shop(NAMES))
    found = grids(ALL, EMBEDDINGS, LABELS, result, shown)
    ids = [item["item_id"] for item in shown.items()]
    assert [ids[row["query"]] for row in found["worst"]] == [f"item-{number}" for number in (5, 3, 1, 4, 2, 0)]
    assert [ids[row["query"]] for row in found["best"]] == [f"item-{number}" for number in (0, 2, 4, 1, 3, 5)]
    assert sorted(row["query"] for row in found["random"]) == sorted(row["query"] for row in found["best"])


def test_a_row_holds_what_was_found_with_cosines_and_who_is_right() -> None:
    shown = Shown(shop(NAMES))
    found = grids(ALL, EMBEDDINGS, LABELS, ALL.judge(EMBEDDINGS, LABELS, [1]), shown)
    ids = [item["item_id"] for item in shown.items()]
    (row,) = [row for row in found["random"] if ids[row["query"]] == "item-1"]
    unit = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    nearest = sorted((-(unit[1] @ unit[other]), other) for other in (0, 2, 3, 4, 5))
    assert [ids[number] for number, _, _ in row["found"]] == [f"item-{other}" for _, other in nearest]
    assert [cosine for _, cosine, _ in row["found"]] == pytest.approx([-near for near, _ in nearest], abs=1e-4)
    assert [right for _, _, right in row["found"]] == [other == 0 for _, other in nearest]
    assert row["first_hit"] == 2  # though only the first was judged


def test_a_first_hit_beyond_what_was_looked_at_is_not_told() -> None:
    labels = np.array([0, *range(1, 12), 0])
    x = np.stack([np.cos(np.linspace(0, 1, 13)), np.sin(np.linspace(0, 1, 13))], axis=1).astype(np.float32)
    protocol, shown = Protocol("all", np.arange(13)), Shown(shop([str(label % 6) for label in labels]))
    ranks = [
        grids(protocol, x, labels, protocol.judge(x, labels, [k]), shown)["worst"][0]["first_hit"] for k in (1, 12)
    ]
    assert ranks == [None, 12]


# Confusions


def test_confused_pairs_are_counted_with_texts_and_examples() -> None:
    # The items of c lie on those of a, but one; b is apart.
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    x = np.array([[1, 0], [1, 0.5], [1, 1], [-1, 0], [-1, 0.1], [-1, 0.2], [1, 0.01], [1, 0.51], [0, -1]], np.float32)
    catalog = shop(list("aaabbbccc"), text=["red", "red", "rot", None, None, None, "pink", "pink", "rose"])
    protocol, shown = Protocol("all", np.arange(9)), Shown(catalog)
    result = protocol.judge(x, labels, [1])
    found = confusions(catalog, protocol, x, labels, result, shown)
    nearest = [
        (max((y @ z / np.linalg.norm(z), -other) for other, z in enumerate(x) if other != i)) for i, y in enumerate(x)
    ]
    pairs = [(int(labels[i]), int(labels[-other])) for i, (_, other) in enumerate(nearest)]
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    assert (found["wrong"], found["looked_at"], found["queries"]) == (len(wrong), len(wrong), 9) and len(wrong) > 3
    told = [(pair["wanted"]["name"], pair["answered"]["name"], pair["count"]) for pair in found["pairs"]]
    assert sorted(told) == sorted(("abc"[a], "abc"[b], wrong.count((a, b))) for a, b in set(wrong))
    assert [pair["count"] for pair in found["pairs"]] == sorted((count for *_, count in told), reverse=True)
    (of_c,) = [pair for pair in found["pairs"] if pair["wanted"]["name"] == "c"]
    assert of_c["wanted"]["texts"] == ["pink", "rose"] and of_c["answered"]["texts"] == ["red", "rot"]
    items = shown.items()
    assert of_c["queries"] == 3 and len(of_c["examples"]) == of_c["count"]
    assert all((items[a]["label"], items[b]["label"]) == ("c", "a") for a, b, _ in of_c["examples"])
    cosines = [cosine for *_, cosine in of_c["examples"]]
    assert cosines == sorted(cosines, reverse=True)


def test_of_very_many_wrong_answers_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusions_module, "LOOKED_AT", 2)
    catalog = shop(NAMES)
    result = ALL.judge(EMBEDDINGS, LABELS, [1])
    found = confusions(catalog, ALL, EMBEDDINGS, LABELS, result, Shown(catalog))
    assert found["wrong"] > 2 and found["looked_at"] == sum(pair["count"] for pair in found["pairs"]) == 2


# Similarities and densities


def test_similarities_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(700, 5)).astype(np.float32), rng.integers(0, 40, 700)
    found = similarities(x, labels)
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    cosines: dict[bool, list[float]] = {True: [], False: []}
    for i, j in combinations(range(700), 2):
        cosines[bool(labels[i] == labels[j])].append(float(unit[i] @ unit[j]))
    for name, same in (("same", True), ("different", False)):
        shares = np.histogram(cosines[same], 80, (-1, 1))[0] / len(cosines[same])
        # A cosine at the edge of a bin may fall to either side.
        assert np.abs(np.array(found[name]) - shares).sum() < 4 / len(cosines[same]) + 1e-4
        assert found[f"{name}_mean"] == pytest.approx(np.mean(cosines[same]), abs=1e-6)


def test_where_all_classes_have_one_item_no_pair_is_of_one_class() -> None:
    found = similarities(EMBEDDINGS, np.arange(6))
    assert (
        found["same"] is None and found["same_mean"] is None and sum(found["different"]) == pytest.approx(1, abs=1e-4)
    )
    assert class_densities(EMBEDDINGS, np.arange(6)) == {"classes": 0, "shares": None, "mean": None}


def test_densities_are_those_the_losses_mean() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 3)).astype(np.float32), rng.integers(0, 25, 60)
    groups = Groups.of(torch.from_numpy(labels))
    unit = torch.nn.functional.normalize(torch.from_numpy(x), dim=1)
    expected = densities(unit, groups, BANDWIDTH)[groups.several].numpy()
    found = class_densities(x, labels)
    assert found["classes"] == len(expected) < 25 and found["mean"] == pytest.approx(expected.mean(), abs=1e-6)
    assert found["shares"] == pytest.approx((np.histogram(expected, 25, (0, 1))[0] / len(expected)).tolist(), abs=1e-6)


# Curves


def test_recall_curves_go_through_the_figures() -> None:
    rng = np.random.default_rng(0)
    result = Protocol("all", np.arange(40)).judge(rng.normal(size=(40, 4)), rng.integers(0, 8, 40), [1, 5])
    (curve,) = recall_curves({"one": result})
    assert len(curve["values"]) == 5 and curve["values"] == sorted(curve["values"])
    assert (curve["values"][0], curve["values"][4]) == (result.recall_at[1], result.recall_at[5])
    assert [k for k, _, _ in curve["intervals"]] == [1, 5]
    assert curve["intervals"][1][1:] == list(result.interval("recall_at_5"))


def test_training_curves_hold_what_was_written_down() -> None:
    history = [
        {"epoch": 0, "validation": 0.5},
        {"epoch": 1, "terms": {"a": 2.0, "b": float("nan")}, "validation": 0.6},
        {"epoch": 2, "terms": {"a": 1.0, "b": 0.5}, "validation": 0.7},
        {"epoch": 2, "average": 0.99, "validation": 0.75},
        {"epoch": 2, "blend": 0.5, "validation": 0.8},
    ]
    found = training_curves(history, history[-1])
    assert found["validation"] == [[0, 0.5], [1, 0.6], [2, 0.7]]
    assert found["terms"] == {"a": [[1, 2.0], [2, 1.0]], "b": [[2, 0.5]]}
    assert (found["averages"], found["blends"]) == ([[2, 0.75]], [[0.5, 0.8]])
    assert found["best"] == {"epoch": 2, "validation": 0.8, "blend": 0.5, "average": None}
    assert training_curves([{"epoch": 0, "validation": None}], {"epoch": 0, "validation": None})["validation"] == []


# The map


def share_of_own_class_nearest(places: np.ndarray, labels: np.ndarray) -> float:
    away = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(away, np.inf)
    return float((labels[away.argmin(axis=1)] == labels).mean())


def test_what_is_near_in_space_is_near_on_the_map() -> None:
    x, labels = blobs(8, 30)
    places = layout(x)
    assert places.shape == (240, 2) and places.min() >= 0 and places.max() <= 1
    assert np.ptp(places, axis=0).max() == pytest.approx(1)
    assert share_of_own_class_nearest(places, labels) > 0.98
    assert np.array_equal(places, layout(x)) and not np.array_equal(places, layout(x, seed=1))


def test_of_many_items_most_are_put_among_the_nearest_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps_module, "LAID_OUT", 100)
    x, labels = blobs(8, 100)
    assert share_of_own_class_nearest(layout(x), labels) > 0.98


@pytest.mark.parametrize("x", [np.ones((6, 4)), np.eye(5), np.ones((7, 1)), np.repeat(np.eye(2), 4, axis=0)])
def test_every_catalog_has_a_layout(x: np.ndarray) -> None:
    places = layout(x.astype(np.float32))
    assert np.isfinite(places).all() and places.min() >= 0 and places.max() <= 1


def test_pictures_are_spread_over_the_map() -> None:
    crowd, apart = np.full((1000, 2), 0.5), np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    chosen = spread(np.concatenate([crowd, apart]), 9)
    assert len(set(chosen.tolist())) == 9 and set(chosen[:5].tolist()) > {1000, 1001, 1002, 1003}
    assert sorted(spread(apart, 99).tolist()) == [0, 1, 2, 3]


def test_a_map_holds_every_item_and_who_was_right() -> None:
    catalog = shop(NAMES, domain=["x", "y"] * 3)
    found = map_part(catalog, np.array([5, 0, 1, 2, 3]), EMBEDDINGS, {5: False, 0: True})
    assert found is not None
    assert found["ids"] == ["item-5", "item-0", "item-1", "item-2", "item-3"]
    assert [found["labels"]["names"][number] for number in found["labels"]["numbers"]] == ["c", "a", "a", "b", "b"]
    assert [found["domains"]["names"][number] for number in found["domains"]["numbers"]] == ["y", "x", "y", "x", "y"]
    assert found["right"] == [0, 1, 2, 2, 2] and found["texts"] is None
    places = np.frombuffer(base64.b64decode(found["places"]), "<u2").reshape(5, 2)
    assert np.ptp(places.astype(int), axis=0).max() == 65535
    assert sorted(found["pictured"]) == [0, 1, 2, 3, 4] and all(len(near) == 4 for near in found["alike"])
    # The most alike of item-0 (1, 0) is item-1 (1, 0.1).
    first = found["alike"][found["pictured"].index(1)][0]
    assert found["ids"][found["pictured"][first]] == "item-1"


def test_a_sheet_holds_each_picture_in_its_square() -> None:
    catalog = shop(["a", "b", "c"] * 20)
    rows = list(range(59, -1, -1))
    (url,) = sheets(catalog, rows)
    sheet = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    assert sheet.size == (SHEET_COLUMNS * TILE_PX, 2 * TILE_PX)
    for place in (0, 1, 31, 32, 59):
        left, top = place % SHEET_COLUMNS * TILE_PX, place // SHEET_COLUMNS * TILE_PX
        seen = np.asarray(sheet.crop((left + 4, top + 28, left + TILE_PX - 4, top + 36))).reshape(-1, 3)
        assert np.abs(np.median(seen, axis=0) - COLORS[rows[place] % 3]).max() < 12
