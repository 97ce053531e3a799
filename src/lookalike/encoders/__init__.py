"""3. PICTURE -> EMBEDDING."""

from lookalike.encoders.embed import Embedded, embed_catalog
from lookalike.encoders.encoder import Encoder
from lookalike.encoders.transforms import Augmentation, Preprocessing

__all__ = ["Augmentation", "Embedded", "Encoder", "Preprocessing", "embed_catalog"]
