"""A search for settings on validation classes; the test classes are touched once, in the end, with the best ones."""

import datetime
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.catalog import Catalog
from lookalike.errors import CatalogError, LossInputError, RecipeError, TrainingError
from lookalike.files import write_text
from lookalike.progress import progress_bar
from lookalike.recipes.identity import catalog_digest
from lookalike.recipes.recipe import Recipe
from lookalike.recipes.series import LOCK, claimed
from lookalike.recipes.train import train
from lookalike.training.run import METRICS, Run

if TYPE_CHECKING:
    from optuna import Study, Trial

STAMP, STORAGE, TRIALS, TUNED, TOUCHES = "search.json", "trials.db", "trials", "tuned.toml", "test"


@dataclass(frozen=True)
class Range:
    """Where a number is looked for, ends included; whole numbers where the setting takes no others.

    With `log` in equal steps of the logarithm: for rates and weights whose size is unknown.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """Values a setting is chosen from: numbers, words, true and false."""

    values: tuple[Any, ...]


Space = Mapping[str, Range | Choice]


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        recipe: with the best settings.
        settings: those that were searched, at their best.
        validation: Recall@1 on the validation classes, in [0, 1]; too good, as the best of many.
        trials: how many were tried.
        run: trained with the recipe and judged on the test classes.
        touches: when the test classes were looked at, the last time for these figures.
    """

    recipe: Recipe
    settings: dict[str, Any]
    validation: float
    trials: int
    run: Run
    touches: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return {
            "settings": self.settings,
            "validation": self.validation,
            "trials": self.trials,
            "test_touched": len(self.touches),
            "test_touched_at": self.touches,
            "run": str(self.run.directory),
            "verdict": self.run.metrics["verdict"],
            "test": self.run.metrics["test"],
        }


def tune(
    recipe: Recipe, catalog: Catalog, space: Space, trials: int, directory: str | Path, *, again: bool = False
) -> Tuned:
    """Search settings by Recall@1 on the validation classes (Optuna's TPE), then judge the best on the test classes.

    No trial looks at a test class. A search that was stopped is gone on with by the same call; more trials can be asked
    for as long as the test was not touched.

    Args:
        recipe: all that is not searched; its seed is that of all trials, so they share their validation classes.
        catalog: to learn from.
        space: what is searched, by dotted name.
        trials: how many in all, those of earlier calls included.
        directory: for what it makes: trials.db and trials/, tuned.toml, metrics.json, and test/ with the run judged.
        again: touch the test once more. Who chooses after looking chooses for the test; it is counted.

    Raises:
        RecipeError: nothing to search, or a value that cannot be; Optuna is not installed.
        CatalogError: there are no validation classes.
        TrainingError: the test was touched already, the directory is of another search, or no trial could be done.
    """
    _check(recipe, catalog, space, trials)
    directory = Path(directory)
    with claimed(directory):
        _stamp(directory, recipe, catalog, space)
        touched = _touches(directory)
        if touched and not again:
            raise TrainingError(
                f"the test classes were touched already, on {touched[-1]} (figures: {directory / METRICS}); to choose "
                "again after looking makes the figures too good: --again does it all the same, and it is counted"
            )
        study = _study(directory, recipe)
        _search(study, recipe, catalog, space, trials, directory)
        best = recipe.override(study.best_params)
        best.save(directory / TUNED)
        folder = directory / TOUCHES / str(len(touched) + 1)
        shutil.rmtree(folder, ignore_errors=True)  # broken off before there was a figure to see
        run = train(best, catalog, folder)
        tuned = Tuned(best, study.best_params, float(study.best_value), _tried(study), run, _touches(directory))
        write_text(directory / METRICS, json.dumps(tuned.to_dict(), indent=2))
    return tuned


def _check(recipe: Recipe, catalog: Catalog, space: Space, trials: int) -> None:
    """Refuse before any long work what could not be searched."""
    if not space or trials < 1:
        raise RecipeError(f"a search needs settings to vary and a trial or more, not {len(space)} and {trials}")
    for name, where in space.items():
        if isinstance(where, Range):
            if not where.low < where.high or (where.log and where.low <= 0):
                raise RecipeError(
                    f"{name} cannot vary from {where.low} to {where.high}{' by logarithm' if where.log else ''}: give "
                    "the lower end first, and above 0 for log"
                )
            values: tuple[Any, ...] = (where.low, where.high)
        else:
            values = where.values
            if any(not isinstance(value, bool | int | float | str) for value in values):
                raise RecipeError(f"{name} = {list(values)}: only numbers, words, true and false can be searched")
        for value in values:
            recipe.override({name: value})
    if recipe.training.validation_share == 0 and "validation" not in (
        catalog.column("split") if "split" in catalog else []
    ):
        raise RecipeError("training.validation_share = 0: a search needs validation classes to choose by; give a share")


