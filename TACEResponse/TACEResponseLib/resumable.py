"""Work over a cohort, case by case: processes over cases, resumable, one bad case never stops the rest.

What is done to a case is the caller's: a function from a job to a result, so that one pass over
the files can gather features, patch and lesions together. Each result is a pair of files in the
`store` folder, named by a hash of everything that decides it (file contents, recipe), written
whole or not at all. A run that was killed therefore goes on where it stopped and redoes at most the
cases that were in flight; a changed image, mask or setting is computed again.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from .errors import Cancelled, DependencyError, InputError, Problem, TACEResponseError
from .progress import Progress, silent
from .storage import WRITING, whole_file

#: Raised when the files in a store change their meaning; older ones are then computed again.
STORE_VERSION = 1
#: Files of a store: its lock, results by the hash of what decides them, one being written.
LOCK = ".lock"
OWN_FILE = re.compile(rf"\{LOCK}|[0-9a-f]{{32}}\.(json|npz)|{re.escape(WRITING)}.*")
#: Free space in the store's folder without which no run starts.
LEAST_FREE_MB = 200
#: Memory that one full-size case takes while it is worked on, generously.
CASE_MEMORY_MB = 800


@dataclass(frozen=True)
class CaseJob:
    """One case to work on.

    files: files or folders whose content decides the result (image, masks). content: what the work
    needs beside them, for example the cohort's row; it must be picklable and, when it decides the
    result, part of `key`.
    """

    patient_id: str
    files: tuple[Path, ...]
    content: object = None
    key: str = ""


@dataclass(frozen=True)
class CaseResult:
    """What the work on one case found: JSON types in `values`, numpy arrays in `arrays`."""

    values: Mapping[str, object]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredResult:
    """A result in the store; the arrays stay on disk until they are asked for."""

    patient_id: str
    values: Mapping[str, object]
    arrays_file: Path | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, read anew each time so that a cohort's arrays need no memory."""
        if self.arrays_file is None:
            return {}
        with np.load(self.arrays_file, allow_pickle=False) as stored:
            return dict(stored)


Work = Callable[[CaseJob], CaseResult]


def run_cases(
    jobs: Sequence[CaseJob],
    work: Work,
    *,
    store: Path,
    recipe: Mapping[str, object],
    jobs_in_parallel: int = 1,
    threads: int = 1,
    backend: Literal["loky", "dask"] = "loky",
    scheduler: str | None = None,
    progress: Progress = silent,
    stage: str = "cases",
) -> list[StoredResult | Problem]:
    """Do `work` on every job and return a result or a problem for each, in the jobs' order.

    store: folder for the results, made when absent; one run at a time. recipe: JSON types that
    decide the result together with the files (settings, engine and its version). jobs_in_parallel:
    processes; with 1 everything happens in this one. threads: what numerical libraries may use
    inside a process; the work itself knows its own threads. backend `dask`: the processes are those
    of the cluster at `scheduler`, which must see the same files and store.

    Raises InputError when the store cannot be used or is in use, DependencyError when dask is
    asked for and not installed, and whatever `progress` raises to stop the work (`Cancelled`).
    """
    store = Path(store)
    with _locked(store):
        recipe_text = json.dumps({"store": STORE_VERSION, **recipe}, sort_keys=True)
        results: list[StoredResult | Problem | None] = [None] * len(jobs)
        tasks = [(n, job, work, store, recipe_text) for n, job in enumerate(jobs)]
        progress(stage, 0, len(jobs))
        finished = _outcomes(tasks, jobs_in_parallel, threads, backend, scheduler)
        try:
            for done, (number, outcome) in enumerate(finished, start=1):
                results[number] = outcome
                progress(stage, done, len(jobs))
        finally:
            finished.close()
    return results


def forget(store: Path) -> None:
    """Delete the results in a store, and its folder unless something else lies in it."""
    for file in Path(store).glob("*"):
        if OWN_FILE.fullmatch(file.name):
            file.unlink(missing_ok=True)
    with suppress(OSError):  # another's files, or there was no store
        Path(store).rmdir()


def affordable_jobs(wanted: int, case_memory_mb: float = CASE_MEMORY_MB) -> int:
    """At most `wanted` processes, fewer when the free memory would not hold their cases."""
    try:
        import psutil
    except ImportError:  # a fresh Slicer can check a cohort without any package
        return 1
    free_mb = psutil.virtual_memory().available / 2**20
    return max(1, min(wanted, int(free_mb / case_memory_mb)))


def _outcomes(tasks, jobs_in_parallel: int, threads: int, backend: str, scheduler: str | None) -> Iterator:
    """Yield (number, result or problem) as they come."""
    if backend == "loky" and (jobs_in_parallel <= 1 or importlib.util.find_spec("joblib") is None):
        yield from (_do(*task) for task in tasks)
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if backend == "dask":
        client = _dask_client(scheduler)
        setting = parallel_config(backend="dask")
    else:
        client = None
        setting = parallel_config(backend="loky", inner_max_num_threads=threads)
    try:
        with setting:
            number = jobs_in_parallel if client is None else -1
            parallel = Parallel(n_jobs=number, return_as="generator_unordered", batch_size=1)
            outcomes = parallel(delayed(_do)(*task) for task in tasks)
            try:
                for outcome in outcomes:  # noqa: UP028  `yield from` would close them with warnings
                    yield outcome
            finally:
                _close_quietly(outcomes)
    except TerminatedWorkerError:
        raise TACEResponseError(
            "a worker process was ended from outside, most likely because memory ran out",
            kind="memory",
            received=f"{jobs_in_parallel} processes",
            remedy="start again with fewer processes; finished cases are kept",
        ) from None
    finally:
        if client is not None:
            client.close()


