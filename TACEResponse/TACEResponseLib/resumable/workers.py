"""Tasks in processes beside each other: on this computer, or on a dask cluster."""

import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from TACEResponseLib.messages.errors import DependencyError, InputError, TACEResponseError
from TACEResponseLib.messages.language import tr

from .interruption import end_with, workers_deaf


def in_any_order(
    do: Callable,
    tasks: Sequence[tuple],
    *,
    jobs_in_parallel: int,
    threads: int,
    backend: Literal["loky", "dask"],
    scheduler: str | None,
) -> Iterator:
    """Yield `do(*task)` for every task as they come; see `extraction.run_cases` for the options.

    Raises TACEResponseError when a process was ended from outside, InputError and DependencyError
    when there is no dask.
    """
    if backend == "loky" and (jobs_in_parallel <= 1 or importlib.util.find_spec("joblib") is None):
        yield from (do(*task) for task in tasks)
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if backend == "dask":
        client = _dask_client(scheduler)
        setting = parallel_config(backend="dask")
    else:
        client = None
        # From its start on, not from its first task: a parent may be killed between the two.
        watch = {"initializer": end_with, "initargs": (os.getpid(),)}
        setting = parallel_config(backend="loky", inner_max_num_threads=threads, **watch)
    try:
        with setting:
            number = jobs_in_parallel if client is None else -1
            parallel = Parallel(n_jobs=number, return_as="generator_unordered", batch_size=1)
            _start_trackers()
            with workers_deaf():
                outcomes = parallel(delayed(do)(*task) for task in tasks)
            try:
                for outcome in outcomes:  # noqa: UP028  `yield from` would close them with warnings
                    yield outcome
            finally:
                _close_quietly(outcomes)
    except TerminatedWorkerError:
        raise TACEResponseError(
            tr("a worker process was ended from outside, most likely because memory ran out"),
            kind="memory",
            received=tr("{n} processes", n=jobs_in_parallel),
            remedy=tr("start again with fewer processes; finished cases are kept"),
        ) from None
    finally:
        if client is not None:
            client.close()


def _start_trackers() -> None:
    """Start the helpers of multiprocessing and loky now: on their start they make signals heard again."""
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as resource_tracker_of_loky

    for tracker in (resource_tracker, resource_tracker_of_loky):
        tracker.ensure_running()


def _close_quietly(outcomes) -> None:
    """End the processes' work; joblib warns that tasks are cancelled, which is what was asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        outcomes.close()


def _dask_client(scheduler: str | None):
    """A client of the dask cluster at an address such as tcp://host:8786."""
    if not scheduler:
        raise InputError(
            tr("dask needs the address of its scheduler"),
            field="scheduler",
            expected=tr("an address, for example tcp://host:8786"),
            received=tr("none"),
        )
    try:
        from distributed import Client
    except ImportError:
        raise DependencyError(
            tr("work on a dask cluster needs the package distributed"),
            field="backend",
            remedy=tr("install it with: pip install distributed"),
        ) from None
    try:
        return Client(scheduler, timeout="10s")
    except OSError as error:
        raise InputError(
            tr("the dask scheduler does not answer"),
            field="scheduler",
            received=f"{scheduler}: {error}",
            remedy=tr("check the address, and that the scheduler runs"),
        ) from None
