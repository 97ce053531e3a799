from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import FilterError
from lookalike.index import ExactIndex, LanceIndex
from lookalike.index.filters import MAX_CONDITIONS, MAX_LENGTH, compile_filter

Row = dict[str, Any]
Meaning = Callable[[Row], bool | None]

COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "whole": (pa.int64(), [None, 0, 1, -1, 2, 3, 50, 2**53 + 1, 2**63 - 1, -(2**63) + 1]),
    "Other": (pa.int64(), [None, 0, 1, 2, 50, -7, 2**53]),
    "number": (pa.float64(), [None, 0.0, 0.1, -0.1, 2.0, 2.5, 1e300, -1e300, 1e-300, float("inf"), float("-inf")]),
    "text": (pa.string(), [None, "", "a", "A", "ab", "a%b", "a_b", "a\\b", "it's", 'say "x"', "naïve", "a\nb", "日本"]),
    'Odd "Name': (pa.string(), [None, "red", "blue", "a", "' or 1=1 --"]),
    "color": (pa.string(), [None, "red", "blue"]),
    "sold": (pa.bool_(), [None, True, False]),
    "day": (pa.date32(), [None, date(2024, 2, 29), date(1969, 12, 31), date(2026, 1, 1)]),
    "moment": (
        pa.timestamp("us"),
        [None, datetime(2024, 2, 29, 12, 30, 0, 1), datetime(1969, 12, 31), datetime(2026, 1, 1)],
    ),
}
NUMBERS = ("whole", "Other", "number")
TEXTS = ("text", 'Odd "Name', "color")
NUM_ROWS = 240


def _values(column: str) -> list[Any]:
    values = COLUMNS[column][1]
    order = np.random.default_rng(list(column.encode())).integers(0, len(values), NUM_ROWS)
    return [values[number] for number in order]


TABLE = pa.table({name: pa.array(_values(name), kind) for name, (kind, _) in COLUMNS.items()})
ROWS: list[Row] = TABLE.to_pylist()
SCHEMA = TABLE.schema


