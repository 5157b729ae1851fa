"""What training and evaluation say of patients that they leave out, and what they refuse."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from TACEResponseLib.cohorts.table import Patient
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem, TableError, TrainingError
from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.outcome import OBJECTIVE_RESPONSE, Outcome
from TACEResponseLib.statistics.suspicions import (
    copied_rows,
    outcome_columns,
    telling_columns,
    unusable_columns,
)

#: Patients that a refusal names.
MOST_NAMED = 10


def unmeasured(patient_id: str) -> Problem:
    """A patient with a label and without features."""
    return Problem(
        "table",
        tr("the feature table has no row for this patient"),
        field="features",
        remedy=tr("the patient was left out"),
        patient_id=patient_id,
        severity="warning",
    )


def not_asked_for(patient: Patient, for_update: bool = False) -> Problem:
    """A patient for training in a cohort that is evaluated, or for validation in one to update on."""
    marked, wanted = ("validation", "training") if for_update else ("training", "validation")
    return Problem(
        "table",
        tr("the table marks the patient for {marked}", marked=marked),
        field="cohort",
        expected=tr("only the part for {wanted} where one is marked", wanted=wanted),
        received=patient.cohort or tr("an empty cell"),
        patient_id=patient.patient_id,
        severity="warning",
    )


def require_response(outcome: str) -> None:
    """Raise TrainingError when the labels of a cohort are of another outcome than objective response."""
    if outcome != OBJECTIVE_RESPONSE:
        raise TrainingError(
            tr("the labels of the cohort are of another outcome than response"),
            field="label_meaning",
            expected=tr(OBJECTIVE_RESPONSE),
            received=outcome,
            remedy=tr("use evaluate, which names the outcome; no model is trained or updated on it"),
        )


def unread_outline(problem: Problem) -> Problem:
    """A second reader's outline that could not be measured."""
    message = tr("the second reader's outline was left out: {message}", message=problem.message)
    return dataclasses.replace(problem, message=message, field="mask_reader2", severity="warning")


def require_second_reading(
    outlined: Sequence[Patient], measured: Collection[str], unread: Mapping[str, Problem]
) -> None:
    """Raise TrainingError when a second reader outlined patients and none of them could be measured."""
    if outlined and not measured:
        why = unread_outline(next(iter(unread.values())))
        raise TrainingError(
            tr("no outline of the second reader can be measured"),
            field="mask_reader2",
            expected=several(len(outlined), "the outline of 1 patient", "outlines of {n} patients"),
            received=tr("none"),
            remedy=tr("{why} - correct them, or empty the column to train without a second reader", why=why),
        )


def unrecorded_extraction(file: str) -> Problem:
    """A feature table without the settings of its extraction."""
    return Problem(
        "extraction",
        tr("the table does not say how its features were extracted"),
        field="features",
        file=file,
        expected=tr("one setting in the columns diagnostics_Configuration_..."),
        received=tr("none, several, or one that is not supported"),
        remedy=tr("the model says beside every answer that new patients may be measured otherwise"),
        severity="warning",
    )


def uninformative(model: str) -> Problem:
    """A model that told nobody apart and was left out."""
    return Problem(
        "training",
        tr("the model {model} was left out", model=title(model)),
        received=tr("one score for every patient of a fold"),
        remedy=tr("train on more patients"),
        severity="warning",
    )


def require_unseen(fitted: Sequence[str], others: Sequence[str] = (), can_be_allowed: bool = False) -> None:
    """Raise TrainingError when patients to evaluate on were trained on.

    others: those that have the ID of a training patient and a CT of their own, which may be another scan of
    the same patient. can_be_allowed: whether the caller has an option for that.
    """
    if fitted:
        raise TrainingError(
            several(
                len(fitted),
                "1 patient of the cohort was used to train this model",
                "{n} patients of the cohort were used to train this model",
            ),
            field="cohort",
            expected=tr("patients that the model has not seen, whatever they are called"),
            received=_named(fitted),
            remedy=tr("remove them, or allow training patients by name and read the result as optimism"),
        )
    if others:
        raise TrainingError(
            several(
                len(others),
                "1 patient has the ID of a training patient, with another image",
                "{n} patients have the ID of a training patient, with other images",
            ),
            field="patient_id",
            expected=tr("patients that the model has not seen"),
            received=_named(others),
            remedy=tr(
                "if they are other patients, give them other IDs or pass --allow-training-patients, with "
                "which the report counts them as training patients"
            )
            if can_be_allowed
            else tr("if they are other patients, give them other IDs"),
        )


