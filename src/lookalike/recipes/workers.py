"""Runs done one after another, or several at a time in processes of their own."""

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from pyarrow import feather

from lookalike.catalog import Catalog
from lookalike.errors import TrainingError
from lookalike.progress import track
from lookalike.recipes.series import Planned

#: Beside the runs: what the processes tell, and the catalogs they share.
LOG, SHARED = "log.txt", ".catalogs"
Done = Iterator[tuple[Planned, str | None]]
#: Of a worker: the catalogs by name.
_catalogs: dict[str, Catalog] = {}


def finish(planned: Sequence[Planned], catalogs: Mapping[str, Catalog], jobs: int, folder: Path) -> dict[Path, str]:
    """Do every run that is not finished yet; one that was broken off is begun again.

    Args:
        planned: runs, in the order they are wanted.
        catalogs: by name.
        jobs: how many at a time, each in its own process with its share of the threads. What they tell goes to a log.
        folder: of the runs.

    Returns:
        Why a run could not be done, by its directory.

    Raises:
        TrainingError: a process was ended from outside; finished runs stay.
    """
    todo = [run for run in planned if run.metrics is None]
    if not todo:
        return {}
    in_turn = ((run, run.run(catalogs[run.catalog])) for run in todo)
    done = in_turn if jobs == 1 else _in_processes(todo, catalogs, jobs, folder)
    return {run.directory: reason for run, reason in track(done, "runs", total=len(todo)) if reason}


def _in_processes(todo: Sequence[Planned], catalogs: Mapping[str, Catalog], jobs: int, folder: Path) -> Done:
    # The first run on a backbone's features makes and keeps them; the others wait for it.
    groups: dict[Any, list[Planned]] = {}
    for run in todo:
        groups.setdefault(_features_key(run), []).append(run)
    others, shared = set(active_children()), _share(catalogs, folder / SHARED)
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin_worker, (shared, jobs, folder / LOG)) as pool:
        futures: dict[Future[str | None], tuple[Planned, list[Planned]]] = {}
        try:
            futures |= {pool.submit(_run, group[0]): (group[0], group[1:]) for group in groups.values()}
            while futures:
                for future in wait(futures, return_when=FIRST_COMPLETED).done:
                    run, behind = futures.pop(future)
                    yield run, future.result()
                    futures |= {pool.submit(_run, waiting): (waiting, []) for waiting in behind}
        except BrokenProcessPool:
            raise TrainingError(
                f"a process that trained was ended from outside or had too little memory (see {folder / LOG}); "
                "finished runs are kept: call it again, with fewer --jobs"
            ) from None
        except BaseException:  # Ctrl-C: nobody waits for what is half done
            for process in set(active_children()) - others:
                process.terminate()
            raise
    shutil.rmtree(folder / SHARED)


def _features_key(run: Planned) -> tuple[object, ...]:
    """Runs of one key have the same frozen features; a backbone without weights is drawn by the seed."""
    settings = run.recipe.encoder
    drawn = not (settings.pretrained or settings.weights)
    return run.catalog, settings.of_backbone, run.recipe.training.seed if drawn else None


def _share(catalogs: Mapping[str, Catalog], folder: Path) -> dict[str, tuple[Path, str]]:
    """Catalogs as files that all workers map, so that there is one copy in memory; and what they are called."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = {name: (folder / f"{number}.arrow", catalogs[name].name) for number, name in enumerate(catalogs)}
    for name, (file, _) in shared.items():
        feather.write_feather(catalogs[name].table, file, compression="uncompressed")
    return shared


def _begin_worker(shared: dict[str, tuple[Path, str]], jobs: int, log: Path) -> None:
    import torch

    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent ends its workers
    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    with log.open("a") as file:
        for stream in (1, 2):  # bars and notes of several runs at a time would be a mess
            os.dup2(file.fileno(), stream)
    for name, (path, called) in shared.items():
        _catalogs[name] = Catalog(feather.read_table(path, memory_map=True), called)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:  # as it is in a worker
        parent.join()  # returns when it is gone, however it ended
        os._exit(1)


def _run(run: Planned) -> str | None:
    try:
        return run.run(_catalogs[run.catalog])
    except KeyboardInterrupt:  # the parent ends it, and its state is kept; the pool would give it the next run
        os._exit(1)
