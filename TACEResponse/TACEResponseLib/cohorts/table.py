"""Cohort: the patients of a study as rows - where their images lie, how they responded.

`read_cohort` takes a folder, its `cohort.csv` or an `.xlsx`. IDs are text, always. Every complaint
names row and column as a spreadsheet shows them (the header is row 1). Images are not opened here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from TACEResponseLib.cases import Case
from TACEResponseLib.cases.outline import UNKNOWN, Outline
from TACEResponseLib.cases.repair import parse_repairs
from TACEResponseLib.messages.errors import InputError, MaskError, Problem, TableError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.readers import read_case
from TACEResponseLib.readers.tables import Row, invisible_characters, read_rows, read_table
from TACEResponseLib.settings import LabelSource
from TACEResponseLib.statistics.outcome import OBJECTIVE_RESPONSE
from TACEResponseLib.storage import shown_text

from .outlines import FURTHER, outline_of
from .places import located, table_in
from .readings import RESPONSES, is_reading, label_of, readings_of, require_readers, responder_label

__all__ = ["RESPONSES", "Cohort", "Patient", "is_own_column", "read_cohort", "read_table", "responder_label"]

#: Columns with a meaning of their own; every other column is a clinical value, kept as text.
COLUMNS = (
    "patient_id",
    "image",
    "mask",
    "mask_reader2",
    "mask_source",
    "mask_label",
    "segment",
    "series",
    "repair",
    "label",
    "label_meaning",
    "response",
    "cohort",
    "center",
)
#: Those that name a file, beside the further outlines.
FILES = ("image", "mask", "mask_reader2")
#: Names of the part of the cohort that is trained on; anything else is external validation.
TRAINING = ("", "training", "train")


@dataclass(frozen=True)
class Patient:
    """One row of a cohort.

    Paths are absolute. mask_label, segment, series: choices where a file holds several. repairs:
    names from `repair.REPAIRS` that the table asks for. label: 1 responder, 0 not, None unknown.
    label_meaning: what the label says, where it is not objective response. readings: every reader's label,
    the first reader's first; () without a table. outline: who made `mask`. masks: further outlines, column ->
    path, of the columns `mask_NAME` that have no other meaning. row: its number in the table, 0 without one.
    """

    patient_id: str
    image: Path
    mask: Path
    mask_reader2: Path | None = None
    mask_label: int | str | None = None
    segment: str | None = None
    series: str | None = None
    label: int | None = None
    response: str = ""
    label_meaning: str = ""
    cohort: str = ""
    center: str = ""
    clinical: dict[str, str] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    readings: tuple[int | None, ...] = ()
    outline: Outline = UNKNOWN
    masks: Mapping[str, Path] = field(default_factory=dict)
    row: int = 0

    def read_case(self, reader: int = 1, same_image_as: Case | None = None) -> Case:
        """The patient's Case with the first or second reader's mask; see `readers.read_case`.

        same_image_as: the other reader's case, whose CT is then not read again.
        """
        mask = self.mask if reader == 1 else self.mask_reader2
        if mask is None:
            raise MaskError(
                tr("the second reader has no mask of this patient"),
                field="mask_reader2",
                patient_id=self.patient_id,
                expected=tr("a path in the column mask_reader2"),
                received=tr("none"),
            )
        return read_case(
            self.patient_id,
            self.image,
            mask,
            label=self.mask_label,
            segment=self.segment,
            series=self.series,
            repairs=self.repairs,
            same_image_as=same_image_as,
            outline=self.outline if reader == 1 else UNKNOWN,
        )


@dataclass(frozen=True)
class Cohort:
    """The patients in table order and the folder that their relative paths start from."""

    folder: Path
    patients: tuple[Patient, ...]

    def part(self, training: bool) -> tuple[Patient, ...]:
        """The patients to train on, or those kept for external validation."""
        return tuple(p for p in self.patients if (p.cohort.casefold() in TRAINING) == training)

    def labelled_by(self, source: LabelSource) -> "Cohort":
        """The cohort with the label that these readers make; TrainingError where there is one reader only."""
        if source == "reader1":
            return self
        require_readers((p.readings for p in self.patients), source)
        patients = (replace(p, label=label_of(p.readings, source)) for p in self.patients)
        return replace(self, patients=tuple(patients))

    def unlabelled(self, source: LabelSource = "reader1") -> dict[str, Problem]:
        """Patients whose response is not known, or on which these readers do not agree: ID -> why."""
        return {p.patient_id: _unlabelled(p, source) for p in self.patients if p.label is None}

    @property
    def outcome(self) -> str:
        """What the labels of all patients say, in words: objective response, or what the table names."""
        return next((p.label_meaning for p in self.patients if p.label_meaning), OBJECTIVE_RESPONSE)

    @property
    def has_several_readers(self) -> bool:
        """Whether the table has a column for a second reader's response."""
        return any(len(p.readings) > 1 for p in self.patients)


def _unlabelled(patient: Patient, source: LabelSource) -> Problem:
    if source != "reader1":
        labels = listed(tr("none") if label is None else str(label) for label in patient.readings)
        return Problem(
            "table",
            tr("the readers give no majority"),
            field="response",
            expected=tr("a response by every reader, and more of one kind than of the other"),
            received=tr("labels {labels}", labels=labels),
            remedy=tr("the patient was left out"),
            patient_id=patient.patient_id,
            severity="warning",
        )
    return Problem(
        "table",
        tr("no response is known"),
        field="response",
        expected=tr("CR, PR, SD, PD or a label"),
        received=tr("an empty cell"),
        remedy=tr("the patient was left out"),
        patient_id=patient.patient_id,
        severity="warning",
    )


