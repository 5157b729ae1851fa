"""Patients that a finished model has not seen: measured as it measures, and named where it has."""

import dataclasses
from collections.abc import Sequence

from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.cohorts.table import Cohort, Patient
from TACEResponseLib.measuring.case import image_hash
from TACEResponseLib.measuring.cohort import measure_patients
from TACEResponseLib.messages.errors import Problem, TACEResponseError, TrainingError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.radiomics import feature_names

from . import refusals
from .inputs import Labelled, measured_patients


def external_patients(
    model: ResponseModel,
    cohort: Cohort,
    *,
    allow_training_patients: bool | None = None,
    for_update: bool = False,
    engine: str | None = None,
    jobs: int = 1,
    progress: Progress = silent,
) -> tuple[Labelled, dict[str, Problem]]:
    """Measure the cohort's labelled patients for a trained model, and say who was left out.

    A cohort that marks a part as validation gives that part, otherwise all of it. for_update: the other
    part instead, so that what is marked as validation is left to evaluate the updated model on. Labels
    are of the readers that the model was trained on, where the cohort has several. Raises
    TrainingError when a patient was trained on, by ID or by CT, unless that is allowed (None: not, and the
    caller has no choice by which it could be),
    when an update is asked for on another outcome than response, or when the model does not know how
    its features are extracted.
    """
    if not model.extraction_known:
        raise TrainingError(
            tr("the model cannot be evaluated on images"),
            field="features",
            expected=tr("a model that knows how its features were extracted"),
            received=tr("one trained on a feature table without diagnostics columns"),
            remedy=tr("train from images, or from a table that has them"),
        )
    if for_update:
        refusals.require_response(cohort.outcome)
    source = model.settings.outcome if cohort.has_several_readers else "reader1"
    cohort = cohort.labelled_by(source)
    patients = cohort.part(training=for_update) or (() if for_update else cohort.patients)
    if not allow_training_patients:  # said before the work, as far as the IDs tell
        can_be_allowed = allow_training_patients is not None
        _require_other_ids(model, patients, can_be_allowed, progress)
    settings = model.settings
    measured, left_out = measure_patients(
        patients,
        settings.radiomics,
        settings.patch if model.needs_picture else None,
        engine=engine or model.engine,
        jobs=jobs,
        progress=progress,
    )
    left_out |= dataclasses.replace(cohort, patients=patients).unlabelled(source)
    left_out |= {
        p.patient_id: refusals.not_asked_for(p, for_update) for p in cohort.patients if p not in patients
    }
    usable = [p for p in patients if p.patient_id not in left_out]
    if not usable:
        raise TrainingError(
            tr("no patient is left to update on" if for_update else "no patient is left to evaluate on"),
            received=tr("{n} left out", n=len(left_out)),
        )
    found = measured_patients(usable, measured, feature_names(settings.radiomics), source)
    if not allow_training_patients:
        refusals.require_unseen(model.training.among(found.table.patient_ids, found.table.image_hashes))
    return found, left_out


def _require_other_ids(
    model: ResponseModel, patients: Sequence[Patient], can_be_allowed: bool, progress: Progress
) -> None:
    """Raise TrainingError for IDs of training patients; it says whether the CTs are those of the training."""
    ids = model.training.among([p.patient_id for p in patients])
    named = sorted((p for p in patients if p.patient_id in ids), key=lambda patient: patient.patient_id)
    hashes = [""] * len(named)
    if model.training.knows_every_image:
        for n, patient in enumerate(named):
            progress(tr("comparing images"), n, len(named))
            hashes[n] = _hash_of(patient)
    others = model.training.with_other_images(ids, hashes)
    refusals.require_unseen([name for name in ids if name not in others], others, can_be_allowed)


def _hash_of(patient: Patient) -> str:
    """The SHA-1 of the patient's CT; empty where the patient cannot be read."""
    try:
        return image_hash(patient.read_case())
    except TACEResponseError:
        return ""
