"""Patients with their outcome: from a measured cohort, or from a feature table and its labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TACEResponseLib.clinical.items import TumourBurden
from TACEResponseLib.cohorts.readings import as_array, label_of, readings_of, require_readers
from TACEResponseLib.cohorts.table import COLUMNS, TRAINING, Patient, is_own_column
from TACEResponseLib.errors import Problem, TableError
from TACEResponseLib.measuring.case import Measurements
from TACEResponseLib.measuring.feature_table import DIAGNOSTICS
from TACEResponseLib.measuring.patient_table import PatientTable, stack
from TACEResponseLib.readers.tables import Row, read_table
from TACEResponseLib.settings import LabelSource
from TACEResponseLib.statistics.outcome import Outcome

from . import refusals

#: Feature that stands for the tumour's size when there are no images to measure.
SIZE_FEATURE = "original_shape_Maximum2DDiameterSlice"
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
    found = [measured[p.patient_id] for p in patients]
    table = stack(
        found,
        names,
        [p.center for p in patients],
        groups=tuple(p.clinical.get(GROUP) or p.patient_id for p in patients),
        burdens=tuple(TumourBurden.from_lesions(m.lesions) for m in found),
        clinical=tuple(_clinical(p, m) for p, m in zip(patients, found, strict=True)),
        diagnostics=tuple(_diagnostics(m.row) for m in found),
    )
    return Labelled(table, _outcome([p.label for p in patients], [p.readings for p in patients], source))


def _outcome(
    labels: Sequence[int], readings: Sequence[tuple[int | None, ...]], source: LabelSource
) -> Outcome:
    """The labels with what every reader said, where the table has several."""
    several = bool(readings) and all(len(of) > 1 for of in readings)
    return Outcome(np.array(labels, dtype=int), as_array(readings) if several else None, source == "soft")


def _clinical(patient: Patient, measured: Measurements) -> dict[str, str]:
    lesions = measured.lesions.to_json()
    return {**patient.clinical, "response": patient.response, "lesions": str(lesions["number"])}


def _diagnostics(row: Mapping) -> dict[str, str]:
    return {name: str(value) for name, value in row.items() if name.startswith(DIAGNOSTICS)}


@dataclass(frozen=True)
class TabledPatients:
    """What a feature table and its labels hold: the part to train on, the external part, and the rest.

    left_out: patient -> why it is in neither. rows: of the feature table, of the patients used.
    """

    training: Labelled
    external: Labelled | None
    left_out: Mapping[str, Problem]
    rows: tuple[Row, ...]


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
    is_training = np.array(
        [outcomes[row["patient_id"]][0].get("cohort", "").casefold() in TRAINING for row in kept], dtype=bool
    )
    external = everyone.rows(~is_training)
    return TabledPatients(
        everyone.rows(is_training), external if len(external) else None, left_out, tuple(kept)
    )


def _labelled_rows(
    rows: Sequence[Row],
    names: tuple[str, ...],
    outcomes: Mapping[str, tuple[Row, tuple[int | None, ...]]],
    file: str,
    source: LabelSource,
) -> Labelled:
    """Rows of a feature table that have a label, as patients with their outcome."""
    values = np.array(
        [[_number(row[name], row, name, file) for name in names] for row in rows], dtype=float
    ).reshape(len(rows), len(names))
    said = [outcomes[row["patient_id"]][0] for row in rows]
    size = values[:, names.index(SIZE_FEATURE)] if SIZE_FEATURE in names else None
    table = PatientTable(
        patient_ids=tuple(row["patient_id"] for row in rows),
        feature_names=names,
        features=values,
        diameters_mm=size,
        centers=tuple(row.get("center", "") for row in said),
        groups=tuple(row.get(GROUP) or row["patient_id"] for row in said),
        burdens=tuple(_burden(row, None if size is None else size[n]) for n, row in enumerate(said)),
        clinical=tuple({n: t for n, t in row.items() if n and not is_own_column(n)} for row in said),
        diagnostics=tuple(_diagnostics(row) for row in rows),
    )
    readings = [outcomes[row["patient_id"]][1] for row in rows]
    return Labelled(table, _outcome([label_of(of, source) for of in readings], readings, source))


def _burden(row: Mapping[str, str], diameter_mm: float | None) -> TumourBurden | None:
    """The lesions of a patient without images: their number in the column `lesions`, and the size."""
    number = row.get("lesions", "")
    if diameter_mm is None or diameter_mm <= 0 or not number.isdecimal() or int(number) == 0:
        return None
    return TumourBurden(int(number), (diameter_mm / 10,))


def _require_features_only(names: Sequence[str], outcome: Iterable[str], file: str) -> None:
    """Raise TableError when a column of features is one of the outcome's: a model would look it up."""
    taken = {name.casefold() for name in (*COLUMNS, *outcome) if name}
    foreign = [name for name in names if name.casefold() in taken or is_own_column(name.casefold())]
    if foreign:
        raise TableError(
            "the feature table holds columns that are no features",
            file=file,
            field=foreign[0],
            expected="patient_id and measured features",
            received=", ".join(foreign[:5]),
            remedy="take them out; outcome, centre and clinical data belong into the table of labels",
        )


def _unusable_row(
    patient_id: str, row: Mapping, names: Sequence[str], outcomes: Mapping, source: LabelSource
) -> Problem | None:
    empty = sum(row[name] == "" for name in names)
    what = {"severity": "warning", "patient_id": patient_id, "remedy": "the patient was left out"}
    if empty:
        return Problem("table", f"{empty} of {len(names)} features are empty", field="features", **what)
    if patient_id not in outcomes or label_of(outcomes[patient_id][1], source) is None:
        return Problem("table", "no label is known", field="label", **what)
    return None


def _number(text: str, row: Row, column: str, file: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise TableError(
            f"row {row.number}, column {column} is not a number",
            patient_id=row["patient_id"],
            file=file,
            field=column,
            expected="a finite number",
            received=f'"{text}"',
            remedy="correct the cell, or empty the patient's row",
        )
    return value
