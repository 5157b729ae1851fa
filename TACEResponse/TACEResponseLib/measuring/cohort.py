"""Many patients measured: the work of `measurements` on a list of patients, resumable.

One pass over a patient's files gathers features, patch and lesions. The runner (`extraction`)
keeps what is finished, so a stopped run goes on, and names a patient who cannot be measured.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from TACEResponseLib.cases import Case
from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.cohorts.table import Patient
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.radiomics import engine_version
from TACEResponseLib.radiomics.parameters import settings_from_file
from TACEResponseLib.readers.volumes import files_of
from TACEResponseLib.resumable import CaseJob, CaseResult, StoredResult, affordable_jobs, run_cases
from TACEResponseLib.settings import PatchSettings, RadiomicsSettings

from .case import SCAN, Measurements, measure
from .controls import CONTROLS, CONTROLS_VERSION, IN_WORDS
from .feature_table import extract_features
from .patch import Patch


def measure_patients(
    patients: Sequence[Patient],
    radiomics: RadiomicsSettings,
    patch: PatchSettings | None,
    *,
    reader: int = 1,
    engine: str = "fast",
    jobs: int = 1,
    store: Path | None = None,
    control: str = "",
    progress: Progress = silent,
) -> tuple[dict[str, Measurements], dict[str, Problem]]:
    """Patient -> measurements, and patient -> why there are none.

    patch: None measures no patch. reader: whose mask. jobs: patients at a time, fewer when the
    memory would not hold them. store: folder that keeps finished patients; temporary when None.
    control: name of `controls.CONTROLS` that each case goes through first. Raises what
    `extraction.run_cases` raises.
    """
    recipe = {
        "radiomics": radiomics.to_json(),
        "patch": None if patch is None else patch.to_json(),
        "engine": engine_version(engine),
        "scan": (*SCAN, "phase"),
    }
    if control:
        recipe |= {"control": control, "controls_version": CONTROLS_VERSION}
    work = [_job(p, reader, (p, reader, radiomics, patch, engine, control)) for p in patients]
    measured, failed = {}, {}
    with _folder(store) as folder:
        outcomes = run_cases(
            work,
            _measure,
            store=folder,
            recipe=recipe,
            jobs_in_parallel=affordable_jobs(jobs),
            progress=progress,
            stage=tr("measure, {control}", control=tr(IN_WORDS[control]))
            if control
            else tr("measure, reader {reader}", reader=reader),
        )
        for patient, outcome in zip(patients, outcomes, strict=True):
            if isinstance(outcome, Problem):
                failed[patient.patient_id] = outcome
            else:
                measured[patient.patient_id] = _restored(outcome)
    return measured, failed


def extraction_settings(parameters: Path | None) -> RadiomicsSettings:
    """Those of a pyradiomics parameter file, or the paper's without one."""
    return RadiomicsSettings() if parameters is None else settings_from_file(parameters)


def extract_patients(
    patients: Sequence[Patient],
    radiomics: RadiomicsSettings,
    *,
    reader: int = 1,
    engine: str = "fast",
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    store: Path,
    part: tuple[int, int] | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, dict], dict[str, Problem]]:
    """Patient -> row of radiomics columns, and patient -> why there is none; see `extract_features`.

    With the second reader only the patients whom that reader outlined. part: (number, of how many)
    takes a share of them, see `share_of`.
    """
    patients = [p for p in patients if reader == 1 or p.mask_reader2 is not None]
    if part is not None:
        patients = share_of(patients, *part)
    outcomes = extract_features(
        [_job(patient, reader, (patient, reader)) for patient in patients],
        _read,
        radiomics,
        store=store,
        engine=engine,
        jobs_in_parallel=affordable_jobs(jobs),
        backend=backend,
        scheduler=scheduler,
        progress=progress,
    )
    by_patient = {p.patient_id: outcome for p, outcome in zip(patients, outcomes, strict=True)}
    failed = {name: outcome for name, outcome in by_patient.items() if isinstance(outcome, Problem)}
    return {n: dict(o.values) for n, o in by_patient.items() if n not in failed}, failed


def share_of(patients: Sequence[Patient], number: int, parts: int) -> list[Patient]:
    """Every `parts`-th patient. Numbers from 1 to `parts`, or from 0 to `parts` - 1, take each one once.

    The patient at position n (from 1) belongs to the part that leaves the same remainder by `parts`;
    so 0 and `parts` are one part, and an array of jobs may count from 0 or from 1.
    """
    return [p for position, p in enumerate(patients, start=1) if position % parts == number % parts]


def _read(job: CaseJob) -> Case:
    patient, reader = job.content
    return patient.read_case(reader)


def _job(patient: Patient, reader: int, content: tuple) -> CaseJob:
    mask = patient.mask if reader == 1 else patient.mask_reader2
    choice = f"{patient.mask_label} {patient.segment} {patient.series} {patient.repairs}"
    files = (*files_of(patient.image), *files_of(mask))
    return CaseJob(patient.patient_id, files, content, key=choice)


def _measure(job: CaseJob) -> CaseResult:
    """The work on one patient, in whatever process; plain data, so that it can be stored."""
    patient, reader, radiomics, patch, engine, control = job.content
    case = patient.read_case(reader)
    found = measure(CONTROLS[control](case) if control else case, radiomics, patch, engine=engine)
    lesions = dataclasses.asdict(found.lesions)
    values = {
        "row": found.row,
        "lesions": lesions,
        "scan": found.scan,
        "phase": found.phase,
        "patch": None,
    }
    if found.patch is None:
        return CaseResult(values)
    place = {f.name: getattr(found.patch, f.name) for f in dataclasses.fields(Patch) if f.name != "pixels"}
    return CaseResult({**values, "patch": place}, {"pixels": found.patch.pixels})


def _restored(stored: StoredResult) -> Measurements:
    values, place = stored.values, stored.values["patch"]
    lesions = {n: tuple(v) if isinstance(v, list) else v for n, v in values["lesions"].items()}
    patch = None
    if place is not None:
        place = {**place, "centre_mm": tuple(place["centre_mm"])}
        patch = Patch(pixels=stored.arrays["pixels"], **place)
    return Measurements(
        stored.patient_id, values["row"], Lesions(**lesions), values["scan"], patch, phase=values["phase"]
    )


@contextlib.contextmanager
def _folder(store: Path | None) -> Iterator[Path]:
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="tace-measure-") as folder:
        yield Path(folder)
