"""Cohort: the patients of a study as rows - where their images lie, how they responded.

`read_cohort` takes a folder, its `cohort.csv` or an `.xlsx`. IDs are text, always. Every complaint
names row and column as a spreadsheet shows them (the header is row 1). Images are not opened here.
"""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from .cases import Case
from .errors import InputError, TableError
from .readers import read_case

#: mRECIST categories and whether they count as objective response.
RESPONSES = {"CR": 1, "PR": 1, "SD": 0, "PD": 0}
#: Columns with a meaning of their own; every other column is a clinical value, kept as text.
COLUMNS = (
    "patient_id",
    "image",
    "mask",
    "mask_reader2",
    "mask_label",
    "segment",
    "series",
    "label",
    "response",
    "cohort",
    "center",
)
#: Names of the part of the cohort that is trained on; anything else is external validation.
TRAINING = ("", "training", "train")


@dataclass(frozen=True)
class Patient:
    """One row of a cohort. Paths are absolute; `label` is 1 responder, 0 not, None unknown."""

    patient_id: str
    image: Path
    mask: Path
    mask_reader2: Path | None = None
    mask_label: int | str | None = None
    segment: str | None = None
    series: str | None = None
    label: int | None = None
    response: str = ""
    cohort: str = ""
    center: str = ""
    clinical: dict[str, str] = field(default_factory=dict)

    def read_case(self, reader: int = 1) -> Case:
        """The patient's Case with the first or second reader's mask; see `readers.read_case`."""
        mask = self.mask if reader == 1 else self.mask_reader2
        return read_case(
            self.patient_id,
            self.image,
            mask,
            label=self.mask_label,
            segment=self.segment,
            series=self.series,
        )


@dataclass(frozen=True)
class Cohort:
    """The patients in table order and the folder that their relative paths start from."""

    folder: Path
    patients: tuple[Patient, ...]

    def part(self, training: bool) -> tuple[Patient, ...]:
        """The patients to train on, or those kept for external validation."""
        return tuple(p for p in self.patients if (p.cohort.casefold() in TRAINING) == training)


def read_cohort(path: Path) -> Cohort:
    """The cohort in `path`: a folder (with or without a table), a `.csv` or an `.xlsx`.

    Raises InputError when there is nothing to read, TableError naming row and column otherwise.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            "there is no such cohort", field="cohort", received=str(path), remedy="check the path"
        )
    if path.is_dir():
        tables = [path / name for name in ("cohort.csv", "cohort.xlsx") if (path / name).exists()]
        if not tables:
            return _from_folders(path)
        path = tables[0]
    rows = read_table(path, required=("patient_id", "image", "mask"))
    patients = tuple(_patient(row, number, path) for number, row in enumerate(rows, start=2))
    return Cohort(path.parent, patients)


def read_table(path: Path, required: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV (UTF-8 or GB18030; comma, semicolon or tab) or `.xlsx`, every cell as text.

    `required` names columns that must be there, `patient_id` among them; IDs must be filled and
    unique. Raises TableError.
    """
    lines = _cells(path)
    if not lines:
        raise TableError("the table is empty", file=path.name, expected="a header and a row a patient")
    header = [name.strip() for name in lines[0]]
    missing = [name for name in required if name not in header]
    if missing:
        raise TableError(
            f"the table has no column {', '.join(missing)}",
            file=path.name,
            field=missing[0],
            expected=", ".join(required),
            received=", ".join(header[:20]),
            remedy="rename or add the column",
        )
    rows, seen = [], {}
    for number, line in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) > len(header):
            raise TableError(
                f"row {number} has more cells than the header",
                file=path.name,
                expected=f"{len(header)} cells",
                received=f"{len(line)}",
                remedy="quote cells that contain the separator",
            )
        row = dict(zip(header, [cell.strip() for cell in line] + [""] * len(header), strict=False))
        patient_id = row["patient_id"]
        if not patient_id or patient_id in seen:
            what = "is empty" if not patient_id else f"repeats row {seen[patient_id]}"
            raise TableError(
                f"row {number}, column patient_id {what}",
                file=path.name,
                field="patient_id",
                expected="a text that no other row has",
                received=f'"{patient_id}"',
                remedy="give every patient an ID of its own",
            )
        seen[patient_id] = number
        rows.append(row)
    return rows


