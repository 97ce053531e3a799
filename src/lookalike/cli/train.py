"""`lookalike train`: a run, driven by a recipe."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli import options
from lookalike.errors import RecipeError
from lookalike.progress import SPEAKS

if TYPE_CHECKING:
    from lookalike.recipes import Recipe

Setting = Annotated[list[str] | None, typer.Option("--set", help="Override a setting: --set loss.scale=30")]
Weights = Annotated[str | None, typer.Option("--weights", help="Local .safetensors weights of the backbone.")]


def train(
    catalog: Annotated[Path, typer.Option("--catalog", help="What to learn from.", show_default=False)],
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a recipe that ships with us.")] = "default",
    run: Annotated[Path | None, typer.Option("--run", help="Directory of the run; runs/<time> if not given.")] = None,
    weights: Weights = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of everything drawn at random.")] = None,
    feedback: Annotated[
        Path | None, typer.Option("--feedback", help="Thumbs up and down that lookalike serve --feedback kept.")
    ] = None,
    setting: Setting = None,
    item_id: options.ItemId = None,
    image: options.Image = None,
    label: options.Label = None,
    text: options.Text = None,
    domain: options.Domain = None,
    split: options.Split = None,
) -> None:
    """Train an encoder and judge it on classes it has never seen, beside the frozen backbone.

    A run that was stopped (Ctrl-C, a crash, the power) is gone on with by the same command with its --run, and ends
    with the same weights.

    \b
    lookalike train --catalog products.parquet
    lookalike train fine_tune --catalog products.csv --image file --label product --run runs/first
    lookalike train --catalog pictures/ --set loss.name=triplet --set training.epochs=10
    lookalike train --catalog pictures/ --run runs/watched --set 'training.trackers=["tensorboard"]'
    torchrun --nproc-per-node 4 -m -- lookalike train fine_tune --catalog products.parquet --run runs/first
    """
    settings = parse_settings(setting or [])
    settings |= {"encoder.weights": weights} if weights is not None else {}
    settings |= {"training.seed": seed} if seed is not None else {}
    settings |= {"training.feedback": str(feedback)} if feedback is not None else {}
    chosen = load_recipe(recipe, settings)
    data = options.read_catalog(
        catalog, item_id=item_id, image=image, label=label, text=text, domain=domain, split=split
    )
    from lookalike.cli.tables import print_run
    from lookalike.recipes import train as run_training

    finished = run_training(chosen, data, run)
    if SPEAKS:
        print_run(finished)


def load_recipe(name: str, settings: dict[str, Any]) -> "Recipe":
    """A recipe with settings changed."""
    from lookalike.recipes import Recipe

    recipe = Recipe.load(name)
    return recipe.override(settings) if settings else recipe


def parse_settings(given: list[str]) -> dict[str, Any]:
    """`["loss.scale=30"]` to `{"loss.scale": 30}`; a value that is no TOML is a plain string.

    Raises:
        RecipeError: one is not KEY=VALUE.
    """
    settings: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals:
            raise RecipeError(f"--set takes PART.KEY=VALUE, like loss.scale=30, not {one!r}")
        settings[key.strip()] = parse_value(value)
    return settings


def parse_value(written: str) -> Any:
    """A TOML value, or a plain string."""
    try:
        return tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        return written.strip()
