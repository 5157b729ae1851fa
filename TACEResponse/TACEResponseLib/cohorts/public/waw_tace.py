"""WAW-TACE, the public cohort of Warsaw: its clinical table, its names of files, and its outcome.

Zenodo 12741586 (CC BY 4.0), 233 patients with CT in up to four phases and a mask of each lesion. It has no
mRECIST. What comes nearest is the LI-RADS treatment response at the first assessment; code 0 is
nonviable. That is another outcome than objective response, and is never pooled with it.

What the table's own description says of units is not always so: albumin stands as g/L and holds g/dL. The
unit is taken from the values, and what differs is said.
"""

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from TACEResponseLib.cohorts.table import is_own_column
from TACEResponseLib.messages.errors import InputError, Problem
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.readers.phases import ARTERIAL, DELAYED, NATIVE, PORTAL
from TACEResponseLib.readers.tables import Row, read_table

from .zenodo import md5_of

RECORD, DOI = "12741586", "10.5281/zenodo.12741586"
ID_COLUMN, RESPONSE_COLUMN, NONVIABLE = "PATPRI", "initial_LR_TR", "0"
#: What the label says; it stands in the table, on every page and in every file of figures.
LABEL_MEANING = mark("nonviable by LI-RADS treatment response at the first assessment (WAW-TACE)")
#: The version of the clinical table that was known when this was written.
KNOWN_MD5 = "fb7aa2803eae6d75745203602b6d385a"
#: Digits of the phase in names of files, in the order in which an annotated phase is taken.
PHASES = {"1": ARTERIAL, "2": PORTAL, "3": DELAYED, "0": NATIVE}
SCAN = re.compile(r"(?:^|/)(\d{1,6})_([0-3])_scan\.nii(?:\.gz)?$")
LESION = re.compile(r"(?:^|/)(\d{1,6})_([0-3])_(\d{1,4})_tumor_seg\.nrrd$")
CLINICAL = re.compile(r"clinical_data_wawtace.*\.(?:xlsx|csv)$")
MASKS = re.compile(r"tumor_masks_wawtace.*\.zip$")
SCANS = re.compile(r"ct_scans_(\d+)_.*\.zip$")
#: The table's columns under names that say what they hold and in which unit; times are in days.
RENAMED = {
    "age": "age_years",
    "lab_afp": "afp_ng_ml",
    "lab_bilirubin": "bilirubin_mg_dl",
    "lab_inr": "inr",
    "progression": "progressed",
    "progression_time": "time_to_progression_days",
    "death": "died",
    "survival_time": "overall_survival_days",
}
#: Outcomes of other kinds and values that an evaluation would miss.
EXPECTED = ("progression", "progression_time", "death", "survival_time", "lab_albumin", "lesion1_diameter")
DIAMETER = re.compile(r"lesion\d+_diameter")
#: No patient has less albumin in g/L, and none more in g/dL.
ALBUMIN_LIMIT = 10
#: A median diameter below this would be in centimetres.
DIAMETER_LIMIT = 8


def read_clinical(path: Path) -> list[Row]:
    """The rows of the clinical table; InputError when it is another one."""
    return read_table(path, (ID_COLUMN, RESPONSE_COLUMN), id_column=ID_COLUMN)


def find_clinical(folder: Path) -> Path:
    """The clinical table somewhere below `folder`; InputError when there is none."""
    found = sorted(path for path in folder.rglob("*") if CLINICAL.search(path.name))
    if found:
        return found[-1]
    raise InputError(
        tr("the collection's clinical table is not here"),
        field="clinical",
        file=folder.name,
        expected="clinical_data_wawtace_v2_15_07_2024.xlsx",
        received=tr("none in the folder"),
        remedy=tr("get it from https://doi.org/{doi}, or name it with --clinical", doi=DOI),
    )


def patient_name(number: str) -> str:
    """The ID under which a patient is laid out: WAW_007 for 7."""
    return f"WAW_{int(number):03d}"


