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
    #: How head and proxies begin. geometry: the features' principal components, the classes' means. random: by chance,
    #: as in papers.
    start: Literal["geometry", "random"] = "geometry"
    #: What is in a batch. classes: P of them by chance, K images each. balanced: and its domains in equal parts.
    #: categories: and of one category. near_texts: and with like descriptions. random: any P x K images.
    batches: Literal["classes", "balanced", "categories", "near_texts", "random"] = "classes"
    #: The column of the catalog with an item's category.
    category_column: str = "category"
    #: P and K.
    classes_per_batch: PositiveInt = 32
    images_per_class: PositiveInt = 4
    backbone_learning_rate: PositiveFloat = 1e-4
    #: Each layer of the backbone has this share of the rate of the next one; 1: all the same.
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
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
    #: Keep decoded pictures on disk, so that they are decoded once and not in every epoch.
    pack_pictures: bool = True
    #: Share of the training classes held out to choose the best epoch; 0 keeps the last one.
    validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    #: File of thumbs up and down that `lookalike serve --feedback` wrote; empty: none.
    feedback: str = ""
    seed: NonNegativeInt = 0
    #: auto takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Of the encoder; loss and proxies stay in float32. auto: half of it on a GPU, bfloat16 where that is native.
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: Pictures embedded at a time: less memory, a third more work, the same gradient; 0: all at once.
    piece_size: NonNegativeInt = 0
    #: Compute the backbone's layers again in the backward pass: less memory, for a third more work.
    checkpoint_layers: bool = False
    #: Compile the encoder: some minutes at the start, faster steps.
    compile: bool = False
    #: With several processes (torchrun) each keeps a part of the proxies where there are more classes than this.
    shard_proxies_above: NonNegativeInt = 50_000
    #: Judge a running average of the weights too, which keeps this share of itself in a step; 0: none. Try 0.99.
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: Between two checkpoints inside an epoch; 0: after every step. One is written at the end of an epoch, too.
    checkpoint_minutes: NonNegativeFloat = 10.0
    #: Told of every epoch, besides history.jsonl. Each needs its package: pip install 'lookalike[tensorboard]'.
    trackers: list[Literal["tensorboard", "wandb"]] = []
