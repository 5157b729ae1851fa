"""The table of a cohort with its drafts: its own rows, with each draft in `mask` and its source beside it.

A person corrects the drafts and writes `edited` or `confirmed` into `mask_source`; then the folder is a
cohort like any other.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from TACEResponseLib.cohorts.images import PatientImage
from TACEResponseLib.cohorts.outlines import COLUMN as SOURCE
from TACEResponseLib.cohorts.outlines import FURTHER
from TACEResponseLib.cohorts.table import COLUMNS
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import read_table
from TACEResponseLib.storage import quoted, whole_file

TABLE = "cohort.csv"
#: Columns that say where in a mask's file the tumour is; a draft needs none.
WHERE_IN_MASK = ("mask_label", "segment")


def rows_before(folder: Path, cohort: Path) -> dict[str, dict[str, str]]:
    """Rows of an earlier run whose draft is there, which a person may have filled in; patient -> cells.

    Raises InputError where the table of the drafts would be written over that of the cohort.
    """
    own = cohort if cohort.is_dir() else cohort.parent
    if folder.resolve() == own.resolve():
        raise InputError(
            tr("the drafts would lie among the cohort's own files"),
            field="out",
            file=folder.name,
            expected=tr("another folder than the cohort's"),
            remedy=tr("name a new folder with --out"),
        )
    if not (folder / TABLE).exists():
        return {}
    rows = read_table(folder / TABLE, required=("patient_id", "image", "mask"))
    return {row["patient_id"]: row for row in rows if row["mask"] and (folder / row["mask"]).exists()}


def write_cohort_table(
    patients: Sequence[PatientImage],
    drafts: Mapping[str, Path],
    drafted: set[str],
    before: Mapping[str, Mapping[str, str]],
    folder: Path,
) -> Path:
    """Write `cohort.csv` into the folder of the drafts, whole or not at all; its path.

    drafts: patient -> where the draft is, or would be. drafted: patients whose draft is there. before: rows
    that stay as they are.
    """
    rows = []
    for patient in patients:
        mask = patient.mask or drafts[patient.patient_id]
        cells = {**patient.cells, "image": _from(folder, patient.image), "mask": _from(folder, mask)}
        for column in _paths(cells):
            cells[column] = _from(folder, Path(cells[column]))
        if patient.mask is None:
            source = {SOURCE: "proposed"} if patient.patient_id in drafted else {SOURCE: ""}
            cells |= source | {column: "" for column in WHERE_IN_MASK if column in cells}
        rows.append(dict(before.get(patient.patient_id, {"patient_id": patient.patient_id} | cells)))
    columns = dict.fromkeys(["patient_id", "image", "mask", SOURCE, *(name for row in rows for name in row)])
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({**row, "patient_id": quoted(row["patient_id"])} for row in rows)
    with whole_file(folder / TABLE) as stream:
        stream.write(text.getvalue().encode("utf-8"))
    return folder / TABLE


def _paths(cells: Mapping[str, str]) -> list[str]:
    """The columns of further masks that are filled."""
    further = [name for name in cells if name == "mask_reader2" or name.startswith(FURTHER)]
    return [name for name in further if cells[name] and (name == "mask_reader2" or name not in COLUMNS)]


def _from(folder: Path, path: Path) -> str:
    """A path as the table in `folder` names it: relative where there is such a one."""
    whole = os.path.realpath(path)
    try:
        return Path(os.path.relpath(whole, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive of Windows
        return whole