def row_names(rows: Sequence[Row], table: str) -> dict[str, Row]:
    """Number of each patient as file names have it -> row; InputError for an ID that is no number."""
    names = {}
    for row in rows:
        text = row[ID_COLUMN].removesuffix(".0")
        if not text.isdecimal():
            raise InputError(
                tr("row {number}, column {column} is no number", number=row.number, column=ID_COLUMN),
                file=table,
                field=ID_COLUMN,
                expected=tr("a number, as in the names of the scans"),
                received=f'"{row[ID_COLUMN]}"',
            )
        names[str(int(text))] = row
    return names


def label_of(row: Mapping[str, str]) -> str:
    """1 for nonviable, 0 for anything else that was recorded, empty where nothing was."""
    code = row[RESPONSE_COLUMN].removesuffix(".0")
    return str(int(code == NONVIABLE)) if code.isdecimal() else ""


def clinical_columns(rows: Sequence[Row]) -> dict[str, str]:
    """Column of the table -> its name in the cohort's table, with the unit that its values have."""
    columns = {name: name for row in rows[:1] for name in row if name and name != ID_COLUMN}
    for name in columns:
        if name == "lab_albumin":
            columns[name] = "albumin_g_dl" if _median(rows, name) < ALBUMIN_LIMIT else "albumin_g_l"
        elif DIAMETER.fullmatch(name):
            columns[name] = f"{name}_{_diameter_unit(rows)}"
        elif name in RENAMED:
            columns[name] = RENAMED[name]
        elif is_own_column(name) or name in ("group", "phase"):
            columns[name] = f"waw_{name}"  # a word with another meaning in a cohort's table
    return columns


def clinical_values(row: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str]:
    """The row's values under the names of `columns`, and the sex in words."""
    values = {new: row.get(old, "") for old, new in columns.items()}
    if "gender_woman" in row:
        values["sex"] = {"1": "female", "0": "male"}.get(row["gender_woman"].removesuffix(".0"), "")
    return values


def differences(path: Path, rows: Sequence[Row]) -> list[Problem]:
    """What of the table is other than its description, or than the version that was known, as warnings."""
    notes = []
    if md5_of(path) != KNOWN_MD5:
        notes.append(
            _note(
                tr("the clinical table is another version than the known one"), path, KNOWN_MD5, md5_of(path)
            )
        )
    columns = clinical_columns(rows)
    if columns.get("lab_albumin") == "albumin_g_dl":
        numbers = _numbers(rows, "lab_albumin")
        found = tr("{low:g} to {high:g}, taken as g/dL", low=min(numbers), high=max(numbers))
        notes.append(
            _note(tr("albumin is documented as g/L and holds g/dL"), path, tr("10 to 70 g/L"), found)
        )
    if _diameter_unit(rows) == "cm":
        notes.append(
            _note(tr("diameters of lesions look like cm"), path, "mm", tr("small numbers, taken as cm"))
        )
    missing = [name for name in EXPECTED if name not in columns]
    if missing:
        lacking = tr("no {names}", names=listed(missing))
        notes.append(_note(tr("columns are missing"), path, listed(EXPECTED), lacking))
    codes = sorted({row[RESPONSE_COLUMN].removesuffix(".0") for row in rows} - {"", "0", "1"})
    if codes:
        known = tr("0 nonviable, anything else counts as not nonviable")
        notes.append(
            _note(
                tr("{column} holds further codes", column=RESPONSE_COLUMN),
                path,
                known,
                listed(codes[:10]),
            )
        )
    return notes


def _note(message: str, path: Path, expected: str, received: str) -> Problem:
    about = {"field": "clinical", "file": path.name, "severity": "warning"}
    return Problem("table", message, expected=expected, received=received, **about)


def _numbers(rows: Sequence[Row], column: str) -> list[float]:
    found = []
    for row in rows:
        text = row.get(column, "").replace(",", ".")
        if re.fullmatch(r"\d+(\.\d+)?", text):
            found.append(float(text))
    return found


def _median(rows: Sequence[Row], column: str) -> float:
    return statistics.median(_numbers(rows, column) or [0.0])


def _diameter_unit(rows: Sequence[Row]) -> str:
    found = _numbers(rows, "lesion1_diameter")
    return "cm" if found and statistics.median(found) < DIAMETER_LIMIT else "mm"