def _cells(path: Path) -> list[list[str]]:
    """Every cell as text; numbers of a spreadsheet as a person would type them."""
    content = path.read_bytes()
    if content[:2] == b"PK":  # a spreadsheet, whatever its name says
        from openpyxl import load_workbook

        sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
        return [["" if v is None else _typed(v) for v in row] for row in sheet.iter_rows(values_only=True)]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            raise TableError(
                "the table's text encoding is unknown",
                file=path.name,
                expected="UTF-8 or GB18030",
                received=f"byte {content[error.start]:#04x} at {error.start}",
                remedy="save the table as CSV UTF-8",
            ) from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    return list(csv.reader(io.StringIO(text), delimiter=delimiter))


def _typed(value) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _patient(row: dict[str, str], number: int, table: Path) -> Patient:
    def located(name: str) -> Path:
        if not row.get(name):
            raise TableError(
                f"row {number}, column {name} is empty", file=table.name, field=name, expected="a path"
            ).about(patient_id=row["patient_id"])
        return (table.parent / row[name]).absolute()

    mask_label = row.get("mask_label") or None
    return Patient(
        patient_id=row["patient_id"],
        image=located("image"),
        mask=located("mask"),
        mask_reader2=located("mask_reader2") if row.get("mask_reader2") else None,
        mask_label=int(mask_label) if mask_label and mask_label.isdigit() else mask_label,
        segment=row.get("segment") or None,
        series=row.get("series") or None,
        label=responder_label(row, number, table.name),
        response=row.get("response", ""),
        cohort=row.get("cohort", ""),
        center=row.get("center", ""),
        clinical={name: text for name, text in row.items() if name and name not in COLUMNS},
    )


def responder_label(row: dict[str, str], number: int, table: str) -> int | None:
    """1 responder, 0 not, None when neither `label` nor `response` is filled; TableError else."""
    by_column = {}
    for column, known in (("label", {"0": 0, "1": 1}), ("response", RESPONSES)):
        text = row.get(column, "").upper()
        if not text:
            continue
        if text not in known:
            raise TableError(
                f"row {number}, column {column} is not a {column}",
                patient_id=row["patient_id"],
                file=table,
                field=column,
                expected=", ".join(known),
                received=f'"{row[column]}"',
                remedy="correct the cell",
            )
        by_column[column] = known[text]
    if len(set(by_column.values())) > 1:
        raise TableError(
            f"row {number}: label and response contradict each other",
            patient_id=row["patient_id"],
            file=table,
            expected="label 1 with CR or PR, label 0 with SD or PD",
            received=f"label {row['label']}, response {row['response']}",
            remedy="correct one of them",
        )
    return next(iter(by_column.values()), None)


def _from_folders(folder: Path) -> Cohort:
    """A cohort without a table: a folder a patient, holding `image.*` and `mask.*`."""

    def named(place: Path, stem: str) -> Path | None:
        found = sorted(p for p in place.iterdir() if p.name.partition(".")[0] == stem)
        return found[0] if found else None

    patients = [
        Patient(place.name, image.absolute(), mask.absolute(), named(place, "mask_reader2"))
        for place in sorted(folder.iterdir())
        if place.is_dir() and (image := named(place, "image")) and (mask := named(place, "mask"))
    ]
    if not patients:
        raise InputError(
            "the folder holds no cohort",
            field="cohort",
            file=folder.name,
            expected="cohort.csv, cohort.xlsx, or a folder a patient with image.* and mask.*",
            received=", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing",
            remedy="add a table, or lay the patients out in folders",
        )
    return Cohort(folder, tuple(patients))
