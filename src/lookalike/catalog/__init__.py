"""1. THE DATA: pictures with what is known of them."""

from lookalike.catalog.table import Catalog

__all__ = ["Catalog"]