def _close_quietly(outcomes) -> None:
    """End the processes' work; joblib warns that tasks are cancelled, which is what was asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        outcomes.close()


def _dask_client(scheduler: str | None):
    """A client of the dask cluster at an address such as tcp://host:8786."""
    if not scheduler:
        raise InputError(
            "dask needs the address of its scheduler",
            field="scheduler",
            expected="an address, for example tcp://host:8786",
            received="none",
        )
    try:
        from distributed import Client
    except ImportError:
        raise DependencyError(
            "work on a dask cluster needs the package distributed",
            field="backend",
            remedy="install it with: pip install distributed",
        ) from None
    try:
        return Client(scheduler, timeout="10s")
    except OSError as error:
        raise InputError(
            "the dask scheduler does not answer",
            field="scheduler",
            received=f"{scheduler}: {error}",
            remedy="check the address, and that the scheduler runs",
        ) from None


def _do(number: int, job: CaseJob, work: Work, store: Path, recipe: str):
    """The outcome of one job: from the store, or computed and stored."""
    try:
        key = _key(job, recipe)
        outcome = _load(store, key, job.patient_id)
        if outcome is None:
            outcome = _compute(job, work, store, key)
    except Cancelled:
        raise
    except TACEResponseError as error:
        outcome = error.about(patient_id=job.patient_id).problem
    except OSError as error:
        problem = InputError(
            "a file cannot be read or written",
            file=Path(error.filename).name if error.filename else "",
            received=error.strerror or str(error),
            remedy="check the path in the table, and that the file can be opened",
        ).problem
        outcome = _about(problem, job.patient_id)
    except MemoryError:
        problem = Problem("memory", "the memory does not hold this case", remedy="use fewer processes")
        outcome = _about(problem, job.patient_id)
    except Exception as error:  # a fault of ours in one case must not cost the other cases
        problem = Problem("fault", "an unexpected error", received=f"{type(error).__name__}: {error}")
        outcome = _about(problem, job.patient_id)
    return number, outcome


def _about(problem: Problem, patient_id: str) -> Problem:
    return TACEResponseError.from_problem(problem).about(patient_id=patient_id).problem


def _compute(job: CaseJob, work: Work, store: Path, key: str) -> StoredResult | Problem:
    """Do the work and store its result, or the problem that it will meet again."""
    try:
        result = work(job)
    except (Cancelled, DependencyError):
        raise
    except TACEResponseError as error:
        problem = error.about(patient_id=job.patient_id).problem
        _write(store / f"{key}.json", {"patient_id": job.patient_id, "problem": asdict(problem)})
        return problem
    if result.arrays:
        with whole_file(store / f"{key}.npz") as stream:
            np.savez(stream, **result.arrays)
    content = {"patient_id": job.patient_id, "values": dict(result.values), "arrays": sorted(result.arrays)}
    _write(store / f"{key}.json", content)
    return _load(store, key, job.patient_id)


def _key(job: CaseJob, recipe: str) -> str:
    """A name for the job's result by everything that decides it."""
    digest = hashlib.sha256(f"{recipe}\n{job.patient_id}\n{job.key}\n".encode())
    for path in job.files:
        path = Path(path)
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


def _load(store: Path, key: str, patient_id: str) -> StoredResult | Problem | None:
    """What the store has under this name; None when it has nothing whole."""
    try:
        content = json.loads((store / f"{key}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    if "problem" in content:
        return Problem(**content["problem"])
    arrays = store / f"{key}.npz" if content["arrays"] else None
    if arrays is not None and not arrays.is_file():
        return None
    return StoredResult(patient_id, content["values"], arrays)


def _write(path: Path, content: dict) -> None:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as stream:
        stream.write(text.encode("utf-8"))


@contextmanager
def _locked(store: Path):
    """Hold the store for this run; the system lets go of it when the process ends, however it ends."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        lock = (store / LOCK).open("a")
        free_mb = shutil.disk_usage(store).free / 2**20
    except OSError as error:
        raise InputError(
            "the folder for results cannot be written", file=str(store), received=str(error)
        ) from None
    with lock:
        if free_mb < LEAST_FREE_MB:
            raise InputError(
                "the disk is nearly full",
                file=str(store),
                expected=f"{LEAST_FREE_MB} MB free",
                received=f"{free_mb:.0f} MB",
                remedy="free some space, or choose another folder",
            )
        try:
            _lock(lock)
        except OSError:
            raise InputError(
                "another run is working in this folder",
                file=str(store),
                remedy="wait until it has ended, or choose another folder",
            ) from None
        for leftover in store.glob(f"{WRITING}*"):  # of a run that was killed
            leftover.unlink(missing_ok=True)
        yield


def _lock(stream) -> None:
    """Lock an open file for this process; OSError when another process has it."""
    if os.name == "nt":
        import msvcrt

        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
