"""Patients with their outcome: from a measured cohort, or from a feature table and its labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from TACEResponseLib.cohorts.outlines import outline_of
from TACEResponseLib.cohorts.readings import label_of, readings_of, require_readers
from TACEResponseLib.cohorts.table import COLUMNS, TRAINING, Patient, is_own_column, read_table
from TACEResponseLib.measuring.case import Measurements
from TACEResponseLib.measuring.feature_table import DIAGNOSTICS
from TACEResponseLib.measuring.patient_table import PatientTable, stack
from TACEResponseLib.measuring.tabled import tabled
from TACEResponseLib.messages.errors import Problem, TableError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.settings import LabelSource
from TACEResponseLib.statistics.outcome import Outcome

from . import refusals

#: Column that names what a fold must not part, such as the patient of several rows.
GROUP = "group"


@dataclass(frozen=True)
class Labelled:
    """n patients and, in the same order, their outcome."""

    table: PatientTable
    outcome: Outcome

    def __len__(self) -> int:
        return len(self.table)

    def rows(self, index: np.ndarray) -> "Labelled":
        """The patients at the positions `index`, or where it is True."""
        return Labelled(self.table.rows(index), self.outcome.rows(index))


def measured_patients(
    patients: Sequence[Patient],
    measured: Mapping[str, Measurements],
    names: tuple[str, ...],
    source: LabelSource = "reader1",
) -> Labelled:
    """Patients of a cohort that have a label, with what was measured of them; features `names`.

    source: whose reading the labels are, see `Cohort.labelled_by`.
    """
    table = stack(
        [measured[p.patient_id] for p in patients],
        names,
        [p.center for p in patients],
        [p.clinical.get(GROUP) or p.patient_id for p in patients],
        [{**p.clinical, "response": p.response} for p in patients],
        [p.outline.source for p in patients],
    )
    labels, readings = [p.label for p in patients], [p.readings for p in patients]
    return Labelled(table, Outcome.read(labels, readings, softened=source == "soft"))


@dataclass(frozen=True)
class TabledPatients:
    """What a feature table and its labels hold: the part to train on, the external part, and the rest.

    left_out: patient -> why it is in neither. rows: of the feature table, of the patients used.
    """

    training: Labelled
    external: Labelled | None
    left_out: Mapping[str, Problem]
    rows: tuple[Mapping[str, str], ...]


def tabled_patients(features: Path, labels: Path, source: LabelSource = "reader1") -> TabledPatients:
    """Read a feature table and its labels; see `run.train_on_features`. Raises TableError, TrainingError."""
    rows = {row["patient_id"]: row for row in read_table(features, required=("patient_id",))}
    outcomes = {
        row["patient_id"]: (row, readings_of(row, labels.name))
        for row in read_table(labels, required=("patient_id", "label"))
    }
    require_readers((said for _, said in outcomes.values()), source)
    names = tuple(
        name
        for name in next(iter(rows.values()), ())
        if name != "patient_id" and not name.startswith(DIAGNOSTICS)
    )
    _require_features_only(names, next(iter(outcomes.values()), ({}, None))[0], features.name)
    refusals.require_filled(names, rows.values(), features.name)
    left_out = {p: refusals.unmeasured(p) for p in outcomes if p not in rows}
    left_out |= {
        patient_id: problem
        for patient_id, row in rows.items()
        if (problem := _unusable_row(patient_id, row, names, outcomes, source)) is not None
    }
    kept = [rows[patient_id] for patient_id in rows if patient_id not in left_out]
    everyone = _labelled_rows(kept, names, outcomes, features.name, source)
    outlines = tuple(outline_of(outcomes[row["patient_id"]][0], labels.name).source for row in kept)
    everyone = replace(everyone, table=replace(everyone.table, outlines=outlines))
    is_training = np.array(
        [outcomes[row["patient_id"]][0].get("cohort", "").casefold() in TRAINING for row in kept], dtype=bool
    )
    external = everyone.rows(~is_training)
    return TabledPatients(
        everyone.rows(is_training), external if len(external) else None, left_out, tuple(kept)
    )


def _labelled_rows(
    rows: Sequence[Mapping[str, str]],
    names: tuple[str, ...],
    outcomes: Mapping[str, tuple[Mapping[str, str], tuple[int | None, ...]]],
    file: str,
    source: LabelSource,
) -> Labelled:
    """Rows of a feature table that have a label, as patients with their outcome."""
    said, readings = ([outcomes[row["patient_id"]][part] for row in rows] for part in (0, 1))
    clinical = [{n: t for n, t in row.items() if n and not is_own_column(n)} for row in said]
    groups = [row.get(GROUP) or row["patient_id"] for row in said]
    table = tabled(rows, names, file, [row.get("center", "") for row in said], groups, clinical)
    labels = [label_of(of, source) for of in readings]
    return Labelled(table, Outcome.read(labels, readings, softened=source == "soft"))


def _require_features_only(names: Sequence[str], outcome: Iterable[str], file: str) -> None:
    """Raise TableError when a column of features is one of the outcome's: a model would look it up."""
    taken = {name.casefold() for name in (*COLUMNS, *outcome) if name}
    foreign = [name for name in names if name.casefold() in taken or is_own_column(name.casefold())]
    if foreign:
        raise TableError(
            tr("the feature table holds columns that are no features"),
            file=file,
            field=foreign[0],
            expected=tr("patient_id and measured features"),
            received=listed(foreign[:5]),
            remedy=tr("take them out; outcome, centre and clinical data belong into the table of labels"),
        )


def _unusable_row(
    patient_id: str, row: Mapping, names: Sequence[str], outcomes: Mapping, source: LabelSource
) -> Problem | None:
    empty = sum(row[name] == "" for name in names)
    what = {"severity": "warning", "patient_id": patient_id, "remedy": tr("the patient was left out")}
    if empty:
        message = tr("{empty} of {n} features are empty", empty=empty, n=len(names))
        return Problem("table", message, field="features", **what)
    if patient_id not in outcomes or label_of(outcomes[patient_id][1], source) is None:
        return Problem("table", tr("no label is known"), field="label", **what)
    return None
