"""Everything from the command line. Importing this loads no torch: each command imports what it needs when it runs."""

import os
import sys

import typer

from lookalike.cli import (
    cache,
    check,
    compare,
    demo,
    describe,
    download,
    duplicates,
    embed,
    evaluate,
    index,
    reproduce,
    search,
    serve,
    train,
    tune,
)
from lookalike.errors import LookalikeError
from lookalike.progress import console

app = typer.Typer(
    name="lookalike",
    help="Find what looks alike: train, judge and search picture embeddings, weakly supervised by text.",
    epilog="Begin with: lookalike demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# In the order of the pipeline, as --help shows them.
app.command("demo")(demo.demo)
app.command("download")(download.download)
app.command("check")(check.check)
app.command("describe")(describe.describe)
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("reproduce")(reproduce.reproduce)
app.command("embed")(embed.embed)
app.command("index")(index.index)
app.command("search")(search.search)
app.command("duplicates")(duplicates.duplicates)
app.command("serve")(serve.serve)
app.command("cache")(cache.cache)


def main() -> None:
    """Run a command; what the user can mend is told in one sentence, without a trace."""
    # Idle threads of torch that spin take the cores from whoever decodes pictures, or from another program: ten times
    # slower was seen. Read by OpenMP when torch is imported, so it must be set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except LookalikeError as error:
        if error.is_told is not None:  # else of several processes the first one speaks
            console.quiet = error.is_told
        console.print(f"Error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("Stopped.", markup=False)
        sys.exit(130)
