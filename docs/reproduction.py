"""The tables of reproduction.md, from the recipes: python docs/reproduction.py writes them into the page anew."""

import math
from pathlib import Path

from lookalike.catalog.benchmarks import BENCHMARKS
from lookalike.recipes.reproduce import Table, least_hours, table_names, training_pictures

PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- tables: python docs/reproduction.py -->\n", "<!-- end of tables -->\n"
SEEDS = 3


def section(name: str) -> str:
    """The table of one data set: what was published, what it would take, and whether it was run."""
    table, pictures = Table.load(name), training_pictures(Table.load(name).data)
    recipes = table.recipes
    hours = {row: 0.0 if pictures is None else least_hours(recipe, pictures) for row, recipe in recipes.items()}
    unknown = "; how many pictures it has is not fixed"
    total = unknown if pictures is None else f"; {SEEDS} seeds of all: {SEEDS * sum(hours.values()):.1f} h at least"
    lines = [
        f"### {BENCHMARKS[table.data].title}",
        "",
        f"    lookalike reproduce {name} --data FOLDER --to reproductions/{name}",
        "",
        f"{len(table.rows)} recipes{total}.",
        "",
        "| recipe | published Recall@1 | source | frozen, published | minutes a run, at least | run |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.rows:
        at_1 = row.published.get(1)
        published = "" if at_1 is None else f"{at_1:.1f}" + (f" ({row.of})" if row.of else "")
        frozen = "" if row.frozen is None else f"{row.frozen:.1f}"
        minutes = "" if pictures is None else f"{math.ceil(60 * hours[row.name])}"
        lines.append(f"| `{row.recipe}` | {published} | {row.source} | {frozen} | {minutes} | no |")
    return "\n".join(lines) + "\n"


def with_tables(page: str) -> str:
    """The page with its tables made anew."""
    before, rest = page.split(BEGIN)
    tables = "\n".join(section(name) for name in table_names())
    return f"{before}{BEGIN}\n{tables}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
