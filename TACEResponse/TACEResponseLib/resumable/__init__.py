"""Work over a cohort, case by case: processes over cases, resumable, one bad case never stops the rest.

What is done to a case is the caller's: a function from a job to a result, so that one pass over
the files can gather features, patch and lesions together. Each result is a pair of files in the
`store` folder, named by a hash of everything that decides it (file contents, recipe), written
whole or not at all. A run that was killed therefore goes on where it stopped and redoes at most the
cases that were in flight; a changed image, mask or setting is computed again. Several runs may work in
one store, also on several computers: each case has a lock, and who waited for it finds the result.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from TACEResponseLib.messages.errors import Cancelled, DependencyError, InputError, Problem, TACEResponseError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.storage import WRITING, whole_file

from .interruption import was_interrupted
from .locks import LOCK, alone, beside_others, one_case
from .workers import in_any_order

#: Raised when the files in a store change their meaning; older ones are then computed again.
STORE_VERSION = 1
#: Files of a store: its lock, results and locks by the hash of what decides them, one being written.
OWN_FILE = re.compile(rf"\{LOCK}|[0-9a-f]{{32}}\.(json|npz|lock)|{re.escape(WRITING)}.*")
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


@dataclass(frozen=True)
class _Run:
    """What every case of a run needs. mark: begins its unfinished files."""

    work: Work
    store: Path
    recipe: str
    mark: str


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

    store: folder for the results, made when absent; other runs may use it too. recipe: JSON types that
    decide the result together with the files (settings, engine and its version). jobs_in_parallel:
    processes; with 1 everything happens in this one. threads: what numerical libraries may use
    inside a process; the work itself knows its own threads. backend `dask`: the processes are those
    of the cluster at `scheduler`, which must see the same files and store.

    Raises InputError when the store cannot be used, DependencyError when dask is
    asked for and not installed, and whatever `progress` raises to stop the work (`Cancelled`).
    """
    store, mark = Path(store), uuid.uuid4().hex[:12]
    recipe_text = json.dumps({"store": STORE_VERSION, **recipe}, sort_keys=True)
    run = _Run(work, store, recipe_text, mark)
    _require_usable(store)
    with beside_others(store, lambda: _remove(store, f"{WRITING}*")):  # of a run that was killed
        results: list[StoredResult | Problem | None] = [None] * len(jobs)
        progress(stage, 0, len(jobs))
        finished = in_any_order(
            _do,
            [(number, job, run) for number, job in enumerate(jobs)],
            jobs_in_parallel=jobs_in_parallel,
            threads=threads,
            backend=backend,
            scheduler=scheduler,
        )
        try:
            for done, (number, outcome) in enumerate(finished, start=1):
                if was_interrupted():  # and a library made another error of it
                    raise KeyboardInterrupt
                results[number] = outcome
                progress(stage, done, len(jobs))
        finally:
            finished.close()
            _remove(store, f"{WRITING}{mark}*")  # of workers that were ended while they wrote
    return results


def forget(store: Path) -> None:
    """Delete the results in a store, and its folder unless something else lies in it.

    Does nothing while another run works in it.
    """
    store = Path(store)
    with alone(store) as is_alone:
        for file in store.glob("*") if is_alone else ():
            if OWN_FILE.fullmatch(file.name):
                with suppress(PermissionError):  # Windows keeps an open file: the lock, which goes next
                    file.unlink(missing_ok=True)
    if is_alone:
        with suppress(OSError):  # another's files, or a run that has begun meanwhile
            if os.name == "nt":
                (store / LOCK).unlink(missing_ok=True)
            store.rmdir()


def _remove(store: Path, pattern: str) -> None:
    for leftover in store.glob(pattern):
        with suppress(OSError):
            leftover.unlink(missing_ok=True)


def affordable_jobs(wanted: int, case_memory_mb: float = CASE_MEMORY_MB) -> int:
    """At most `wanted` processes, fewer when the free memory would not hold their cases."""
    try:
        import psutil
    except ImportError:  # a fresh Slicer can check a cohort without any package
        return 1
    free_mb = psutil.virtual_memory().available / 2**20
    return max(1, min(wanted, int(free_mb / case_memory_mb)))


def _do(number: int, job: CaseJob, run: _Run):
    """The outcome of one job: from the store, or computed and stored."""
    try:
        outcome = _stored_or_computed(job, run)
    except Cancelled:
        raise
    except TACEResponseError as error:
        outcome = error.about(patient_id=job.patient_id).problem
    except OSError as error:
        problem = InputError(
            tr("a file cannot be read or written"),
            file=Path(error.filename).name if error.filename else "",
            received=error.strerror or str(error),
            remedy=tr("check the path in the table, and that the file can be opened"),
        ).problem
        outcome = _about(problem, job.patient_id)
    except MemoryError:
        problem = Problem(
            "memory", tr("the memory does not hold this case"), remedy=tr("use fewer processes")
        )
        outcome = _about(problem, job.patient_id)
    except Exception as error:  # a fault of ours in one case must not cost the other cases
        problem = Problem("fault", tr("an unexpected error"), received=f"{type(error).__name__}: {error}")
        outcome = _about(problem, job.patient_id)
    return number, outcome


def _about(problem: Problem, patient_id: str) -> Problem:
    return TACEResponseError.from_problem(problem).about(patient_id=patient_id).problem


def _stored_or_computed(job: CaseJob, run: _Run) -> StoredResult | Problem:
    """From the store; else computed, unless another run has done so while this one waited."""
    key = _key(job, run.recipe)
    outcome = _load(run.store, key, job.patient_id)
    if outcome is not None:
        return outcome
    with one_case(run.store / f"{key}.lock"):
        return _load(run.store, key, job.patient_id) or _compute(job, run, key)


def _compute(job: CaseJob, run: _Run, key: str) -> StoredResult | Problem:
    """Do the work and store its result, or the problem that it will meet again."""
    try:
        result = run.work(job)
    except (Cancelled, DependencyError):
        raise
    except TACEResponseError as error:
        if was_interrupted():
            raise KeyboardInterrupt from None
        problem = error.about(patient_id=job.patient_id).problem
        _write(run, key, {"patient_id": job.patient_id, "problem": asdict(problem)})
        return problem
    if result.arrays:
        with whole_file(run.store / f"{key}.npz", run.mark) as stream:
            np.savez(stream, **result.arrays)
    content = {"patient_id": job.patient_id, "values": dict(result.values), "arrays": sorted(result.arrays)}
    _write(run, key, content)
    return _load(run.store, key, job.patient_id)


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


def _write(run: _Run, key: str, content: dict) -> None:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    with whole_file(run.store / f"{key}.json", run.mark) as stream:
        stream.write(text.encode("utf-8"))


def _require_usable(store: Path) -> None:
    """Raise InputError unless the store can be written and its disk has room."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        (store / LOCK).touch()
        free_mb = shutil.disk_usage(store).free / 2**20
    except OSError as error:
        raise InputError(
            tr("the folder for results cannot be written"), file=str(store), received=str(error)
        ) from None
    if free_mb < LEAST_FREE_MB:
        raise InputError(
            tr("the disk is nearly full"),
            file=str(store),
            expected=tr("{least} MB free", least=LEAST_FREE_MB),
            received=f"{free_mb:.0f} MB",
            remedy=tr("free some space, or choose another folder"),
        )
