"""The demo shop, drawn by code: products, their descriptions and their photographs."""

from lookalike.catalog.boutique.shop import draw_boutique

__all__ = ["draw_boutique"]
