"""Every loss on one catalog: same backbone and budget, tuned alike on validation classes, then several seeds.

    python benchmarks/all_losses.py products.parquet --weights backbone.safetensors --to losses

Each loss gets as many trials of the same search: the head's learning rate, the weight that keeps the similarities, and
the one or two settings of its own named below. Trials see validation classes only. The best settings then run with each
seed and are judged on the test classes. Call it again after a stop: what is finished is not repeated.
"""

import argparse
from pathlib import Path

from text_margins import at_most

from lookalike import Catalog, Recipe
from lookalike.cli.train import parse_settings
from lookalike.recipes.compare import compare
from lookalike.recipes.tune import Choice, Range, Space, tune

EVERYWHERE: Space = {
    "training.head_learning_rate": Range(3e-4, 3e-3, log=True),
    "training.keep_similarities": Choice((0.0, 1.0, 3.0, 10.0, 30.0)),
}
SCALE, MARGIN = Range(8, 64, log=True), Range(0.0, 0.4)
ANCHOR: Space = {"loss.alpha": SCALE, "loss.delta": MARGIN}
TEXT: Space = {"loss.slope": Range(0.05, 0.5, log=True), "loss.curve": Choice(("linear", "square"))}
#: What is searched of each loss's own. "pml." are pytorch-metric-learning's.
LOSSES: dict[str, Space] = {
    "normalized_softmax": {"loss.scale": SCALE, "loss.margin": MARGIN},
    "triplet": {"loss.margin": Range(0.05, 0.8), "loss.mining": Choice(("all", "semihard", "hard", "distance"))},
    "adaptive_triplet": {
        "loss.base_margin": Range(0.05, 0.8),
        "loss.mining": Choice(("all", "semihard", "hard", "distance")),
    },
    "adaptive_additive_softmax": {"loss.scale": SCALE, **TEXT},
    "proxy_anchor": ANCHOR,
    "soft_orthogonal_proxy_anchor": ANCHOR | {"loss.orthogonality": Range(0.1, 10, log=True)},
    "density_aware_line": {"loss.scale": SCALE, "loss.vertices": Choice((2, 3, 5))},
    "composed": {"loss.scale": SCALE, "loss.base_margin": Range(0.0, 0.3)},
    "pml.MultiSimilarityLoss": {"loss.alpha": Range(1, 10), "loss.base": Range(0.2, 0.9)},
    "pml.CircleLoss": {"loss.gamma": Range(16, 256, log=True), "loss.m": MARGIN},
    "pml.SupConLoss": {"loss.temperature": Range(0.03, 0.3, log=True)},
    "pml.ProxyNCALoss": {"loss.softmax_scale": SCALE},
    "pml.CosFaceLoss": {"loss.scale": SCALE, "loss.margin": MARGIN},
    "pml.SoftTripleLoss": {"loss.la": SCALE, "loss.centers_per_class": Choice((1, 2, 5))},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=list(LOSSES))
    parser.add_argument("--weights", default="")
    parser.add_argument("--item-id", default="row_number")
    parser.add_argument("--most", type=int, default=0, help="pictures of each label; 0: all")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="of all losses: PART.KEY=VALUE")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()

    catalog = at_most(Catalog.read(options.catalog, item_id=options.item_id), options.most)
    base = Recipe.load("default").override({"encoder.weights": options.weights} | parse_settings(options.settings))
    best = {}
    for name in options.losses:
        tuned = options.to / "tuned" / name
        if not (tuned / "metrics.json").is_file():
            tune(base.override({"loss.name": name}), catalog, EVERYWHERE | LOSSES[name], options.trials, tuned)
        best[name] = Recipe.load(tuned / "tuned.toml")
    found = compare(best, {options.catalog.stem: catalog}, options.seeds, options.to / "seeds")
    protocols = found.figures[options.catalog.stem]
    metrics = [(protocol, metric) for protocol in protocols for metric in ("recall_at_1", "map_at_r")]
    print("| loss | " + " | ".join(f"{protocol}: {metric}" for protocol, metric in metrics) + " |")
    print("|---" + "|--:" * len(metrics) + "|")
    for row in protocols[metrics[0][0]][metrics[0][1]]:
        over_seeds = [protocols[protocol][metric][row].over_seeds for protocol, metric in metrics]
        cells = [f"{100 * each.mean:.1f} ± {100 * each.half_width:.1f}" for each in over_seeds]
        print(f"| {row} | " + " | ".join(cells).replace(" ± nan", "") + " |")


if __name__ == "__main__":
    main()
