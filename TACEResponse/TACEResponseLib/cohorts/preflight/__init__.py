"""The preflight: every problem of every patient, and of the cohort, before anything is computed.

Each patient is read as training would read it, in processes of its own, so that what passes here
passes there. Nothing is measured but lesions and the layer that a person should look at. Problems
that no single patient shows - one class only, one CT under two names - are found at the end.
"""

import dataclasses
import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases import Case
from TACEResponseLib.cases.lesions import SMALLEST_LESION_ML, Lesions, measure_lesions
from TACEResponseLib.clinical.items import clinical_item, read_values
from TACEResponseLib.clinical.values import parse_clinical, quantity_of
from TACEResponseLib.cohorts.enough import require_enough
from TACEResponseLib.cohorts.table import TRAINING, Cohort, Patient
from TACEResponseLib.messages.errors import Problem, TACEResponseError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.readers import read_image
from TACEResponseLib.resumable import CaseJob, CaseResult, StoredResult, affordable_jobs, run_cases
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.sample_size import DevelopmentSize

from .agreement import disagreement
from .sample_size import planned_size
from .thumbnail import Thumbnail, largest_layer, middle_layer, of_second_reader

VERDICTS = (mark("ok"), mark("warning"), mark("error"))


@dataclasses.dataclass(frozen=True)
class PatientCheck:
    """What the preflight found about one patient.

    lesions: `number`, `largest_diameter_mm`, `volume_ml`, None when the patient cannot be read.
    digest: of the CT's voxels, whatever file they came in. thumbnail: the largest layer, or the middle one
    of a CT whose mask cannot be read; None where the CT cannot be read.
    """

    patient: Patient
    problems: tuple[Problem, ...]
    lesions: Mapping[str, float] | None = None
    digest: str = ""
    thumbnail: Thumbnail | None = None

    @property
    def verdict(self) -> str:
        """`ok`, `warning` or `error`."""
        return max((p.severity for p in self.problems), key=VERDICTS.index, default="ok")


@dataclasses.dataclass(frozen=True)
class CohortCheck:
    """The patients in table order, the problems of the cohort as a whole, and how many patients it needs.

    sample_size: None where the training part has no two classes.
    """

    patients: tuple[PatientCheck, ...]
    problems: tuple[Problem, ...]
    sample_size: DevelopmentSize | None = None

    @property
    def verdicts(self) -> dict[str, int]:
        """How many patients are `ok`, have a `warning`, or an `error`."""
        found = Counter(check.verdict for check in self.patients)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def worst_first(self) -> tuple[PatientCheck, ...]:
        """The patients with errors, then those with warnings, then the others; each in table order."""
        return tuple(sorted(self.patients, key=lambda check: -VERDICTS.index(check.verdict)))

    @property
    def counts(self) -> list[dict]:
        """Responders, non-responders and unlabelled by cohort and center, and second readers."""
        groups = defaultdict(Counter)
        for check in self.patients:
            patient = check.patient
            cohort = "training" if patient.cohort.casefold() in TRAINING else patient.cohort
            group = groups[cohort, patient.center]
            group[{1: "responders", 0: "non_responders", None: "unlabelled"}[patient.label]] += 1
            group["second_reader"] += patient.mask_reader2 is not None
        names = ("responders", "non_responders", "unlabelled", "second_reader")
        return [
            {"cohort": cohort, "center": center, **{name: group[name] for name in names}}
            for (cohort, center), group in groups.items()
        ]


def check_cohort(
    cohort: Cohort,
    *,
    folds: int = 5,
    recipe: TrainingSettings | None = None,
    jobs: int = 1,
    progress: Progress = silent,
) -> CohortCheck:
    """Read every patient and say everything that is wrong; never raises for a patient.

    folds, recipe: of the training that is planned, by default the paper's. jobs: patients at a time,
    fewer when the memory would not hold them. Raises what `progress` raises.
    """
    work = [CaseJob(p.patient_id, (), p, key=str(n)) for n, p in enumerate(cohort.patients)]
    with tempfile.TemporaryDirectory(prefix="tace-check-") as store:
        outcomes = run_cases(
            work,
            _check_patient,
            store=Path(store),
            recipe={},
            jobs_in_parallel=affordable_jobs(jobs),
            progress=progress,
            stage=tr("checking"),
        )
        found = [_restored(p, outcome) for p, outcome in zip(cohort.patients, outcomes, strict=True)]
    shared = _problems_between(found)
    patients = tuple(
        dataclasses.replace(check, problems=(*check.problems, *shared[check.patient.patient_id]))
        for check in found
    )
    size = planned_size(cohort, recipe or TrainingSettings())
    return CohortCheck(patients, tuple(_class_problems(cohort, folds)), size)


