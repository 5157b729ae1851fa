"""From a cohort, or a feature table, to a bundle with its report: measure, agree, fit, evaluate.

`train_on_cohort` and `train_on_features` differ only in where the numbers come from; after that
there is one road. The external validation cohort is looked at once, at the end.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from TACEResponseLib.answer.prediction import title
from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.bundle import save_bundle
from TACEResponseLib.clinical.scores import TumourBurden
from TACEResponseLib.cohorts.table import COLUMNS, TRAINING, Cohort, Patient, read_table, responder_label
from TACEResponseLib.errors import Problem, TableError, TrainingError
from TACEResponseLib.measuring.case import Measurements, ModelInputs, stack
from TACEResponseLib.measuring.cohort import measure_patients
from TACEResponseLib.measuring.feature_table import DIAGNOSTICS, IMAGE_HASH
from TACEResponseLib.progress import Progress, silent, within
from TACEResponseLib.radiomics import feature_names
from TACEResponseLib.radiomics.parameters import recorded_settings
from TACEResponseLib.report.model_card import model_card
from TACEResponseLib.selection.elimination import Selection, bootstrap_frequency
from TACEResponseLib.selection.reliability import ReliabilityTable, reliable_features
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.discrimination import check_labels

from .out_of_fold import TrainingRecord

#: Feature that stands for the tumour's size when there are no images to measure.
SIZE_FEATURE = "original_shape_Maximum2DDiameterSlice"


@dataclass(frozen=True)
class LabelledInputs:
    """Measured patients with their outcome: labels (n,) 1 responder, 0 not; centers (n,) names.

    clinical, diagnostics: for the report, n dictionaries each - what the cohort's table says of a
    patient beside the outcome, and the extraction's versions, settings and hashes; () without any.
    burdens: n lesions as the clinical scores need them, None where they are not known.
    """

    inputs: ModelInputs
    labels: np.ndarray
    centers: tuple[str, ...]
    clinical: tuple[Mapping[str, str], ...] = ()
    diagnostics: tuple[Mapping[str, str], ...] = ()
    burdens: tuple[TumourBurden | None, ...] = ()

    @property
    def image_hashes(self) -> tuple[str, ...]:
        """The SHA-1 of each patient's CT, "" where it is not known."""
        return tuple(row.get(IMAGE_HASH, "") for row in self.diagnostics)


@dataclass(frozen=True)
class Trained:
    """Everything a training run ends with.

    external: the validation cohort, None without one. left_out: patient -> why it was not used.
    stability: feature -> share of bootstrap resamples that choose it. warnings: what else went
    otherwise than asked, such as a second outline that could not be measured.
    """

    model: ResponseModel
    record: TrainingRecord
    reliability: ReliabilityTable | None
    training: LabelledInputs
    external: LabelledInputs | None
    left_out: Mapping[str, Problem]
    stability: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()