def _named(patient_ids: Sequence[str]) -> str:
    """The first ten of them, and how many more there are."""
    texts, more = listed(patient_ids[:MOST_NAMED]), len(patient_ids) - MOST_NAMED
    return tr("{texts} and {more} more", texts=texts, more=more) if more > 0 else texts


def require_own_images(training: PatientTable, external: PatientTable | None) -> None:
    """Raise TrainingError when a CT to train on is also another patient's: a fold would know it.

    Rows of one group may share a CT: no fold parts them.
    """
    groups_of: dict[str, dict[str, list[str]]] = {}
    for patient_id, group, sha1 in zip(
        training.patient_ids, training.groups, training.image_hashes, strict=True
    ):
        groups_of.setdefault(sha1, {}).setdefault(group, []).append(patient_id)
    if external is not None:
        for patient_id, sha1 in zip(external.patient_ids, external.image_hashes, strict=True):
            if sha1 in groups_of:
                groups_of[sha1].setdefault(f"external {patient_id}", []).append(patient_id)
    shared = [
        " = ".join(ids for of_group in groups.values() for ids in of_group)
        for sha1, groups in groups_of.items()
        if sha1 and len(groups) > 1
    ]
    if shared:
        raise TrainingError(
            tr("the same CT stands under several patient IDs"),
            field="image",
            expected=tr("one row a patient, all tumours of the patient in one mask"),
            received=tr("; ").join(shared[:5]),
            remedy=tr("keep one row of each; several segments of a mask can be taken together"),
        )


def require_filled(names: Sequence[str], rows: Collection[Mapping[str, str]], file: str) -> None:
    """Raise TableError for columns in which every cell is empty: nobody could be trained on."""
    empty = [name for name in names if rows and all(row[name] == "" for row in rows)]
    problems = unusable_columns(empty, np.full((1, len(empty)), np.nan))
    if problems:
        raise TableError.listing([_with_column(problem, file) for problem in problems], file)


def require_believable(
    training: PatientTable, outcome: Outcome, external: PatientTable | None, file: str = ""
) -> tuple[Problem, ...]:
    """What in these patients would give figures that are too good, as far as a person has to judge it.

    outcome: of the patients to train on. external: patients to validate on, who must be no copies of
    them. file: the table, where there is one. Raises TableError that lists every finding which makes the
    figures wrong for certain: copied rows, outcomes among the features, a feature that ranks everybody
    alone, values that cannot be computed with.
    """
    found = _parted_groups(training, external)
    everyone = [training] if external is None else [training, external]
    values = np.concatenate([table.features for table in everyone])
    names = training.feature_names
    unusable = unusable_columns(names, values)
    found += [*outcome_columns(names), *unusable]
    if not unusable:
        ids, groups = (
            [one for table in everyone for one in of(table)]
            for of in (lambda table: table.patient_ids, lambda table: table.groups)
        )
        found += telling_columns(names, training.features, outcome.labels)
        found += copied_rows(ids, values, groups)
    found = [_with_column(problem, file) for problem in found]
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise TableError.listing(errors, file)
    return tuple(found)


def _with_column(problem: Problem, file: str) -> Problem:
    """The finding with its column in the sentence, and the file that it stands in."""
    if problem.field:
        named = tr("{message}: {column}", message=problem.message, column=problem.field)
        problem = dataclasses.replace(problem, message=named)
    return dataclasses.replace(problem, file=file)


def _parted_groups(training: PatientTable, external: PatientTable | None) -> list[Problem]:
    """Groups of which some rows are for training and some for validation."""
    parted = sorted(set(training.groups) & set(() if external is None else external.groups))
    if not parted:
        return []
    return [
        Problem(
            "group",
            tr("rows of one group are for training and for validation"),
            expected=tr("every row of a patient in the same part"),
            received=listed(parted[:5]),
            remedy=tr("correct the column cohort"),
        )
    ]
