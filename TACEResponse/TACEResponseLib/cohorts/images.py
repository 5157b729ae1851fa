"""The CTs of a cohort whose tumours are still to be outlined: its table or its folders, without masks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import Row, read_table

from .places import located, table_in
from .table import _from_folders, _further_masks


@dataclass(frozen=True)
class PatientImage:
    """The CT of one patient. image: absolute. mask: an outline that is there already, None without one.

    cells: all columns of its row, the paths of further masks absolute; of a folder those it stands for.
    """

    patient_id: str
    image: Path
    series: str | None = None
    mask: Path | None = None
    cells: Mapping[str, str] = field(default_factory=dict)


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
        table = table_in(path)
        if table is None:
            patients = _from_folders(path).patients
            return tuple(
                PatientImage(
                    p.patient_id,
                    p.image,
                    mask=_there(p.mask),
                    cells={"mask_reader2": str(p.mask_reader2)} if p.mask_reader2 else {},
                )
                for p in patients
            )
        path = table
    rows = read_table(path, required=("patient_id", "image"), encoding=encoding)
    if not rows:
        raise TableError(tr("the table has no patients"), file=path.name, expected=tr("a row a patient"))
    return tuple(
        PatientImage(
            row["patient_id"],
            located(row, path, "image"),
            row.get("series") or None,
            _there(located(row, path, "mask")) if row.get("mask") else None,
            _cells(row, path),
        )
        for row in rows
    )


def _cells(row: Row, table: Path) -> dict[str, str]:
    """The named columns of a row; paths of further masks from anywhere."""
    further = {name: str(file) for name, file in _further_masks(row, table).items()}
    if row.get("mask_reader2"):
        further["mask_reader2"] = str(located(row, table, "mask_reader2"))
    return {name: text for name, text in row.items() if name} | further


def _there(mask: Path) -> Path | None:
    return mask if mask.exists() else None
