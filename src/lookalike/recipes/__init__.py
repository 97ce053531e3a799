"""A RUN IN ONE TYPED FILE: settings, what is built from them, and the run itself."""

from lookalike.recipes.recipe import Recipe
from lookalike.recipes.train import train

__all__ = ["Recipe", "train"]
