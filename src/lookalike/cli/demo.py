"""`lookalike demo`: the whole way, from a shop drawn by code to answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lookalike.recipes.demo import Results
    from lookalike.search import Match


def demo(
    to: Annotated[Path, typer.Option("--to", help="Directory for everything it makes.")] = Path("demo"),
    products: Annotated[int, typer.Option("--products", min=20, help="How many products the shop sells.")] = 360,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws another shop.")] = 0,
) -> None:
    """Draw a shop, train on it, judge, index and search it: no data, no network, no GPU.

    \b
    lookalike demo
    lookalike demo --products 60 --to small_demo
    """
    from lookalike.cli.tables import print_match, print_metrics
    from lookalike.recipes.demo import run_demo

    def show_results(results: "Results") -> None:
        shown = {name: models for name, models in results.items() if name in ("all", "street -> studio")}
        print_metrics({name: {who: found.to_dict() for who, found in models.items()} for name, models in shown.items()})

    def show_matches(asked: str, matches: "list[Match]") -> None:
        print(f"\n{asked}")
        for match in matches:
            print_match(match)

    report = run_demo(to, products, seed, show_results, show_matches)
    print(f"\nOpen {report.resolve()} to see what it finds; search the shop yourself: lookalike serve {to / 'index'}")
