"""Recipe: all settings of a run, from a TOML file; an unknown key is an error with the nearest name."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from lookalike.errors import RecipeError, did_you_mean
from lookalike.files import write_text
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
    #: avg, max, avgmax, catavgmax or token; empty: the backbone's own.
    pooling: str = ""
    fit: Literal["squash", "crop", "pad"] = "pad"
    dim: PositiveInt = 512


class TextSettings(_Part):
    """The `[text]` part: the fastText model trained on the catalog's descriptions."""

    dim: PositiveInt = 64
    epochs: PositiveInt = 20


class LossSettings(BaseModel):
    """The `[loss]` part: a name; every other key is an argument of that loss's constructor."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = "normalized_softmax"

    @property
    def arguments(self) -> dict[str, Any]:
        """The other keys."""
        return dict(self.model_extra or {})


class EvaluationSettings(_Part):
    """The `[evaluation]` part."""

    k: list[PositiveInt] = Field(default=[1, 2, 4, 8], min_length=1)
    #: Share of the classes held out as test where the catalog has no split.
    test_share: float = Field(default=0.5, gt=0, lt=1)


class Recipe(_Part):
    """All settings of a run. Immutable: `override` gives a new one."""

    encoder: EncoderSettings = EncoderSettings()
    text: TextSettings = TextSettings()
    loss: LossSettings = LossSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

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

        Naming another loss drops the arguments of the present one.

        Raises:
            RecipeError: a setting is unknown or out of range.
        """
        content = self.model_dump()
        if settings.get("loss.name", self.loss.name) != self.loss.name:
            content["loss"] = {}
        for name, value in settings.items():
            part, _, key = name.partition(".")
            if not key:
                raise RecipeError(f"a setting is named PART.KEY, like training.epochs, not {name!r}")
            content.setdefault(part, {})[key] = value
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
        return recipe


def shipped_names() -> list[str]:
    """Names of the recipes that ship with the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


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