def _check_patient(job: CaseJob) -> CaseResult:
    """Read one patient with both readers' masks; plain data, so that it crosses processes."""
    patient: Patient = job.content
    problems, case = [*_clinical_problems(patient)], None
    try:
        case = patient.read_case()
        problems += case.warnings
    except TACEResponseError as error:
        problems.append(error.about(patient_id=patient.patient_id).problem)
    second = None
    if patient.mask_reader2 is not None:
        try:
            second = patient.read_case(2, same_image_as=case)
            known = {(p.kind, p.message) for p in problems if p.field == "image"}
            problems += [w for w in second.warnings if (w.kind, w.message) not in known]
            problems += disagreement(case, second) if case is not None else []
        except TACEResponseError as error:
            # A CT that cannot be read was said already.
            if case is not None or error.problem.field not in ("image", ""):
                problem = error.about(patient_id=patient.patient_id).problem
                problems.append(dataclasses.replace(problem, field="mask_reader2"))
    values = {"problems": [dataclasses.asdict(p) for p in problems], "lesions": None, "digest": ""}
    if case is None:
        return CaseResult(values, _picture_without_mask(patient, second))
    lesions = measure_lesions(case)
    values["problems"] += [dataclasses.asdict(p) for p in _stray(patient, lesions)]
    values |= {"lesions": lesions.to_json(), "digest": _digest(case)}
    return CaseResult(values, largest_layer(case, second).arrays())


def _picture_without_mask(patient: Patient, second: Case | None) -> dict[str, np.ndarray]:
    """The CT of a patient whose first mask cannot be read; {} where the CT cannot be read either."""
    try:
        if second is not None:
            return of_second_reader(second).arrays()
        return middle_layer(read_image(patient.image, series=patient.series)[0]).arrays()
    except TACEResponseError:
        return {}  # what is wrong with it was said already


def _stray(patient: Patient, lesions: Lesions) -> list[Problem]:
    """A warning about components that are too small to be lesions."""
    if lesions.dropped == 0:
        return []
    return [
        Problem(
            "mask",
            tr("{dropped} components of the mask are too small for lesions", dropped=lesions.dropped),
            field="mask",
            expected=tr("lesions of {volume} mL or more", volume=SMALLEST_LESION_ML),
            received=tr(
                "{number} lesions and {dropped} stray components",
                number=lesions.number,
                dropped=lesions.dropped,
            ),
            remedy=tr("erase them if they are no tumour"),
            patient_id=patient.patient_id,
            severity="warning",
        )
    ]


def _digest(case: Case) -> str:
    """A name for the CT's voxels, the same for the same voxels in whatever format."""
    voxels = sitk.GetArrayViewFromImage(case.image)
    content = hashlib.sha256(str(voxels.shape).encode())
    for layer in voxels:
        content.update(np.ascontiguousarray(np.round(layer), dtype="<f4"))
    return content.hexdigest()


def _clinical_problems(patient: Patient) -> list[Problem]:
    """Cells of known items that cannot be read: no score, but still a patient."""
    _, found = read_values(patient.clinical, patient.row)
    about = [dataclasses.replace(problem, patient_id=patient.patient_id) for problem in found]
    for column, text in patient.clinical.items():
        # Sizes and ages are no items of a score, and cells all the same.
        if quantity_of(column) is None or clinical_item(column) is not None:
            continue
        try:
            parse_clinical(text, column, row=patient.row)
        except TACEResponseError as error:
            problem = error.about(patient_id=patient.patient_id).problem
            about.append(dataclasses.replace(problem, severity="warning"))
    return about


