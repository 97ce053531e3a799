"""Two models on the same queries: what was gained, and whether that is more than chance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lookalike.evaluation.retrieval import Retrieval


@dataclass(frozen=True)
class Gain:
    """Trained minus frozen on one protocol, in points (0..100) of a metric, with its 95 % interval over classes.

    The interval is NaN where the queries are of a single class.
    """

    protocol: str
    points: float
    low: float
    high: float
    metric: str = "Recall@1"

    @property
    def helped(self) -> bool:
        """The interval lies above zero."""
        return self.low > 0

    @property
    def harmed(self) -> bool:
        """The interval lies below zero."""
        return self.high < 0

    def __str__(self) -> str:
        interval = "one class: no interval" if math.isnan(self.low) else f"95 % {self.low:+.1f} to {self.high:+.1f}"
        return f"{self.protocol}: {self.points:+.1f} points of {self.metric} ({interval})"


def gains(frozen: Mapping[str, Retrieval], trained: Mapping[str, Retrieval]) -> list[Gain]:
    """The gain on every protocol, in Recall at the smallest K that was judged."""
    found = []
    for name, after in trained.items():
        smallest = min(after.recall_at)
        metric = f"recall_at_{smallest}"
        points = after.values(metric).mean() - frozen[name].values(metric).mean()
        low, high = after.gain_interval(frozen[name], metric)
        found.append(Gain(name, 100 * float(points), 100 * low, 100 * high, f"Recall@{smallest}"))
    return found


def verdict(found: list[Gain], *, trained: bool) -> str:
    """Say plainly whether training helped; `trained` is False where the start was kept."""
    if not found:
        return "Nothing could be judged: no test class has two pictures, so no query has anything to find."
    harmed = [gain for gain in found if gain.harmed]
    helped = [gain for gain in found if gain.helped]
    where = "; ".join(map(str, helped))
    if not trained:
        start = f" That start helps beside the raw features on {where}." if helped else ""
        return (
            "Training did not help: no epoch was better on the validation classes than the start, so the encoder kept "
            f"is the frozen backbone with its untrained head.{start} {REMEDIES}"
        )
    if harmed:
        but_helped = f" It helped on {where}." if helped else ""
        return f"Training made it worse on {'; '.join(map(str, harmed))}.{but_helped} {REMEDIES}"
    if not helped:
        return f"Training made no clear difference to the frozen backbone ({'; '.join(map(str, found))}). {REMEDIES}"
    return f"Training helped on {where}."


REMEDIES = (
    "More training classes help most; then tuning the backbone (training.tune_backbone = true) at a smaller rate, "
    "a larger encoder.image_size, or a stronger backbone."
)
