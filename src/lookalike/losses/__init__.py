"""4. EMBEDDINGS -> ONE NUMBER."""

from lookalike.losses.adaptive_additive_softmax import AdaptiveAdditiveSoftmaxLoss
from lookalike.losses.base import Loss, WeightedSum
from lookalike.losses.normalized_softmax import NormalizedSoftmaxLoss
from lookalike.losses.proxies import Proxies
from lookalike.losses.similarity_preservation import SimilarityPreservation
from lookalike.losses.triplet import TripletLoss

#: The losses a recipe can name. The constructor is the schema of the settings.
LOSSES: dict[str, type[Loss]] = {
    "triplet": TripletLoss,
    "normalized_softmax": NormalizedSoftmaxLoss,
    "adaptive_additive_softmax": AdaptiveAdditiveSoftmaxLoss,
}

__all__ = [
    "LOSSES",
    "AdaptiveAdditiveSoftmaxLoss",
    "Loss",
    "NormalizedSoftmaxLoss",
    "Proxies",
    "SimilarityPreservation",
    "TripletLoss",
    "WeightedSum",
]
