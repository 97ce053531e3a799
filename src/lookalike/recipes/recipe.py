"""Recipe: all settings of a run, from a TOML file; an unknown key is an error with the nearest name."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, field_validator

from lookalike.errors import RecipeError, did_you_mean
from lookalike.files import write_text
from lookalike.side.pretrained import Pooling
from lookalike.side.scaling import Scaling
from lookalike.side.text_encoders import NEED_MODEL, EncoderName
from lookalike.training.settings import TrainingSettings

SHIPPED = Path(__file__).parent


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderSettings(_Part):
    """The `[encoder]` part: arguments of `Encoder.create`."""

    backbone: str = "mobilenetv2_100"
    pretrained: bool = True
    #: A local .safetensors file instead of the published weights; empty: none.
    weights: str = ""
    #: Side of the square input in pixels; 0: the backbone's own, or less where the catalog's pictures are smaller.
    image_size: NonNegativeInt = 0
    #: avg, max, avgmax, catavgmax, gem, token or attention; empty: the backbone's own.
    pooling: str = ""
    fit: Literal["squash", "crop", "pad"] = "pad"
    #: Of fit = "crop": share of the shorter side that is kept; 0: the backbone's own.
    crop_share: float = Field(default=0, ge=0, le=1)
    dim: PositiveInt = 512
    #: Whether the head begins with a LayerNorm.
    head_norm: bool = True
    #: Leave the first layer of a transformer as it is when the backbone is tuned.
    freeze_patch_embedding: bool = False

    @property
    def of_backbone(self) -> "EncoderSettings":
        """The same for all encoders that begin with the same features."""
        return self.model_copy(update={"dim": 1, "head_norm": True, "freeze_patch_embedding": False})


class TextSettings(_Part):
    """The `[text]` part: what makes vectors of the descriptions, and how they are scaled."""

    encoder: EncoderName = "tfidf"
    #: A .bin or .vec file (fasttext_file); a folder or a name on the Hub (sentence, static).
    model: str = ""
    #: What describes an item; "label" takes the name of its class.
    column: str = "text"
    #: Steps of the clean-up: html, sizes, codes, brands; lookalike check counts what each would change.
    clean: list[Literal["html", "sizes", "codes", "brands"]] = []
    scaling: Scaling = "centered"
    #: Of fasttext and tfidf; a model has its own.
    dim: PositiveInt = 64
    #: Of fasttext; 0: as many as it takes to read 500,000 words, and 20 at least.
    epochs: NonNegativeInt = 0
    #: Of sentence: mean, cls or max; empty: the model's own.
    pooling: Pooling = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """What `make_text_encoder` takes beside a name and the texts."""
        return self.model_dump(include={"model", "dim", "epochs", "pooling", "clean"})


class _Open(BaseModel):
    """Every key that is no field is an argument of a constructor."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def arguments(self) -> dict[str, Any]:
        """The other keys."""
        return dict(self.model_extra or {})


class PlusSettings(_Open):
    """A `[loss.plus.NAME]` part: a loss or regularizer that is added, times its weight."""

    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)


class MemorySettings(_Part):
    """The `[loss.memory]` part: a loss that compares items is given those of earlier batches too."""

    #: How many items are remembered; 0: none.
    size: NonNegativeInt = 0
    #: Steps before anything is remembered: 1,000 for a backbone that begins from nothing.
    after_steps: NonNegativeInt = 0


class LossSettings(_Open):
    """The `[loss]` part: a name, the arguments of that loss's constructor, its memory, and what is added to it."""

    name: str = "normalized_softmax"
    memory: MemorySettings = MemorySettings()
    plus: dict[str, PlusSettings] = {}

    @field_validator("plus", mode="before")
    @classmethod
    def _with_dotted_names(cls, plus: Any) -> Any:
        """[loss.plus.pml.NAME] is a table in a table to TOML, and "pml.NAME" to us."""
        if not isinstance(plus, dict) or not isinstance(plus.get("pml"), dict):
            return plus
        names = {name: table for name, table in plus.items() if name != "pml"}
        return names | {f"pml.{name}": table for name, table in plus["pml"].items()}


