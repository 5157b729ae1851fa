"""Negative controls of a finished training: what the same recipe finds where no texture can tell.

Three of them. Shuffled labels: nothing can be found, so the mean AUC within folds is 0.5 unless a
step sees what it must not. Features of shuffled voxels and of a region moved elsewhere
(`measuring.controls`): what a model still finds there is shape, the distribution of HU, the scan or
the patient, not the texture of the tumour. Folds, seeds and features are those of the training.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from TACEResponseLib.cohorts.table import Cohort
from TACEResponseLib.measuring.case import SCAN
from TACEResponseLib.measuring.cohort import measure_patients
from TACEResponseLib.measuring.controls import CONTROLS
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem, TrainingError
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.messages.progress import Progress, silent, within
from TACEResponseLib.resumable import CaseJob, CaseResult, StoredResult, affordable_jobs, run_cases
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.crossvalidation import WithinFolds
from TACEResponseLib.statistics.outcome import Outcome

from .fit import without_pictures
from .inputs import measured_patients
from .model import TrainingRecord
from .out_of_fold import judged_again, score_out_of_fold
from .stability import fingerprint, shown_for

#: Times that labels are shuffled: their mean AUC then has a standard error of about 0.03 with 93 patients.
SHUFFLES = 10
#: The controls that are measured anew, in words.
REGIONS = {
    "shuffled_voxels": mark("shuffled voxels"),
    "moved_region": mark("moved region"),
}


@dataclass(frozen=True)
class RegionControl:
    """One control that was measured anew.

    aucs: combination -> AUCs within folds; empty where `problem` says why nothing could be trained.
    patients: how many could be measured. tumour_hu: of each the median HU of what was measured.
    same_patients: whether they are all of the training, so that folds are the same and AUCs can be
    compared in pairs. left_out: patient -> why not measured.
    """

    aucs: Mapping[str, WithinFolds] = field(repr=False)
    patients: int
    tumour_hu: np.ndarray = field(repr=False)
    same_patients: bool
    left_out: Mapping[str, Problem]
    problem: Problem | None = None


@dataclass(frozen=True)
class Controls:
    """What the recipe found on controls, beside what it found in the tumours.

    tumours: combination -> AUCs within folds of the training itself, without models of pictures.
    tumour_hu: (n,) median HU of the tumours, None without images. shown: the combination that stands
    for the headline. shuffled_labels: combination -> (s,) AUCs on s shuffles. regions: name -> control;
    empty for a training without images. failed: shuffles that could not be trained, and why.
    """

    tumours: Mapping[str, WithinFolds] = field(repr=False)
    tumour_hu: np.ndarray | None = field(repr=False)
    shown: str
    shuffled_labels: Mapping[str, np.ndarray]
    regions: Mapping[str, RegionControl]
    failed: tuple[Problem, ...] = ()


def negative_controls(
    table: PatientTable,
    outcome: Outcome,
    settings: TrainingSettings,
    record: TrainingRecord,
    cohort: Cohort | None = None,
    *,
    store: Path,
    engine: str = "fast",
    jobs: int = 1,
    progress: Progress = silent,
) -> Controls:
    """Train the recipe again on shuffled labels and, with a cohort of images, on control regions.

    table: what was trained on, see `run.Trained.usable`. store: folder that keeps what is finished.
    Models of pictures are not trained again. Raises TrainingError, what `measure_patients` raises, and
    whatever `progress` raises.
    """
    quick = without_pictures(settings)
    rows = dataclasses.replace(table, pixels=None, clinical=(), diagnostics=(), burdens=())
    tumours = judged_again(record.out_of_fold, quick.models, outcome, quick).aucs
    how = {"store": store, "jobs": jobs, "progress": progress}
    shuffled = _shuffled_labels(rows, outcome, quick, **how)
    found = [one for one in shuffled if not isinstance(one, Problem)]
    regions = {
        name: _region(name, cohort, rows, outcome, quick, engine=engine, **how)
        for name in (CONTROLS if cohort is not None else ())
    }
    return Controls(
        tumours=tumours,
        tumour_hu=_tumour_hu(table),
        shown=shown_for(settings.fusion.headline, tumours),
        shuffled_labels={n: np.array([one.values[n] for one in found if n in one.values]) for n in tumours},
        regions=regions,
        failed=tuple(one for one in shuffled if isinstance(one, Problem)),
    )


def shuffled(outcome: Outcome, groups: tuple[str, ...], seed: int) -> Outcome:
    """The same labels given to other patients; rows of one group take the labels of a group as large."""
    names = np.asarray(groups, dtype=str)
    members = [np.flatnonzero(names == name) for name in dict.fromkeys(groups)]
    random, source = np.random.default_rng(seed), np.arange(len(outcome))
    for size in {len(of) for of in members}:
        alike = [of for of in members if len(of) == size]
        for place, taken in zip(alike, random.permutation(len(alike)), strict=True):
            source[place] = alike[taken]
    return outcome.rows(source)


def _shuffled_labels(
    table: PatientTable,
    outcome: Outcome,
    settings: TrainingSettings,
    *,
    store: Path,
    jobs: int,
    progress: Progress,
) -> list[StoredResult | Problem]:
    recipe = {
        "work": "shuffled labels",  # not a text: a name in the store
        "settings": settings.to_json(),
        "patients": fingerprint(table, outcome),
    }
    tasks = [CaseJob(f"shuffle {n}", (), (table, outcome, settings, n)) for n in range(SHUFFLES)]
    how = {"jobs_in_parallel": affordable_jobs(jobs), "progress": progress, "stage": tr("shuffled labels")}
    return run_cases(tasks, _one_shuffle, store=store, recipe=recipe, **how)


def _one_shuffle(job: CaseJob) -> CaseResult:
    """AUC within folds of every combination on one shuffle of the labels, in whatever process."""
    table, outcome, settings, number = job.content
    # Seeds of the fits are counted from the recipe's; those of shuffles lie far from them.
    nonsense = shuffled(outcome, table.groups, settings.seed + 10_000_000 * (number + 1))
    folds = nonsense.splits(settings.folds, settings.repeats, settings.seed, table.groups)
    held_out, _ = score_out_of_fold(table, nonsense, folds, settings, 1, silent)
    return CaseResult({name: within_folds.auc for name, within_folds in held_out.aucs.items()})


def _region(
    name: str,
    cohort: Cohort,
    table: PatientTable,
    outcome: Outcome,
    settings: TrainingSettings,
    *,
    engine: str,
    store: Path,
    jobs: int,
    progress: Progress,
) -> RegionControl:
    """The same patients and features measured in a control region, and the recipe trained on them."""
    position = {patient_id: n for n, patient_id in enumerate(table.patient_ids)}
    patients = sorted(
        (p for p in cohort.patients if p.patient_id in position), key=lambda p: position[p.patient_id]
    )
    how = {"engine": engine, "jobs": jobs, "store": store, "progress": progress}
    measured, left_out = measure_patients(patients, settings.radiomics, None, control=name, **how)
    kept = [p for p in patients if p.patient_id in measured]
    where = np.array([position[p.patient_id] for p in kept], dtype=int)
    there, of_there = measured_patients(kept, measured, table.feature_names).table, outcome.rows(where)
    known = {"patients": len(kept), "tumour_hu": _tumour_hu(there), "same_patients": len(kept) == len(table)}
    try:
        of_there.check(settings.folds)
        stage = within(tr(REGIONS[name]), progress)
        folds = of_there.splits(settings.folds, settings.repeats, settings.seed, there.groups)
        held_out, _ = score_out_of_fold(there, of_there, folds, settings, jobs, stage)
    except TrainingError as error:  # a control that cannot be had must not cost the report
        return RegionControl({}, left_out=left_out, problem=error.problem, **known)
    return RegionControl(held_out.aucs, left_out=left_out, **known)


def _tumour_hu(table: PatientTable) -> np.ndarray | None:
    """(n,) median HU of what was measured, None where nothing was."""
    return None if table.scans is None else table.scans[:, SCAN.index("tumour_hu")]