@pytest.fixture(scope="module", params=["plain", "indexed"])
def indexes(
    request: pytest.FixtureRequest, make_rows: Callable[..., pa.Table], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    rows = make_rows([f"{number:03}" for number in range(NUM_ROWS)], **{name: TABLE.column(name) for name in COLUMNS})
    exact, lance = ExactIndex(4), LanceIndex.create(tmp_path_factory.mktemp("filters"), 4)
    for index in (exact, lance):
        index.add(rows)
    if request.param == "indexed":  # the columns; so few rows are read through for their vectors
        lance.optimize(approximate=True)
    return exact, lance


def chosen(index: Any, where: str) -> set[int]:
    return {int(hit.item_id) for hit in index.search(np.ones((1, 4)), NUM_ROWS, where)[0]}


# --- what a filter means: an oracle in plain Python, with unknown as None ---


def quoted(column: str) -> str:
    return column if column.isidentifier() else '"' + column.replace('"', '""') + '"'


def written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def like(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


def literals(column: str) -> st.SearchStrategy[Any]:
    known = st.sampled_from([v for v in COLUMNS[column][1] if v is not None and v not in (float("inf"), float("-inf"))])
    if column in NUMBERS:
        return known | st.integers(-60, 60) | st.floats(-60, 60) | st.sampled_from([2.5, -0.0, 1e18, 0.5, -2.5])
    if column in TEXTS:
        return known | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    return known


def against_value(column: str, sign: str, value: Any, mirrored: bool) -> tuple[str, Meaning]:
    compare = SIGNS[sign]
    if mirrored:
        text = f"{written(value)} {sign} {quoted(column)}"
        return text, lambda row: None if row[column] is None else compare(value, row[column])
    return (
        f"{quoted(column)} {sign} {written(value)}",
        lambda row: None if row[column] is None else compare(row[column], value),
    )


def against_column(left: str, sign: str, right: str) -> tuple[str, Meaning]:
    def meaning(row: Row) -> bool | None:
        a, b = row[left], row[right]
        if a is None or b is None:
            return None
        if isinstance(a, int) != isinstance(b, int):
            a, b = float(a), float(b)  # as SQL does when it compares whole numbers with others
        return SIGNS[sign](a, b)

    return f"{quoted(left)} {sign} {quoted(right)}", meaning


@st.composite
def simple_conditions(draw: st.DrawFn) -> tuple[str, Meaning]:
    column = draw(st.sampled_from(list(COLUMNS)))
    form = draw(st.sampled_from(["value", "value", "column", "in", "between", "like", "null"]))
    sign = draw(st.sampled_from(["=", "<>", "!="] if column == "sold" else list(SIGNS)))
    if form == "column" and column in NUMBERS + TEXTS:
        return against_column(column, sign, draw(st.sampled_from(NUMBERS if column in NUMBERS else TEXTS)))
    negated = draw(st.sampled_from(["", "not "]))
    if form == "in":
        values = draw(st.lists(literals(column), min_size=1, max_size=4))
        text = f"{quoted(column)} {negated}in ({', '.join(map(written, values))})"
        return text, lambda row: None if row[column] is None else (row[column] in values) != bool(negated)
    if form == "between" and column != "sold":
        low, high = draw(literals(column)), draw(literals(column))
        text = f"{quoted(column)} {negated}between {written(low)} and {written(high)}"
        return text, lambda row: None if row[column] is None else (low <= row[column] <= high) != bool(negated)
    if form == "like" and column in TEXTS:
        pattern = draw(st.text("a%_bit's\n日", max_size=4))
        text = f"{quoted(column)} {negated}like {written(pattern)}"
        return text, lambda row: None if row[column] is None else like(row[column], pattern) != bool(negated)
    if form == "null":
        return f"{quoted(column)} is null", lambda row: row[column] is None
    return against_value(column, sign, draw(literals(column)), draw(st.booleans()))


def both(parts: list[tuple[str, Meaning]], word: str) -> tuple[str, Meaning]:
    decisive = word == "or"

    def meaning(row: Row) -> bool | None:
        values = [part(row) for _, part in parts]
        return decisive if decisive in values else None if None in values else not decisive

    return f" {word} ".join(f"({text})" for text, _ in parts), meaning


def opposite(part: tuple[str, Meaning]) -> tuple[str, Meaning]:
    text, inner = part
    return f"not ({text})", lambda row: None if inner(row) is None else not inner(row)


CONDITIONS = st.recursive(
    simple_conditions(),
    lambda inner: (
        st.builds(both, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"]))
        | st.builds(opposite, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=250, deadline=None)
@given(condition=CONDITIONS)
def test_every_index_chooses_what_the_words_mean(condition: tuple[str, Meaning], indexes: tuple[Any, Any]) -> None:
    where, meaning = condition
    expected = {number for number, row in enumerate(ROWS) if meaning(row) is True}
    exact, lance = indexes
    assert chosen(exact, where) == expected
    assert chosen(lance, where) == expected


@pytest.mark.parametrize(
    "where",
    [
        "whole < 2 and not color = 'red'",
        "whole = 9223372036854775807",
        "whole between -9223372036854775807 and 2.5",
        "number >= .5 or number < -1e299",
        "number < 1e-300",
        "moment < '2024-02-29T12:30:00.000001+00:00'",
        "moment >= '2024-02-29'",
        "color is not null and color not in ('red') and text not like '%a%' and whole not between 1 and 2",
        "((color)) in ((('red')))",
        "sold <> TRUE",
    ],
)
def test_case_is_not_trivial(where: str, indexes: tuple[Any, Any]) -> None:
    exact, lance = indexes
    assert 0 < len(chosen(exact, where)) < NUM_ROWS
    assert chosen(exact, where) == chosen(lance, where)


@pytest.mark.parametrize(
    "where",
    [
        "whole < 1; drop table items",
        "whole < 1 -- all",
        "/* all */ whole < 1",
        "whole < 1 /* all */",
        "whole < 1 union select 1",
        "whole in (select whole from items)",
        "exists (select 1)",
        "lower(color) = 'red'",
        "whole + 1 = 2",
        "text || 'b' = 'ab'",
        "cast(whole as text) = '1'",
        "whole::text = '1'",
        "1 = 1",
        "true",
        "sold",
        "not sold",
        "'a' = 'a' or whole < 1",
        "items.whole < 1",
        "a.b.whole < 1",
        "whole = any(Other)",
        "whole in unnest(Other)",
        "case when whole = 1 then true end",
        "text ilike 'a'",
        "text rlike 'a'",
        "text like 'a' escape '!'",
        "text like any ('a', 'b')",
        "text like 'a\\%'",
        "text like whole",
        "text = 'a' 'b'",
        "text = N'a'",
        "text = E'a'",
        "text = X'41'",
        "day = date '2024-02-29'",
        "whole <=> 1",
        "whole is true",
        "whole is distinct from 1",
        "whole between symmetric 1 and 2",
        "whole = ?",
        "whole = :one",
        "whole = @one",
        "whole = $1",
        "whole = {{one}}",
        "whole = null",
        "whole <> null",
        "whole in (1, null)",
        "whole in ()",
        "(whole, Other) = (1, 2)",
        "whole < Other < 3",
        "whole = - - 1",
        "whole < 1,",
        "whole <",
        "*",
        ")",
        "'",
        '"',
        "\0",
        "whole < 1\0",
        "vector is null",
        "thumbnail is null",
        "_rowid < 5",
        "whole < 1e400",
        "whole < 9223372036854775808",
        "whole < " + "9" * 5000,
        "number < " + "9" * 400,
        "whole < -9223372036854775808",
        "sold < true",
        "sold between false and true",
        "[whole] = 1",
        "whole[0] = 1",
        "‘red’ = color",
        "(" * 3000 + "whole < 1" + ")" * 3000,
        "not " * 60 + "whole < 1",
        " or ".join(["whole < 1"] * (MAX_CONDITIONS + 1)),
        "text = '" + "a" * MAX_LENGTH + "'",
    ],
)
def test_whatever_else_sql_can_do_is_refused(where: str) -> None:
    with pytest.raises(FilterError, match=r"cannot be used: .* Example: where="):
        compile_filter(where, SCHEMA)


WORDS = """whole text color sold ( ) ' " ; -- /* */ or and not in like is null < = 1 2.5 'a' , . ` \\ \0 union"""


@settings(max_examples=300, deadline=None)
@given(
    where=st.lists(
        st.sampled_from(WORDS.split()),
        max_size=12,
    ).map(" ".join)
    | st.text(max_size=20)
)
def test_any_text_is_a_filter_or_a_filter_error(where: str, indexes: tuple[Any, Any]) -> None:
    exact, lance = indexes
    try:
        expected = chosen(exact, where)
    except FilterError:
        with pytest.raises(FilterError):
            chosen(lance, where)
    else:
        assert chosen(lance, where) == expected


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("", "it is empty; leave it out to search everything."),
        ("wole < 5", "there is no column 'wole'. Did you mean 'whole'"),
        ('color = "red"', "there is no column 'red'."),
        ("whole < 'abc'", "column 'whole' holds whole numbers, so it cannot be compared with 'abc'."),
        ("text < 5", "column 'text' holds text, so it cannot be compared with 5."),
        ("sold = 'yes'", "column 'sold' holds true or false, so it cannot be compared with 'yes'."),
        ("text = whole", "column 'text' holds text and column 'whole' whole numbers; they cannot be compared."),
        ("day > 'yesterday'", "column 'day' holds dates, and 'yesterday' is none; write it as '2026-01-31'"),
        ("whole = null", "nothing equals null; write whole is null."),
        ("lower(text) = 'a'", "LOWER(text) stands where the name of a column should."),
        ("whole like 'a'", "column 'whole' holds whole numbers, so it cannot be compared with 'a'."),
        ("sold > true", "column 'sold' holds true or false, which has no order."),
        ("whole < 1e400", "the number 1e400 is too large for column 'whole'."),
        ("tags = 'a'", "column 'tags' holds list<item: string>, which a filter cannot compare."),
    ],
)
def test_sentence(where: str, sentence: str) -> None:
    schema = SCHEMA.append(pa.field("tags", pa.list_(pa.field("item", pa.string()))))
    with pytest.raises(FilterError) as caught:
        compile_filter(where, schema)
    message = str(caught.value)
    assert message.startswith(f"where={where!r} cannot be used: {sentence}")
    assert message.endswith("Example: where=\"price < 50 and color in ('red', 'blue')\"")
    assert "Text stands in single quotes." in message or '"red"' not in where


@pytest.fixture
def odd_names() -> Iterator[list[str]]:
    yield [
        "Price",
        "a b",
        "süß",
        "select",
        "a'b",
        'a"b',
        "a-b",
        "1",
        "Ünï",
        "日本",
        "a;b",
        "a/*b*/",
        "--",
        "(",
        "ITEM_ID",
    ]


def test_columns_with_odd_names(make_rows: Callable[..., pa.Table], tmp_path: Path, odd_names: list[str]) -> None:
    exact, lance = ExactIndex(4), LanceIndex.create(tmp_path, 4)
    rows = make_rows(["0", "1"], **{name: [0, 1] for name in odd_names})
    for index in (exact, lance):
        index.add(rows)
        for name in odd_names:
            assert chosen(index, '"' + name.replace('"', '""') + '" > 0.5') == {1}, name
