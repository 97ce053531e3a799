"""What was published beside what came out: figures, verdicts, and estimates."""

import math

import pytest

from lookalike import Recipe
from lookalike.errors import RecipeError
from lookalike.evaluation.seeds import Compared, estimate
from lookalike.recipes.compare import FROZEN, Comparison
from lookalike.recipes.reproduce import (
    SINGLE,
    Outcome,
    Row,
    Table,
    least_hours,
    operations,
    outcomes,
    table_names,
    to_dict,
    training_pictures,
)

ROW = Row(recipe="papers/cub200_proxynca_resnet50", method="m", published={1: 69.0, 2: 79.0}, source="s", frozen=45.5)


def compared(*values: float) -> Compared:
    return Compared(dict(enumerate(values)), estimate(values), None, False)


def outcome(*values: float, published: float | None = 69.0, of: str = "") -> Outcome:
    return Outcome(ROW.model_copy(update={"of": of}), 1, compared(*values), 45.0, published, len(values))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (outcome(0.69), SINGLE),
        (outcome(0.75), SINGLE),  # however good
        (outcome(0.75, published=None), SINGLE),
        (outcome(0.689, 0.691, 0.692), "reproduced"),
        (outcome(0.688, 0.690, 0.689), "reproduced"),  # 68.9, rounded to a tenth
        (outcome(0.685, 0.689, 0.686), "reproduced"),  # 68.7 ± 0.5
        (outcome(0.66, 0.71, 0.69), "undecided: give more seeds"),  # 68.7 ± 6.3
        (outcome(0.60, 0.70), "undecided: give more seeds"),
        (outcome(0.75, 0.76, 0.75), "reproduced"),
        (outcome(0.66, 0.66, 0.66), "missed by 3.0 at least"),
        (outcome(0.60, 0.61, 0.62), "missed by 5.5 at least"),  # 61.0 ± 2.5
        (outcome(0.69, 0.70, published=None), "nothing published to stand beside"),
        (outcome(0.60, 0.61, of="HIER"), "beside HIER"),
    ],
)
def test_what_may_be_said(found: Outcome, verdict: str) -> None:
    assert found.verdict == verdict


def test_the_difference_is_in_points() -> None:
    assert outcome(0.70, 0.71).difference == pytest.approx(1.5)
    assert outcome(0.70, published=None).difference is None


def test_the_rows_of_a_table_find_their_figures() -> None:
    """The first protocol counts, each K beside its own; a row that was not done is left out."""
    other = Row(recipe="papers/cub200_proxy_anchor_resnet50", method="m")
    lost = Row(recipe="papers/cub200_proxy_anchor_vit_small", method="m")
    table = Table(data="cub200", rows=[ROW, other, lost])
    recipes = table.recipes
    done = {ROW.name: compared(0.7, 0.72), other.name: compared(0.5, 0.52)}
    frozen = {f"{FROZEN} of {ROW.name}": compared(0.4, 0.4)}
    figures = {f"recall_at_{k}": {**frozen, **done} for k in (1, 2, 4, 8)}
    found = outcomes(
        table,
        Comparison(recipes, [0, 1], {"cub200": {"all": figures, "street -> studio": {}}}, {}, {"x": "lost"}),
    )
    assert [(one.row.name, one.k) for one in found] == [(n, k) for n in (ROW.name, other.name) for k in (1, 2, 4, 8)]
    assert [one.published for one in found] == [69.0, 79.0] + [None] * 6
    assert found[0].frozen == pytest.approx(40) and found[4].frozen is None
    stored = to_dict(found)[1]
    assert stored["ours"]["mean"] == pytest.approx(0.71) and stored["verdict"] == "undecided: give more seeds"
    assert stored["published"] == 79.0 and stored["difference"] == pytest.approx(-8)
    assert stored["recipe"] == ROW.recipe and stored["k"] == 2


def test_what_compares_one_frozen_backbone_is_one() -> None:
    """Proxy Anchor's head has no LayerNorm, which the backbone's features do not know."""
    table = Table.load("cub200")
    settings = {name: recipe.encoder.of_backbone for name, recipe in table.recipes.items()}
    assert settings["cub200_proxy_anchor_deit_small"] == settings["cub200_contrastive_deit_small"]
    assert settings["cub200_proxy_anchor_deit_small"] != settings["cub200_proxy_anchor_vit_small"]


def test_tables_by_name_and_rows_by_part() -> None:
    assert table_names() == ["cars196", "cub200", "inshop", "sop", "studio_street"]
    assert [row.name for row in Table.load("sop").only("resnet50").rows] == [
        "sop_proxynca_resnet50",
        "sop_normalized_softmax_resnet50",
    ]
    with pytest.raises(RecipeError, match=r"there is no table 'cub'. Did you mean 'cub200'"):
        Table.load("cub")
    with pytest.raises(RecipeError, match=r"no recipe of sop has 'vgg' in its name; there are sop_soft_orthogonal"):
        Table.load("sop").only("vgg")


def test_hours_are_arithmetic() -> None:
    """DeiT-S: 4.6 thousand million multiplications with additions for a picture, as its paper says; 11,500 a second."""
    assert operations("deit_small_patch16_224", 224) == pytest.approx(2 * 4.6e9, rel=0.02)
    recipe = Recipe.load("papers/sop_proxy_anchor_vit_small")
    assert training_pictures("sop") == 59_551
    assert least_hours(recipe, 59_551) == pytest.approx(150 * 59_551 / 11_500 / 3600, rel=0.02)
    assert training_pictures("studio_street") is None


def test_equal_seeds_have_no_interval_and_are_compared_by_their_mean() -> None:
    assert math.isnan(outcome(0.69, 0.69).ours.over_seeds.high)
    assert outcome(0.69, 0.69).verdict == "reproduced"