def train_on_cohort(
    cohort: Cohort,
    settings: TrainingSettings,
    *,
    engine: str = "fast",
    jobs: int = 1,
    store: Path | None = None,
    demonstration: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Measure every patient of the cohort and train on its training part.

    store: folder that keeps finished measurements, so that a rerun goes on. A patient who cannot be
    measured or has no label is left out and named. Raises TrainingError when too few are left, when
    no outline of a second reader can be measured, or when one CT stands under several IDs.
    """
    labels = [p.label for p in cohort.part(training=True) if p.label is not None]
    if labels:  # said before the work; without any the reasons come with it
        check_labels(np.array(labels), settings.folds)
    if settings.network is not None:
        from TACEResponseLib.models.network.framework import choose_backend

        choose_backend(settings.network.backend)
    patch = settings.patch if settings.network is not None else None
    how = {"engine": engine, "jobs": jobs, "store": store, "progress": progress}
    measured, left_out = measure_patients(cohort.patients, settings.radiomics, patch, **how)
    left_out |= {p.patient_id: _unlabelled(p) for p in cohort.patients if p.label is None}
    usable = [p for p in cohort.patients if p.patient_id not in left_out]
    training = [p for p in usable if p in cohort.part(training=True)]
    external = [p for p in usable if p in cohort.part(training=False)]
    if not training:
        raise TrainingError(
            "no patient is left to train on",
            expected="patients whose column cohort is training or empty",
            received=f"{len(cohort.patients)} patients, {len(left_out)} left out",
            remedy=str(next(iter(left_out.values()), "check the cohort table")),
        )
    names = feature_names(settings.radiomics)
    second = [p for p in training if p.mask_reader2 is not None]
    again, unread = measure_patients(second, settings.radiomics, None, reader=2, **how)
    unread = [_unread_outline(problem) for problem in unread.values()]
    if second and not again:
        raise TrainingError(
            "no outline of the second reader can be measured",
            field="mask_reader2",
            expected=f"outlines of {len(second)} patients",
            received="none",
            remedy=f"{unread[0]} - correct them, or empty the column to train without a second reader",
        )
    return _fit(
        _labelled(training, measured, names),
        _labelled(external, measured, names) if external else None,
        _reliability(training, measured, again, names, settings) if again else None,
        left_out,
        settings,
        warnings=unread,
        engine=engine,
        jobs=jobs,
        demonstration=demonstration,
        progress=progress,
    )


def train_on_features(
    features: Path, labels: Path, settings: TrainingSettings, *, jobs: int = 1, progress: Progress = silent
) -> Trained:
    """Train the classical models on a feature table and its labels; there are no images, so no CNN.

    features: CSV with `patient_id` and a column a feature. Its diagnostics, where it has them, say how
    the features of a new patient must be extracted. labels: CSV with `patient_id, label` and, where
    there is one, `cohort`, `center`, clinical columns and the number of `lesions`. Raises TableError
    naming row and column; patients without features or without a label are left out and named.
    """
    rows = {row["patient_id"]: row for row in read_table(features, required=("patient_id",))}
    outcomes = {
        row["patient_id"]: (row, responder_label(row, row.number, labels.name))
        for row in read_table(labels, required=("patient_id", "label"))
    }
    names = tuple(
        name
        for name in next(iter(rows.values()), ())
        if name != "patient_id" and not name.startswith(DIAGNOSTICS)
    )
    _require_features_only(names, next(iter(outcomes.values()), ({}, None))[0], features.name)
    left_out = {p: _unmeasured(p) for p in outcomes if p not in rows}
    kept, values = [], []
    for patient_id, row in rows.items():
        problem = _unusable_row(patient_id, row, names, outcomes)
        if problem is not None:
            left_out[patient_id] = problem
            continue
        kept.append(patient_id)
        values.append([_number(row[name], row.number, name, features.name, patient_id) for name in names])
    table = np.array(values, dtype=float)
    size = table[:, names.index(SIZE_FEATURE)] if SIZE_FEATURE in names else None
    inputs = ModelInputs(tuple(kept), names, table, None, size)
    is_training = np.array([outcomes[p][0].get("cohort", "").casefold() in TRAINING for p in kept])
    parts = [
        LabelledInputs(
            inputs.rows(index),
            np.array([outcomes[kept[i]][1] for i in index]),
            tuple(outcomes[kept[i]][0].get("center", "") for i in index),
            tuple(_beside(outcomes[kept[i]][0], COLUMNS) for i in index),
            tuple(_diagnostics(rows[kept[i]]) for i in index),
            tuple(_burden(outcomes[kept[i]][0], None if size is None else size[i]) for i in index),
        )
        for index in (np.flatnonzero(is_training), np.flatnonzero(~is_training))
    ]
    external = parts[1] if len(parts[1].labels) else None
    recorded = recorded_settings(rows[p] for p in kept)
    if recorded is not None:
        settings = dataclasses.replace(settings, radiomics=recorded)
    how = {"extraction_known": recorded is not None, "jobs": jobs, "progress": progress}
    warnings = [] if recorded is not None else [_unrecorded(features.name)]
    return _fit(parts[0], external, None, left_out, settings, warnings=warnings, **how)


def external_inputs(
    model: ResponseModel,
    cohort: Cohort,
    *,
    allow_training_patients: bool = False,
    engine: str | None = None,
    jobs: int = 1,
    progress: Progress = silent,
) -> tuple[LabelledInputs, dict[str, Problem]]:
    """Measure the cohort's labelled patients for a trained model, and say who was left out.

    A cohort that marks a part as validation gives that part, otherwise all of it. Raises
    TrainingError when a patient was trained on, by ID or by CT, unless that is allowed by name,
    or when the model does not know how its features are extracted.
    """
    if not model.extraction_known:
        raise TrainingError(
            "the model cannot be evaluated on images",
            field="features",
            expected="a model that knows how its features were extracted",
            received="one trained on a feature table without diagnostics columns",
            remedy="train from images, or from a table that has them",
        )
    patients = cohort.part(training=False) or cohort.patients
    if not allow_training_patients:  # said before the work, as far as the IDs tell
        _require_unseen(model.fitted([p.patient_id for p in patients]))
    settings = model.settings
    measured, left_out = measure_patients(
        patients,
        settings.radiomics,
        settings.patch if model.members.network is not None else None,
        engine=engine or model.engine,
        jobs=jobs,
        progress=progress,
    )
    left_out |= {p.patient_id: _unlabelled(p) for p in patients if p.label is None}
    left_out |= {p.patient_id: _not_asked_for(p) for p in cohort.patients if p not in patients}
    usable = [p for p in patients if p.patient_id not in left_out]
    if not usable:
        raise TrainingError("no patient is left to evaluate on", received=f"{len(left_out)} left out")
    found = _labelled(usable, measured, feature_names(settings.radiomics))
    if not allow_training_patients:
        _require_unseen(model.fitted(found.inputs.patient_ids, found.image_hashes))
    return found, left_out


def _require_unseen(fitted: Sequence[str]) -> None:
    if fitted:
        raise TrainingError(
            f"{len(fitted)} patients of the cohort were used to train this model",
            field="cohort",
            expected="patients that the model has not seen, whatever they are called",
            received=", ".join(fitted[:5]),
            remedy="remove them, or allow training patients by name and read the result as optimism",
        )


def _fit(
    training: LabelledInputs,
    external: LabelledInputs | None,
    reliability: ReliabilityTable | None,
    left_out: Mapping[str, Problem],
    settings: TrainingSettings,
    *,
    jobs: int,
    progress: Progress,
    warnings: Sequence[Problem] = (),
    **how,
) -> Trained:
    _require_own_images(training, external)
    reliable = None if reliability is None else reliability.kept_features
    if reliable == ():
        raise TrainingError(
            "the two readers agree on no feature",
            expected=f"{settings.reliability.form} above {settings.reliability.threshold}",
            received=f"{len(reliability.features)} features below",
            remedy="check that both masks show the same tumours",
        )
    model, record = ResponseModel.fit(
        training.inputs,
        training.labels,
        settings,
        reliable=reliable,
        image_hashes=training.image_hashes,
        jobs=jobs,
        progress=progress,
        **how,
    )
    stability = _stability(
        training, record.selection, settings, reliable, jobs, within("stability", progress)
    )
    warnings = (*warnings, *record.warnings, *map(_mute, record.out_of_fold.mute))
    return Trained(model, record, reliability, training, external, left_out, stability, warnings)


def _mute(model: str) -> Problem:
    return Problem(
        "training",
        f"the model {title(model)} was left out",
        received="one score for every patient of a fold",
        remedy="train on more patients",
        severity="warning",
    )


def _require_own_images(training: LabelledInputs, external: LabelledInputs | None) -> None:
    """Raise TrainingError when a CT to train on is also another patient's: a fold would know it."""
    patients_of: dict[str, list[str]] = {}
    for patient_id, sha1 in zip(training.inputs.patient_ids, training.image_hashes, strict=False):
        patients_of.setdefault(sha1, []).append(patient_id)
    if external is not None:
        for patient_id, sha1 in zip(external.inputs.patient_ids, external.image_hashes, strict=False):
            if sha1 in patients_of:
                patients_of[sha1].append(patient_id)
    shared = [" = ".join(ids) for sha1, ids in patients_of.items() if sha1 and len(ids) > 1]
    if shared:
        raise TrainingError(
            "the same CT stands under several patient IDs",
            field="image",
            expected="one row a patient, all tumours of the patient in one mask",
            received="; ".join(shared[:5]),
            remedy="keep one row of each; several segments of a mask can be taken together",
        )


def _stability(
    training: LabelledInputs,
    selection: Selection | None,
    settings: TrainingSettings,
    reliable: tuple[str, ...] | None,
    jobs: int,
    progress: Progress,
) -> dict[str, float]:
    """How often resamples of the training patients choose a feature; nothing is chosen by it."""
    if selection is None or not settings.selection.bootstraps:
        return {}
    names = reliable if reliable is not None else training.inputs.feature_names
    return bootstrap_frequency(
        training.inputs.columns(names),
        names,
        training.labels,
        settings.selection,
        size=selection.size,
        seed=settings.seed,
        jobs=jobs,
        progress=progress,
    )


def _labelled(
    patients: Sequence[Patient], measured: Mapping[str, Measurements], names: tuple[str, ...]
) -> LabelledInputs:
    return LabelledInputs(
        stack([measured[p.patient_id] for p in patients], names),
        np.array([p.label for p in patients]),
        tuple(p.center for p in patients),
        tuple(_clinical(p, measured[p.patient_id]) for p in patients),
        tuple(_diagnostics(measured[p.patient_id].row) for p in patients),
        tuple(TumourBurden.from_lesions(measured[p.patient_id].lesions) for p in patients),
    )


def _clinical(patient: Patient, measured: Measurements) -> dict[str, str]:
    lesions = measured.lesions.to_json()
    return {**patient.clinical, "response": patient.response, "lesions": str(lesions["number"])}


def _burden(row: Mapping[str, str], diameter_mm: float | None) -> TumourBurden | None:
    """The lesions of a patient without images: their number in the column `lesions`, and the size."""
    number = row.get("lesions", "")
    if diameter_mm is None or diameter_mm <= 0 or not number.isdecimal() or int(number) == 0:
        return None
    return TumourBurden(int(number), (diameter_mm / 10,))


def _beside(row: Mapping[str, str], columns: Sequence[str]) -> dict[str, str]:
    """The cells of a table's row under other names than `columns`."""
    return {name: text for name, text in row.items() if name and name not in columns}


def _diagnostics(row: Mapping) -> dict[str, str]:
    return {name: str(value) for name, value in row.items() if name.startswith(DIAGNOSTICS)}


def _reliability(
    training: Sequence[Patient],
    measured: Mapping[str, Measurements],
    again: Mapping[str, Measurements],
    names: tuple[str, ...],
    settings: TrainingSettings,
) -> ReliabilityTable:
    import pandas as pd

    tables = (
        pd.DataFrame(stack([of[p] for p in ids], names).features, index=ids, columns=list(names))
        for ids, of in (([p.patient_id for p in training], measured), (list(again), again))
    )
    return reliable_features(*tables, settings.reliability)


def _unread_outline(problem: Problem) -> Problem:
    message = f"the second reader's outline was left out: {problem.message}"
    return dataclasses.replace(problem, message=message, field="mask_reader2", severity="warning")


def _unrecorded(file: str) -> Problem:
    return Problem(
        "extraction",
        "the table does not say how its features were extracted",
        field="features",
        file=file,
        expected="one setting in the columns diagnostics_Configuration_...",
        received="none, several, or one that is not supported",
        remedy="the model says beside every answer that new patients may be measured otherwise",
        severity="warning",
    )


def _unmeasured(patient_id: str) -> Problem:
    return Problem(
        "table",
        "the feature table has no row for this patient",
        field="features",
        remedy="the patient was left out",
        patient_id=patient_id,
        severity="warning",
    )


def _require_features_only(names: Sequence[str], outcome: Iterable[str], file: str) -> None:
    """Raise TableError when a column of features is one of the outcome's: a model would look it up."""
    taken = {name.casefold() for name in (*COLUMNS, *outcome) if name}
    foreign = [name for name in names if name.casefold() in taken]
    if foreign:
        raise TableError(
            "the feature table holds columns that are no features",
            file=file,
            field=foreign[0],
            expected="patient_id and measured features",
            received=", ".join(foreign[:5]),
            remedy="take them out; outcome, centre and clinical data belong into the table of labels",
        )


def _unlabelled(patient: Patient) -> Problem:
    return Problem(
        "table",
        "no response is known",
        field="response",
        expected="CR, PR, SD, PD or a label",
        received="an empty cell",
        remedy="the patient was left out",
        patient_id=patient.patient_id,
        severity="warning",
    )


def _not_asked_for(patient: Patient) -> Problem:
    return Problem(
        "table",
        "the table marks the patient for training",
        field="cohort",
        expected="only the part for validation where one is marked",
        received=patient.cohort or "an empty cell",
        patient_id=patient.patient_id,
        severity="warning",
    )


def _unusable_row(patient_id: str, row: Mapping, names: Sequence[str], outcomes: Mapping) -> Problem | None:
    empty = sum(row[name] == "" for name in names)
    what = {"severity": "warning", "patient_id": patient_id, "remedy": "the patient was left out"}
    if empty:
        return Problem("table", f"{empty} of {len(names)} features are empty", field="features", **what)
    if patient_id not in outcomes or outcomes[patient_id][1] is None:
        return Problem("table", "no label is known", field="label", **what)
    return None


def _number(text: str, row: int, column: str, file: str, patient_id: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise TableError(
            f"row {row}, column {column} is not a number",
            patient_id=patient_id,
            file=file,
            field=column,
            expected="a finite number",
            received=f'"{text}"',
            remedy="correct the cell, or empty the patient's row",
        )
    return value


def save_trained(trained: Trained, folder: Path) -> Path:
    """Write the bundle of a training run; its path."""
    return save_bundle(folder, trained.model, trained.record, trained.reliability, model_card(trained))