class EvaluationSettings(_Part):
    """The `[evaluation]` part."""

    k: list[PositiveInt] = Field(default=[1, 2, 4, 8], min_length=1)
    #: Share of the classes held out as test where the catalog has no split.
    test_share: float = Field(default=0.5, gt=0, lt=1)


class WeakLabelSettings(_Part):
    """The `[weak_labels]` part: training labels from descriptions; see `side.weak_labels`."""

    #: off: the catalog's labels. Any other: its labels never reach training; they judge, where it has them.
    how: Literal["off", "same_text", "near", "clusters"] = "off"
    #: near: least cosine of two texts; distinct texts a class may join.
    similarity: float = Field(default=0.9, gt=0, lt=1)
    max_texts: PositiveInt = 50
    #: clusters: items in one, on average.
    items_per_class: PositiveInt = 20
    #: Classes of fewer items are dissolved.
    smallest: PositiveInt = 2


class Recipe(_Part):
    """All settings of a run. Immutable: `override` gives a new one."""

    encoder: EncoderSettings = EncoderSettings()
    text: TextSettings = TextSettings()
    loss: LossSettings = LossSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    weak_labels: WeakLabelSettings = WeakLabelSettings()

    @classmethod
    def load(cls, path: str | Path) -> "Recipe":
        """Read a TOML file, or a recipe that ships with the package by its name ("default").

        Raises:
            RecipeError: there is none, it is no TOML, or a setting is unknown or out of range.
        """
        file = Path(path)
        if not file.is_file():  # a folder of that name is no recipe
            file = SHIPPED / f"{path}.toml"
        if not file.is_file():
            known = did_you_mean(str(path), shipped_names())
            raise RecipeError(f"there is no recipe {str(path)!r}: give a TOML file or a shipped name.{known}")
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{file} is not TOML: {error}") from None
        return cls._parsed(content, str(file))

    def override(self, settings: Mapping[str, Any]) -> "Recipe":
        """A recipe with some settings changed, by dotted name: `override({"loss.scale": 30})`.

        Naming another loss drops the arguments of the present one and what is added to it.

        Raises:
            RecipeError: a setting is unknown or out of range.
        """
        content = self.model_dump()
        if settings.get("loss.name", self.loss.name) != self.loss.name:
            content["loss"] = {}
        for name, value in settings.items():
            *tables, key = re.split(r"(?<!\.pml)\.", name)  # "pml.NAME" is one name, in loss.plus
            if not (tables and all(tables) and key):
                raise RecipeError(f"a setting is named PART.KEY, like training.epochs, not {name!r}")
            place = content
            for table in tables:
                place = place.setdefault(table, {})
                if not isinstance(place, dict):
                    raise RecipeError(f"{name} cannot be set: {table} is {place!r}, and holds no settings")
            place[key] = value
        return self._parsed(content, "the settings given")

    def save(self, path: str | Path) -> None:
        """Write all settings, defaults too, as TOML."""
        write_text(Path(path), tomli_w.dumps(self.model_dump()))

    @classmethod
    def _parsed(cls, content: dict[str, Any], where: str) -> "Recipe":
        try:
            recipe = cls.model_validate(content)
        except ValidationError as error:
            raise RecipeError(f"{where}: {_explain(error)}") from None
        from lookalike.recipes.build import check_loss_settings

        check_loss_settings(recipe.loss, where)
        text = recipe.text
        if text.encoder in NEED_MODEL and not text.model:
            raise RecipeError(f"{where}: text.encoder = {text.encoder!r} needs text.model: a file, a folder or a name")
        return recipe


def shipped_names() -> list[str]:
    """Names of the recipes that ship with the package."""
    files = [*SHIPPED.glob("*.toml"), *SHIPPED.glob("papers/*.toml")]
    return sorted(file.relative_to(SHIPPED).with_suffix("").as_posix() for file in files)


def _explain(error: ValidationError) -> str:
    """The first thing pydantic found, as a sentence."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        model: Any = Recipe
        for part in place[:-1]:
            model = model.model_fields[part].annotation
        return f"{name} is not a setting.{did_you_mean(place[-1], model.model_fields)}"
    return f"{name} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
