"""4. EMBEDDINGS -> ONE NUMBER."""

from lookalike.losses.adaptive_additive_softmax import AdaptiveAdditiveSoftmaxLoss
from lookalike.losses.adaptive_triplet import AdaptiveTripletLoss
from lookalike.losses.base import Loss, WeightedSum
from lookalike.losses.composed import ComposedProxyLoss
from lookalike.losses.density import DensityPenalty
from lookalike.losses.density_aware_line import DensityAwareLineLoss
from lookalike.losses.from_pml import FromPML, from_pml
from lookalike.losses.lines import Lines
from lookalike.losses.memory import CrossBatchMemory
from lookalike.losses.normalized_softmax import NormalizedSoftmaxLoss
from lookalike.losses.orthogonality import ProxyOrthogonality
from lookalike.losses.proxies import Proxies
from lookalike.losses.proxy_anchor import ProxyAnchorLoss
from lookalike.losses.similarity_preservation import SimilarityPreservation
from lookalike.losses.soft_orthogonal_proxy_anchor import SoftOrthogonalProxyAnchorLoss
from lookalike.losses.triplet import TripletLoss

#: The losses a recipe can name. The constructor is the schema of the settings.
LOSSES: dict[str, type[Loss]] = {
    "triplet": TripletLoss,
    "adaptive_triplet": AdaptiveTripletLoss,
    "normalized_softmax": NormalizedSoftmaxLoss,
    "adaptive_additive_softmax": AdaptiveAdditiveSoftmaxLoss,
    "proxy_anchor": ProxyAnchorLoss,
    "soft_orthogonal_proxy_anchor": SoftOrthogonalProxyAnchorLoss,
    "density_aware_line": DensityAwareLineLoss,
    "composed": ComposedProxyLoss,
}

#: What `[loss.plus.NAME]` of a recipe can add to a loss, besides losses. `proxies` are those of a loss.
REGULARIZERS: dict[str, type[Loss]] = {
    "proxy_orthogonality": ProxyOrthogonality,
    "density": DensityPenalty,
}

__all__ = [
    "LOSSES",
    "REGULARIZERS",
    "AdaptiveAdditiveSoftmaxLoss",
    "AdaptiveTripletLoss",
    "ComposedProxyLoss",
    "CrossBatchMemory",
    "DensityAwareLineLoss",
    "DensityPenalty",
    "FromPML",
    "Lines",
    "Loss",
    "NormalizedSoftmaxLoss",
    "Proxies",
    "ProxyAnchorLoss",
    "ProxyOrthogonality",
    "SimilarityPreservation",
    "SoftOrthogonalProxyAnchorLoss",
    "TripletLoss",
    "WeightedSum",
    "from_pml",
]
