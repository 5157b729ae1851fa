"""One model on the same patients with two outlines of their tumours: what another outline would change."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.cases import Case
from TACEResponseLib.cases.outline import UNKNOWN
from TACEResponseLib.cohorts.preflight.agreement import dice
from TACEResponseLib.cohorts.table import Cohort, Patient
from TACEResponseLib.measuring.cohort import measure_patients
from TACEResponseLib.measuring.patient_table import stack
from TACEResponseLib.messages.errors import InputError, Problem, TrainingError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.readers.volumes import files_of
from TACEResponseLib.resumable import CaseJob, CaseResult, affordable_jobs, run_cases
from TACEResponseLib.selection.reliability import ReliabilityTable, reliable_features
from TACEResponseLib.statistics.discrimination import AucDifference
from TACEResponseLib.statistics.intervals import AucInterval, auc_newcombe
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.statistics.small_classes import paired_comparison

from .inputs import Labelled

FIRST, READER2 = "mask", "mask_reader2"
#: Patients without whom no agreement of features can be measured.
FEWEST_FOR_ICC = 3


@dataclass(frozen=True)
class TwoOutlines:
    """The headline of a model on n patients with the outline of the column `mask` and that of another one.

    Arrays (2, n) hold the first outline and then the second. probabilities, ranking: of the headline, and
    what its AUC is computed from. volumes_ml: of the masks. dice: (n,) of the two masks. aucs: None where a
    class is missing. difference: AUC of the second minus that of the first, None where a class is too small
    for a test. agreement: of every feature, None where `no_agreement` says why. used: features that the
    model looks at. left_out: patient -> why there is no second answer.
    """

    column: str
    patient_ids: tuple[str, ...]
    outcome: Outcome
    headline: str
    threshold: float
    probabilities: np.ndarray = field(repr=False)
    ranking: np.ndarray = field(repr=False)
    volumes_ml: np.ndarray = field(repr=False)
    dice: np.ndarray = field(repr=False)
    aucs: tuple[AucInterval | None, AucInterval | None]
    difference: AucDifference | None
    agreement: ReliabilityTable | None
    no_agreement: str
    used: tuple[str, ...]
    left_out: Mapping[str, Problem]

    @property
    def change(self) -> np.ndarray:
        """(n,) probability with the second outline minus that with the first."""
        return self.probabilities[1] - self.probabilities[0]

    @property
    def flips(self) -> np.ndarray:
        """(n,) whether the two outlines lie on different sides of the cut-off."""
        called = self.probabilities > self.threshold
        return called[0] != called[1]


def compare_outlines(
    model: ResponseModel,
    cohort: Cohort,
    column: str,
    first: Labelled,
    *,
    engine: str | None = None,
    jobs: int = 1,
    progress: Progress = silent,
) -> TwoOutlines:
    """Answer again for the patients in `first`, with the outlines of another column of the cohort's table.

    first: what `external.external_patients` measured. The label or segment that the table chooses counts
    for both outlines. Patients without a usable second outline are left out of both answers and named.
    Raises InputError for a column without outlines, TrainingError when no patient has both.
    """
    masks = second_masks(cohort, column)
    known = set(first.table.patient_ids)
    patients = [p for p in cohort.patients if p.patient_id in known]
    left_out = {p.patient_id: _without(p, column) for p in patients if p.patient_id not in masks}
    pairs = [
        (p, dataclasses.replace(p, mask=masks[p.patient_id], outline=UNKNOWN))
        for p in patients
        if p.patient_id in masks
    ]
    settings, how = model.settings, {"jobs": jobs, "progress": progress}
    patch = settings.patch if model.needs_picture else None
    again, unusable = measure_patients(
        [second for _, second in pairs], settings.radiomics, patch, engine=engine or model.engine, **how
    )
    overlaps, unread = _overlaps([pair for pair in pairs if pair[0].patient_id in again], **how)
    left_out |= unusable | unread
    ids = [name for name in first.table.patient_ids if name in overlaps]
    if not ids:
        raise TrainingError(
            tr("no patient has both outlines"),
            field="second-mask",
            received=tr("{n} left out", n=len(left_out)),
            remedy=str(next(iter(left_out.values()), "")),
        )
    one = first.rows(np.array([first.table.patient_ids.index(name) for name in ids]))
    other = stack([again[name] for name in ids], one.table.feature_names, one.table.centers)
    ranking = np.array([model.ranking(table)[model.headline] for table in (one.table, other)])
    agreement, why = _agreement(model, one.table, other)
    return TwoOutlines(
        column=column,
        patient_ids=tuple(ids),
        outcome=one.outcome,
        headline=model.headline,
        threshold=model.thresholds[model.headline],
        probabilities=np.array([model.probabilities(t)[model.headline] for t in (one.table, other)]),
        ranking=ranking,
        volumes_ml=np.array([overlaps[name]["volumes_ml"] for name in ids]).T,
        dice=np.array([overlaps[name]["dice"] for name in ids]),
        aucs=tuple(_auc(one.outcome.labels, scores) for scores in ranking),
        difference=paired_comparison(one.outcome.labels, *ranking[::-1], (column, FIRST)),
        agreement=agreement,
        no_agreement=why,
        used=model.needed,
        left_out=left_out,
    )


def second_masks(cohort: Cohort, column: str) -> dict[str, Path]:
    """Patient -> path of the outline in another column; InputError for a column that holds none."""
    found = {p.patient_id: {**p.masks, READER2: p.mask_reader2} for p in cohort.patients}
    masks = {patient_id: of[column] for patient_id, of in found.items() if of.get(column) is not None}
    if not masks:
        there = sorted({name for of in found.values() for name, path in of.items() if path is not None})
        raise InputError(
            tr("the table has no second outlines in this column"),
            field="second-mask",
            expected=listed(there) or tr("a column mask_reader2, or one named mask_ and a word, with paths"),
            received=column,
            remedy=tr("name a column that holds masks of the same tumours"),
        )
    return masks


def _without(patient: Patient, column: str) -> Problem:
    return Problem(
        "mask",
        tr("the patient has no second outline"),
        field=column,
        remedy=tr("the patient was left out of the comparison"),
        patient_id=patient.patient_id,
        severity="warning",
    )


def _auc(labels: np.ndarray, ranking: np.ndarray) -> AucInterval | None:
    return auc_newcombe(labels, ranking) if 0 < labels.sum() < len(labels) else None


def _agreement(model: ResponseModel, first, second) -> tuple[ReliabilityTable | None, str]:
    """How far every feature agrees between the outlines, or why that cannot be said."""
    if len(first) < FEWEST_FOR_ICC:
        return None, tr("fewer than three patients have both outlines")
    if np.array_equal(first.features, second.features):
        return None, tr("both outlines are the same")
    return reliable_features(first, second, model.settings.reliability), ""


def _overlaps(
    pairs: Sequence[tuple[Patient, Patient]], jobs: int, progress: Progress
) -> tuple[dict[str, Mapping], dict[str, Problem]]:
    """Patient -> Dice and both volumes, and patient -> why there are none."""
    work = [
        CaseJob(one.patient_id, (*files_of(one.image), *files_of(one.mask), *files_of(two.mask)), (one, two))
        for one, two in pairs
    ]
    with tempfile.TemporaryDirectory(prefix="tace-outlines-") as folder:
        outcomes = run_cases(
            work,
            _overlap,
            store=Path(folder),
            recipe={"overlap": 1},
            jobs_in_parallel=affordable_jobs(jobs),
            progress=progress,
            stage=tr("compare the outlines"),
        )
    found = dict(zip([one.patient_id for one, _ in pairs], outcomes, strict=True))
    failed = {name: outcome for name, outcome in found.items() if isinstance(outcome, Problem)}
    return {name: outcome.values for name, outcome in found.items() if name not in failed}, failed


def _overlap(job: CaseJob) -> CaseResult:
    """The two outlines of one patient, laid over each other."""
    one, two = job.content
    first = one.read_case()
    second = two.read_case(same_image_as=first)
    volumes_ml = [_volume_ml(case) for case in (first, second)]
    return CaseResult({"dice": dice(first, second), "volumes_ml": volumes_ml})


def _volume_ml(case: Case) -> float:
    voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(case.mask)))
    return voxels * float(np.prod(case.spacing_mm)) / 1000