def is_own_column(name: str) -> bool:
    """Whether a column of the cohort's table has a meaning of its own and is no clinical value."""
    return name in COLUMNS or is_reading(name) or name.startswith(FURTHER)


def read_cohort(path: Path, *, encoding: str | None = None) -> Cohort:
    """The cohort in `path`: a folder (with or without a table), a `.csv` or an `.xlsx`.

    encoding: of a CSV, where it is not certain. Raises InputError when there is nothing to read, and
    TableError naming row and column otherwise: one error that lists every fault of the table. Files that are
    not there are no fault of a table that has no other, so that a check can show each patient.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            tr("there is no such cohort"), field="cohort", received=str(path), remedy=tr("check the path")
        )
    if path.is_dir():
        table = table_in(path)
        if table is None:
            return _from_folders(path)
        path = table
    rows, faults = read_rows(path, required=("patient_id", "image", "mask"), encoding=encoding)
    patients = []
    for row in rows:
        patient, found = _patient(row, path)
        faults += found
        patients.append(patient)
    if faults:
        raise TableError.listing(faults, path.name)
    if not rows:
        raise TableError(tr("the table has no patients"), file=path.name, expected=tr("a row a patient"))
    _require_one_outcome(patients, path.name)
    return Cohort(path.parent, tuple(patients))


def _require_one_outcome(patients: list[Patient], table: str) -> None:
    """Raise TableError when labels of different outcomes stand in one table, or beside mRECIST."""
    outcomes = sorted({p.label_meaning or OBJECTIVE_RESPONSE for p in patients})
    if len(outcomes) > 1:
        raise TableError(
            tr("the labels of the table have different meanings"),
            file=table,
            field="label_meaning",
            expected=tr("one meaning for all patients; an empty cell is objective response"),
            received=tr("; ").join(map(tr, outcomes))[:200],
            remedy=tr("make a table for each outcome"),
        )
    if outcomes != [OBJECTIVE_RESPONSE] and any(p.response for p in patients):
        raise TableError(
            tr("the label means another outcome, and the column response is filled"),
            file=table,
            field="label_meaning",
            expected=tr("the column label alone, since response is mRECIST"),
            received=tr(outcomes[0])[:200],
            remedy=tr("take one of the two columns out"),
        )


def _patient(row: Row, table: Path) -> tuple[Patient | None, list[Problem]]:
    """The patient of a row, or None and everything that is wrong with its cells."""
    faults, cells = [], {}
    for name, read in (
        ("image", lambda: located(row, table, "image")),
        ("mask", lambda: located(row, table, "mask")),
        ("mask_reader2", lambda: located(row, table, "mask_reader2") if row.get("mask_reader2") else None),
        ("repairs", lambda: _repairs(row, table.name)),
        ("readings", lambda: readings_of(row, table.name)),
        ("outline", lambda: outline_of(row, table.name)),
        ("masks", lambda: _further_masks(row, table)),
    ):
        try:
            cells[name] = read()
        except TableError as error:
            faults.append(error.about(patient_id=row["patient_id"]).problem)
    if faults:
        return None, faults
    mask_label = row.get("mask_label") or None
    patient = Patient(
        patient_id=row["patient_id"],
        mask_label=int(mask_label) if mask_label and mask_label.isdecimal() else mask_label,
        segment=row.get("segment") or None,
        series=row.get("series") or None,
        response=row.get("response", "").upper(),
        label_meaning=row.get("label_meaning", ""),
        cohort=row.get("cohort", ""),
        center=row.get("center", ""),
        clinical={name: text for name, text in row.items() if name and not is_own_column(name)},
        label=cells["readings"][0],
        row=row.number,
        **cells,
    )
    return patient, []


def _further_masks(row: Row, table: Path) -> dict[str, Path]:
    """Column -> path of the further outlines in a row."""
    return {name: located(row, table, name) for name in _further_columns(row) if row[name]}


def _further_columns(row: Row) -> list[str]:
    return [name for name in row if name and name.startswith(FURTHER) and name not in COLUMNS]


def _repairs(row: Row, table: str) -> tuple[str, ...]:
    try:
        return parse_repairs(row.get("repair", ""))
    except InputError as error:
        problem = error.problem
        raise TableError(
            tr("row {number}, column repair: {message}", number=row.number, message=problem.message),
            file=table,
            field="repair",
            expected=problem.expected,
            received=problem.received,
            remedy=problem.remedy,
        ) from None


def _from_folders(folder: Path) -> Cohort:
    """A cohort without a table: a folder a patient, holding `image.*` and `mask.*`."""

    def named(place: Path, stem: str) -> Path | None:
        found = sorted(p for p in place.iterdir() if p.name.partition(".")[0] == stem)
        return found[0] if found else None

    patients = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        image, mask = named(place, "image"), named(place, "mask")
        if image is None and mask is None:
            continue
        if unseen := invisible_characters(place.name):
            raise InputError(
                tr("the name of a patient's folder holds {characters}", characters=unseen),
                field="patient_id",
                file=folder.name,
                expected=tr("characters that can be seen"),
                received=f'"{shown_text(place.name)}"',
                remedy=tr("rename the folder"),
            )
        # A missing one is a path that is not there, so that it is said about this patient.
        paths = [(found or place / stem).absolute() for found, stem in ((image, "image"), (mask, "mask"))]
        patients.append(Patient(place.name, *paths, named(place, "mask_reader2")))
    if not patients:
        raise InputError(
            tr("the folder holds no cohort"),
            field="cohort",
            file=folder.name,
            expected=tr("cohort.csv, cohort.xlsx, or a folder a patient with image.* and mask.*"),
            received=listed(sorted(p.name for p in folder.iterdir())[:5]) or tr("nothing"),
            remedy=tr("add a table, or lay the patients out in folders"),
        )
    return Cohort(folder, tuple(patients))
