"""`lookalike tune`: settings searched on validation classes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options
from lookalike.cli.train import Setting, Weights, load_recipe, parse_settings, parse_value
from lookalike.errors import RecipeError

if TYPE_CHECKING:
    from lookalike.recipes.tune import Choice, Range

HOW = "--vary takes PART.KEY=LOW:HIGH, PART.KEY=LOW:HIGH:log or PART.KEY=VALUE,VALUE"


def tune(
    catalog: Annotated[Path, typer.Option("--catalog", help="What to learn from.", show_default=False)],
    vary: Annotated[
        list[str], typer.Option("--vary", help="A setting and where to look: LOW:HIGH, LOW:HIGH:log or VALUE,VALUE.")
    ],
    to: Annotated[Path, typer.Option("--to", help="Directory for all that it makes.", show_default=False)],
    recipe: Annotated[str, typer.Argument(help="A TOML file or a shipped name.")] = "default",
    trials: Annotated[int, typer.Option("--trials", min=1, help="How many, those of earlier calls included.")] = 20,
    again: Annotated[bool, typer.Option("--again", help="Touch the test classes once more; it is counted.")] = False,
    setting: Setting = None,
    weights: Weights = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of everything drawn at random.")] = None,
    item_id: options.ItemId = None,
    image: options.Image = None,
    label: options.Label = None,
    text: options.Text = None,
    domain: options.Domain = None,
    split: options.Split = None,
) -> None:
    """Search the best settings on validation classes; the test classes are looked at once, in the end.

    Call it again after a stop: it goes on where it was.

    \b
    lookalike tune --catalog products.parquet --vary loss.scale=10:40 --vary loss.margin=0:0.3 --to search
    lookalike tune mine.toml --catalog products.csv --vary training.head_learning_rate=1e-4:1e-2:log --to rates
    """
    settings = parse_settings(setting or [])
    settings |= {"encoder.weights": weights} if weights is not None else {}
    settings |= {"training.seed": seed} if seed is not None else {}
    chosen = load_recipe(recipe, settings)
    space = parse_space(vary)
    data = options.read_catalog(
        catalog, item_id=item_id, image=image, label=label, text=text, domain=domain, split=split
    )
    from lookalike.cli.tables import print_run
    from lookalike.recipes.tune import TUNED
    from lookalike.recipes.tune import tune as search

    tuned = search(chosen, data, space, trials, to, again=again)
    print(f"the best of {tuned.trials} trials, Recall@1 {100 * tuned.validation:.1f} % on the validation classes:")
    for name, value in tuned.settings.items():
        print(f"  {name} = {value}")
    print_run(tuned.run)
    times = "once" if len(tuned.touches) == 1 else f"{len(tuned.touches)} times: the figures are too good"
    print(f"the test classes were looked at {times}; the recipe is {to / TUNED}")


def parse_space(given: list[str]) -> "dict[str, Range | Choice]":
    """`["loss.scale=10:40"]` to `{"loss.scale": Range(10, 40)}`.

    Raises:
        RecipeError: one is not understood.
    """
    from lookalike.recipes.tune import Choice, Range

    space: dict[str, Range | Choice] = {}
    for one in given:
        name, equals, where = one.partition("=")
        ends = [parse_value(end) for end in where.split(":")]
        log = len(ends) == 3 and ends[2] == "log"
        if equals and len(ends) == 2 + log and all(type(end) in (int, float) for end in ends[:2]):
            space[name.strip()] = Range(ends[0], ends[1], log)
        elif equals and "," in where:
            space[name.strip()] = Choice(tuple(parse_value(value) for value in where.split(",")))
        else:
            raise RecipeError(f"{HOW}, not {one!r}")
    return space
