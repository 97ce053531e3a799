"""How a run trains: one frozen value object, also the `[training]` part of a recipe."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


class TrainingSettings(BaseModel):
    """Every knob of the loop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: PositiveInt = 10
    #: Train the backbone too; without it its features are computed once, and only head and loss are trained.
    tune_backbone: bool = False
    #: First epochs in which the backbone stands still, while head and proxies find their place.
    warmup_epochs: NonNegativeInt = 1
    classes_per_batch: PositiveInt = 32
    images_per_class: PositiveInt = 4
    backbone_learning_rate: PositiveFloat = 1e-4
    head_learning_rate: PositiveFloat = 1e-3
    proxies_learning_rate: PositiveFloat = 1e-2
    weight_decay: NonNegativeFloat = 0.0
    #: Weight of a term that keeps the similarities the encoder began with; 0 for a backbone without pretraining.
    keep_similarities: NonNegativeFloat = 10.0
    #: Gradients are scaled down to this norm.
    max_gradient_norm: PositiveFloat = 1.0
    #: Running means of BatchNorm stay those of the pretrained backbone.
    freeze_batchnorm: bool = True
    #: Smallest share of a picture that a training crop keeps; 1 means no crop.
    min_crop: Annotated[float, Field(gt=0, le=1)] = 0.5
    flip: bool = True
    #: Share of the training classes held out to choose the best epoch; 0 keeps the last one.
    validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    seed: NonNegativeInt = 0
    #: auto takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: On a GPU the encoder computes in half precision; loss and proxies stay in float32.
    half_precision: bool = True