def _stamp(directory: Path, recipe: Recipe, catalog: Catalog, space: Space) -> None:
    """Take an empty directory, or one an earlier call of the same search made."""
    varied = {name: asdict(where) for name, where in space.items()}
    search = {"recipe": recipe.model_dump(), "catalog": catalog_digest(catalog), "vary": varied}
    written = json.dumps(search, indent=2)
    stamp = directory / STAMP
    if stamp.exists() and stamp.read_text(encoding="utf-8") == written:
        return
    if any(file.name != LOCK for file in directory.iterdir()):
        raise TrainingError(
            f"{directory} is not empty, and not of this search (recipe, catalog and --vary): give another --to"
        )
    write_text(stamp, written)


def _touches(directory: Path) -> list[str]:
    """When the test classes were looked at: each time left a finished run."""
    times = sorted(file.stat().st_mtime for file in (directory / TOUCHES).glob(f"*/{METRICS}"))
    return [datetime.datetime.fromtimestamp(time).isoformat(" ", "seconds") for time in times]


def _study(directory: Path, recipe: Recipe) -> "Study":
    """The trials so far; one that was under way when its process died is no trial."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise RecipeError("a search needs the package optuna: pip install 'lookalike[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{directory / STORAGE}"
    study = optuna.create_study(storage=storage, study_name="tune", direction="maximize", load_if_exists=True)
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        shutil.rmtree(_folder(directory, trial.number), ignore_errors=True)
    # Gone on with, the same seed would draw the first settings again.
    study.sampler = optuna.samplers.TPESampler(seed=recipe.training.seed + len(study.trials))
    return study


def _folder(directory: Path, number: int) -> Path:
    return directory / TRIALS / f"{number:04d}"


def _search(study: "Study", recipe: Recipe, catalog: Catalog, space: Space, trials: int, directory: Path) -> None:
    from optuna.trial import TrialState

    whole = {name for name, where in space.items() if isinstance(where, Range) and _is_whole(recipe, name, where)}
    reason = ""
    with progress_bar() as bar:
        task = bar.add_task("trials", total=trials, note="")
        while (done := _tried(study)) < trials:
            bar.update(task, completed=done)
            trial = study.ask()
            settings = {name: _suggested(trial, name, where, name in whole) for name, where in space.items()}
            try:
                score = _score(recipe.override(settings), catalog, _folder(directory, trial.number))
            except (TrainingError, RecipeError, LossInputError) as error:  # it diverged, or settings that do not fit
                reason = str(error)
                study.tell(trial, state=TrialState.PRUNED)
                continue
            study.tell(trial, score)
            bar.update(task, note=f"best {study.best_value:.3f}")
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise TrainingError(f"not one of {trials} trials could be done: {reason or 'see an earlier call'}")


def _tried(study: "Study") -> int:
    """Trials done, with those that gave no score."""
    return sum(trial.state.is_finished() and trial.state.name != "FAIL" for trial in study.get_trials(deepcopy=False))


def _is_whole(recipe: Recipe, name: str, where: Range) -> bool:
    """Whether a setting takes whole numbers only: it refuses one between two of them."""
    if not (isinstance(where.low, int) and isinstance(where.high, int)):
        return False
    try:
        recipe.override({name: where.low + 0.5})
    except RecipeError:
        return True
    return False


def _suggested(trial: "Trial", name: str, where: Range | Choice, whole: bool) -> Any:
    if isinstance(where, Choice):
        return trial.suggest_categorical(name, where.values)
    if whole:
        return trial.suggest_int(name, int(where.low), int(where.high), log=where.log)
    return trial.suggest_float(name, where.low, where.high, log=where.log)


def _score(recipe: Recipe, catalog: Catalog, directory: Path) -> float:
    run = train(recipe, catalog, directory, judge_test=False)
    score = run.metrics["best"]["validation"]
    if score is None:
        raise CatalogError(
            f"{catalog.name} has no validation classes to choose by: a search needs 4 training classes or more, two "
            "pictures each in those held out"
        )
    return float(score)
