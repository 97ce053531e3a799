"""6. THE RUN: batches through an encoder and a loss, the best weights kept."""

from lookalike.training.run import Run
from lookalike.training.settings import TrainingSettings

__all__ = ["Run", "TrainingSettings"]
