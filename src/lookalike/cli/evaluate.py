"""`lookalike evaluate`: how well an encoder retrieves."""

import json
from typing import Annotated

import typer

from lookalike.cli import options


def evaluate(
    catalog: options.CatalogArgument,
    run: options.RunOption,
    item_id: options.ItemId = None,
    image: options.Image = None,
    label: options.Label = None,
    text: options.Text = None,
    domain: options.Domain = None,
    split: options.Split = None,
    k: Annotated[list[int] | None, typer.Option("--k", help="K of Recall@K; give it several times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge an encoder on the test items of a catalog (or all, if it has no split), beside its frozen backbone.

    \b
    lookalike evaluate products.parquet --run runs/first
    lookalike evaluate other_shop.csv --image file --label product --run runs/first --k 1 --k 10
    """
    data = options.read_catalog(
        catalog, item_id=item_id, image=image, label=label, text=text, domain=domain, split=split
    )
    from lookalike.cli.tables import print_metrics
    from lookalike.encoders import Encoder
    from lookalike.evaluation.protocol import judge_models
    from lookalike.recipes.build import frozen_encoder

    models = {"frozen backbone": frozen_encoder(run), "this encoder": Encoder.load(run)}
    results = judge_models(
        {name: model for name, model in models.items() if model is not None}, data, k or [1, 2, 4, 8]
    )
    figures = {name: {model: result.to_dict() for model, result in models.items()} for name, models in results.items()}
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        print_metrics(figures)
