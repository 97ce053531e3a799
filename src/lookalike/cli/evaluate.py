"""`lookalike evaluate`: how well an encoder retrieves."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli import options

if TYPE_CHECKING:
    from lookalike.evaluation.protocol import ModelEmbeddings

OWN = "this encoder"
PRECISIONS = (0.9, 0.95, 0.99)


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
    report: Annotated[Path | None, typer.Option("--report", help="Also write a page with pictures and curves.")] = None,
    robust: Annotated[
        bool,
        typer.Option("--robust", help="Also with the queries cropped, blurred, compressed, turned, darker, brighter."),
    ] = False,
    verification: Annotated[
        bool, typer.Option("--verification", help="Also error rates of same or not, and thresholds for a precision.")
    ] = False,
) -> None:
    """Judge an encoder on the test items of a catalog (or all, if it has no split), beside its frozen backbone.

    \b
    lookalike evaluate products.parquet --run runs/first
    lookalike evaluate other_shop.csv --image file --label product --run runs/first --k 1 --k 10
    lookalike evaluate products.parquet --run runs/first --report products.html
    lookalike evaluate products.parquet --run runs/first --robust --verification
    """
    data = options.read_catalog(
        catalog, item_id=item_id, image=image, label=label, text=text, domain=domain, split=split
    )
    from lookalike.cli.tables import print_metrics
    from lookalike.encoders import Encoder
    from lookalike.evaluation.protocol import embed_models
    from lookalike.evaluation.report import parts_of, write_report
    from lookalike.evaluation.robustness import judge_robustness
    from lookalike.progress import note
    from lookalike.recipes.build import frozen_encoder

    encoder, frozen = Encoder.load(run), frozen_encoder(run)
    embedded = embed_models(({"frozen backbone": frozen} if frozen else {}) | {OWN: encoder}, data)
    sizes = k or [1, 2, 4, 8]
    results = embedded.judge(sizes)
    figures = {name: {model: result.to_dict() for model, result in models.items()} for name, models in results.items()}
    changed = judge_robustness(encoder, embedded, OWN, sizes) if robust else {}
    robustness = {name: {change: result.to_dict() for change, result in one.items()} for name, one in changed.items()}
    verified = {name: _verified(embedded, name) for name in embedded.embeddings} if verification else {}
    if as_json:
        more = ({"robustness": robustness} if robust else {}) | ({"verification": verified} if verification else {})
        print(json.dumps(figures | more, indent=2))
    else:
        print_metrics(figures)
        if robust:
            print(f"{OWN}, its queries changed and its gallery clean:")
            print_metrics(robustness)
        for name, found in verified.items():
            print("\n".join(_verification_lines(name, found)))
    if report is not None:
        parts = parts_of(embedded.catalog, embedded.protocols[:1], embedded.embeddings, embedded.labels, results)
        write_report(report, data.name, [f"{encoder.describe()}, of {run}."], results, parts)
        note(f"{report}: open it in a browser")


def _verified(embedded: "ModelEmbeddings", model: str) -> dict[str, Any]:
    """Open-set figures of the first protocol's queries among themselves."""
    import numpy as np
    import torch

    from lookalike.evaluation import fnmr_at_fmr, threshold_for_precision
    from lookalike.evaluation.neighbors import nearest

    rows = embedded.protocols[0].queries
    x, labels = torch.from_numpy(embedded.embeddings[model][rows]), embedded.labels[rows]
    numbers, cosines = nearest(x, x, 1, exclude=torch.arange(len(x)))
    right = labels[numbers[:, 0].numpy()] == labels
    thresholds = [threshold_for_precision(np.asarray(cosines[:, 0]), right, wanted) for wanted in PRECISIONS]
    return {
        "fnmr_at_fmr": {f"{wanted:g}": asdict(rate) for wanted, rate in fnmr_at_fmr(x, labels).items()},
        "threshold_for_precision": {
            f"{wanted:g}": found and asdict(found) for wanted, found in zip(PRECISIONS, thresholds, strict=True)
        },
    }


def _verification_lines(model: str, found: dict[str, Any]) -> list[str]:
    lines = [f"{model}, whether two pictures show one product, by their cosine:"]
    for wanted, rate in found["fnmr_at_fmr"].items():
        lines.append(
            f"  from {rate['threshold']:.3f} on {100 * float(wanted):g} % of the different pairs match, and "
            f"{100 * rate['fnmr']:.1f} % of the same are missed"
        )
    for wanted, threshold in found["threshold_for_precision"].items():
        said = f"  {100 * float(wanted):g} % of the best matches are right: at no cosine"
        if threshold:
            said = said.replace("at no cosine", f"from {threshold['score']:.3f} on; so many queries are answered: ")
            said += f"{100 * threshold['answered']:.0f} %"
        lines.append(said)
    return lines
