"""`lookalike download`: the papers' data sets."""

from pathlib import Path
from typing import Annotated

import typer


def download(
    name: Annotated[
        str, typer.Argument(help="cub200, cars196, sop, inshop, inaturalist2018 or studio_street.", show_default=False)
    ],
    to: Annotated[Path, typer.Option("--to", help="Folder for its files.", show_default=False)],
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Address under which files of the same names lie.")
    ] = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="I have read the terms of the data set and accept them.")
    ] = False,
) -> None:
    """Download a data set, or say how to get it. Call it again after a stop: it goes on where it was.

    \b
    lookalike download cub200 --to data/cub
    lookalike download cars196 --to data/cars --mirror https://mirror.example/cars
    lookalike check cub200:data/cub
    """
    from lookalike.catalog.benchmarks import benchmark_named
    from lookalike.catalog.benchmarks.download import download as get

    benchmark = benchmark_named(name)
    for path in get(benchmark, to, mirror, accept_license):
        print(path)
    print(f"{benchmark.title}. {benchmark.license} Read it as {name}:{to}")
