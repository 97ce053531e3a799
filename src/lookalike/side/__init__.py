"""2. SIDE INFORMATION: what the words say, made once and never trained with the pictures."""

from lookalike.side.text_encoders import FastTextEncoder, TextEncoder
from lookalike.side.vectors import SideVectors, describe_items

__all__ = ["FastTextEncoder", "SideVectors", "TextEncoder", "describe_items"]
