"""The CTs of a cohort whose tumours are still to be outlined: its table or its folders, without masks."""

from dataclasses import dataclass
from pathlib import Path

from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import read_table

from .places import located
from .table import _from_folders

TABLES = ("cohort.csv", "cohort.xlsx")


@dataclass(frozen=True)
class PatientImage:
    """The CT of one patient. image: absolute. mask: an outline that is there already, None without one."""

    patient_id: str
    image: Path
    series: str | None = None
    mask: Path | None = None


def read_images(path: Path, *, encoding: str | None = None) -> tuple[PatientImage, ...]:
    """The patients of a cohort as `read_cohort` finds them; no mask is needed, nor a column of that name.

    path: a folder (with or without a table), a `.csv` or an `.xlsx`. encoding: of a CSV, where it is not
    certain. Raises InputError when there is nothing to read, TableError naming row and column.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            tr("there is no such cohort"), field="cohort", received=str(path), remedy=tr("check the path")
        )
    if path.is_dir():
        tables = [path / name for name in TABLES if (path / name).exists()]
        if not tables:
            patients = _from_folders(path).patients
            return tuple(PatientImage(p.patient_id, p.image, mask=_there(p.mask)) for p in patients)
        if len(tables) > 1:
            raise TableError(
                tr("the folder holds two tables of the cohort"),
                file=path.name,
                expected=tr("cohort.csv or cohort.xlsx"),
                received=tr("both"),
                remedy=tr("name the one that counts, or remove the other"),
            )
        path = tables[0]
    rows = read_table(path, required=("patient_id", "image"), encoding=encoding)
    if not rows:
        raise TableError(tr("the table has no patients"), file=path.name, expected=tr("a row a patient"))
    return tuple(
        PatientImage(
            row["patient_id"],
            located(row, path, "image"),
            row.get("series") or None,
            _there(located(row, path, "mask")) if row.get("mask") else None,
        )
        for row in rows
    )


def _there(mask: Path) -> Path | None:
    return mask if mask.exists() else None