def _restored(patient: Patient, outcome: StoredResult | Problem) -> PatientCheck:
    if isinstance(outcome, Problem):
        return PatientCheck(patient, (outcome,))
    values, arrays = outcome.values, outcome.arrays
    return PatientCheck(
        patient,
        tuple(Problem(**p) for p in values["problems"]),
        values["lesions"],
        values["digest"],
        Thumbnail(**arrays) if arrays else None,
    )


def _problems_between(checks: Sequence[PatientCheck]) -> Mapping[str, list[Problem]]:
    """Patient -> what only a look at the other patients shows."""
    problems = defaultdict(list)
    for same in _groups(checks, lambda check: check.digest):
        for check in same:
            others = [c.patient for c in same if c is not check]
            problems[check.patient.patient_id].append(_same_image(check.patient, others))
    # Spaces, letter case and leading zeros: what a spreadsheet changes on its own.
    for alike in _groups(
        checks, lambda check: check.patient.patient_id.casefold().replace(" ", "").lstrip("0")
    ):
        for check in alike:
            others = listed(c.patient.patient_id for c in alike if c is not check)
            problems[check.patient.patient_id].append(
                _about(
                    check.patient,
                    tr("another patient has nearly the same ID"),
                    field="patient_id",
                    received=others,
                    remedy=tr("check that these are different patients"),
                )
            )
    if any(check.patient.label is not None for check in checks):
        for patient in (check.patient for check in checks if check.patient.label is None):
            problems[patient.patient_id].append(
                _about(
                    patient,
                    tr("row {number}: label and response are empty", number=patient.row)
                    if patient.row
                    else tr("label and response are empty"),
                    field="label",
                    expected=tr("label 0 or 1, or response CR, PR, SD or PD"),
                    received=tr("nothing"),
                    remedy=tr("fill one of them, or the patient is neither trained nor evaluated on"),
                )
            )
    return problems


def _groups(checks: Sequence[PatientCheck], key) -> list[list[PatientCheck]]:
    """Those that share a key that is not empty, two or more at a time."""
    groups = defaultdict(list)
    for check in checks:
        groups[key(check)].append(check)
    return [members for name, members in groups.items() if name and len(members) > 1]


def _same_image(patient: Patient, others: Sequence[Patient]) -> Problem:
    """One CT under two names: an error where it would be trained on, since a fold would know it."""

    def part(p: Patient) -> str:
        return mark("training") if p.cohort.casefold() in TRAINING else mark("validation")

    leaks = any(part(other) != part(patient) for other in others)
    names = listed(
        tr("patient {name} ({part})", name=other.patient_id, part=tr(part(other))) for other in others
    )
    return _about(
        patient,
        tr("the CT is also that of another patient, in training and in validation")
        if leaks
        else tr("the CT is also that of another patient"),
        field="image",
        expected=tr("a CT of its own for every patient"),
        received=tr("the same voxels as {names}", names=names),
        remedy=tr("keep one of them"),
        severity="error" if leaks or part(patient) == "training" else "warning",
    )


def _about(patient: Patient, message: str, severity: str = "warning", **parts: str) -> Problem:
    return Problem("cohort", message, patient_id=patient.patient_id, severity=severity, **parts)


def _class_problems(cohort: Cohort, folds: int) -> list[Problem]:
    """What makes training or evaluation impossible, whatever the images show."""
    problems = []
    for training in (True, False):
        labels = [p.label for p in cohort.part(training) if p.label is not None]
        if labels and len(set(labels)) == 1:
            problems.append(
                Problem(
                    "training",
                    tr("the training patients are all of one class")
                    if training
                    else tr("the validation patients are all of one class"),
                    field="label",
                    expected=tr("responders and non-responders"),
                    received=tr("{n} responders only", n=len(labels))
                    if labels[0]
                    else tr("{n} non-responders only", n=len(labels)),
                    remedy=tr("add patients of the other class, or check the labels"),
                )
            )
        elif labels and training:
            try:
                require_enough(cohort, folds)
            except TACEResponseError as error:
                problems.append(error.problem)
    return problems
