"""2. SIDE INFORMATION: what the words say, made once and never trained with the pictures."""

from lookalike.side.cleaning import Cleaning
from lookalike.side.fasttext import FastTextEncoder
from lookalike.side.text_encoders import TextEncoder, load_text_encoder, make_text_encoder
from lookalike.side.text_report import TextReport, text_report
from lookalike.side.vectors import SideVectors, describe_items, texts_of

__all__ = [
    "Cleaning",
    "FastTextEncoder",
    "SideVectors",
    "TextEncoder",
    "TextReport",
    "describe_items",
    "load_text_encoder",
    "make_text_encoder",
    "text_report",
    "texts_of",
]
