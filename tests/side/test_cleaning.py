"""Clean-up: each step takes out what it names, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import SideError
from lookalike.side import Cleaning
from lookalike.side.cleaning import (
    CLEANING,
    STEPS,
    find_brands,
    without_brands,
    without_codes,
    without_html,
    without_sizes,
    words,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red T-Shirt, 100% cotton!", ["red", "t", "shirt", "100", "cotton"]),
        ("slim_fit __label__bag", ["slim", "fit", "label", "bag"]),
        ("Été ÉTÉ e\u0301te\u0301", ["été", "été", "été"]),  # composed or not, one word
        ("красная сумка 红色 包", ["красная", "сумка", "红色", "包"]),
        ("a\0b\nc\td", ["a", "b", "c", "d"]),
        ("\U0001f45c\U0001f45c !?", []),
        ("  ", []),
        ("", []),
        (None, []),
    ],
)
def test_words(text: str | None, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>Salt &amp; pepper</b><br/>mill", "Salt & pepper mill"),
        ("<script>alert('<b>')</script>red<!-- > --> boot", "red boot"),
        ("a < b and c > d", "a < b and c > d"),
        ("Black & White", "Black & White"),
        ("I <3 you", "I <3 you"),
        ("caf&eacute;&nbsp;set", "café set"),
        ("plain  text", "plain  text"),
    ],
)
def test_html(text: str, expected: str) -> None:
    assert without_html(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wool sock EU 42, pack of 3", "wool sock"),
        ("Size: XL coat", "coat"),
        ("Frame 10 x 15 cm oak", "frame oak"),
        ("Perfume 75ml 2.5 oz", "perfume"),
        ("Eggplant of 15-20 cm", "eggplant of"),
        ("Shirt M", "shirt"),
        ("Shirt XXL blue 3XL", "shirt blue"),
        ("H&M S.Oliver LEVI'S m s l", "h m s oliver levi s m s l"),
        ("2 in 1 bag with 3 pockets", "2 in 1 bag with 3 pockets"),
        ("20 grams", "20 grams"),
    ],
)
def test_sizes(text: str, expected: str) -> None:
    assert " ".join(words(without_sizes(text))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Desk lamp AB-1234X in steel", "desk lamp in steel"),
        ("Watch PL12698JS", "watch"),
        ("shoe 12345678", "shoe"),
        ("iPhone13 3-pack 100-cotton 1999 MX5", "iphone13 3 pack 100 cotton 1999 mx5"),
        ("BLACK T-SHIRT", "black t shirt"),
    ],
)
def test_codes(text: str, expected: str) -> None:
    assert " ".join(words(without_codes(text))) == expected


def shop_of_brands() -> list[str]:
    kinds = ["shirt", "boot", "bag", "dress", "watch"]
    colors = ["red", "blue", "green", "black", "white"]
    texts = [f"{brand} {color} {kind}" for brand in ("Puma", "Peter England") for color in colors for kind in kinds]
    return texts + [f"{color} {kind} of wool" for color in colors for kind in kinds]


def test_brands_are_what_begins_many_texts_and_stands_nowhere_else() -> None:
    assert find_brands(shop_of_brands()) == {"puma", "peter", "england"}
    assert find_brands([*shop_of_brands(), *(f"shoe number {n} for a puma" for n in range(3))]) == {
        "peter",
        "england",
    }
    assert find_brands(shop_of_brands()[::5]) == frozenset()
    assert find_brands([None, ""]) == frozenset()


def test_a_brand_is_dropped_at_the_beginning_only() -> None:
    brands = frozenset({"puma", "peter", "england"})
    assert without_brands("Peter England red shirt by Puma", brands) == "red shirt by Puma"
    assert without_brands("PUMA", brands) == "PUMA"
    assert without_brands("!!", brands) == "!!"


def test_the_steps_are_learned_and_used_together() -> None:
    cleaning = Cleaning.learn(STEPS, [f"<i>{text}</i> AB123{row}" for row, text in enumerate(shop_of_brands())])
    assert cleaning.brands == {"puma", "peter", "england"}
    assert words(cleaning("<p>Peter England blue shirt XL 99887</p>")) == ["blue", "shirt"]
    assert cleaning(None) is None
    assert Cleaning.learn(["html"], shop_of_brands()).brands == frozenset()
    assert Cleaning()("<b>stays</b>") == "<b>stays</b>"


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(SideError, match=r"there is no clean-up step 'size'. Did you mean 'sizes'"):
        Cleaning(("size",))


@given(st.text(max_size=80))
def test_no_step_adds_words(text: str) -> None:
    for step, clean in CLEANING.items():
        if step != "html":  # which reads &eacute; as é
            assert len(clean(text)) <= len(text)
    assert len(without_brands(text, frozenset(words(text)))) <= len(text)
