"""Patients without images: the rows of a feature table that somebody measured before."""

from collections.abc import Mapping, Sequence

import numpy as np

from TACEResponseLib.clinical.items import TumourBurden
from TACEResponseLib.messages.errors import TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.readers.tables import Row

from .case import SCAN
from .feature_table import diagnostics_of
from .patient_table import PatientTable

#: Feature that stands for the tumour's size when there are no images to measure.
SIZE_FEATURE = "original_shape_Maximum2DDiameterSlice"
#: Feature and diagnostics that tell how the CT was taken.
HU_FEATURE, SPACING = "original_firstorder_Median", "diagnostics_Image-original_Spacing"


def tabled(
    rows: Sequence[Row],
    names: tuple[str, ...],
    file: str,
    centers: Sequence[str],
    groups: Sequence[str],
    clinical: Sequence[Mapping[str, str]],
) -> PatientTable:
    """The rows (n) of a feature table as patients; features `names`, every cell a number.

    centers, groups, clinical: (n,) of the table of labels; the column `lesions` holds the number of
    tumours. Raises TableError naming row, column and patient.
    """
    values = np.array(
        [[_number(row[name], row, name, file) for name in names] for row in rows], dtype=float
    ).reshape(len(rows), len(names))
    size = values[:, names.index(SIZE_FEATURE)] if SIZE_FEATURE in names else None
    sizes = [None] * len(rows) if size is None else size
    return PatientTable(
        patient_ids=tuple(row["patient_id"] for row in rows),
        feature_names=names,
        features=values,
        diameters_mm=size,
        centers=tuple(centers),
        groups=tuple(groups),
        burdens=tuple(_burden(row, mm) for row, mm in zip(clinical, sizes, strict=True)),
        clinical=tuple(clinical),
        scans=_scans(rows),
        diagnostics=tuple(diagnostics_of(row) for row in rows),
    )


def _scans(rows: Sequence[Row]) -> np.ndarray | None:
    """(n, 4) what the rows tell of `SCAN`, NaN for what they do not; None where they tell nothing."""
    scans = np.full((len(rows), len(SCAN)), np.nan)
    for scan, row in zip(scans, rows, strict=True):
        tumour_hu = _numbers_in(row.get(HU_FEATURE, ""))
        if len(tumour_hu) == 1:
            scan[SCAN.index("tumour_hu")] = tumour_hu[0]
        spacing_mm = _numbers_in(row.get(SPACING, ""))
        if len(spacing_mm) == 3:
            scan[SCAN.index("pixel_mm")], scan[SCAN.index("slice_mm")] = min(spacing_mm), max(spacing_mm)
    return scans if np.isfinite(scans).any() else None


def _numbers_in(text: str) -> list[float]:
    """The numbers of "(0.78, 0.78, 2.5)" or "94.5"; none where something else is written."""
    try:
        return [float(part) for part in text.strip("() []").split(",")]
    except ValueError:
        return []


def _burden(row: Mapping[str, str], diameter_mm: float | None) -> TumourBurden | None:
    """The lesions of a patient without images: their number, and the size of the largest."""
    number = row.get("lesions", "")
    if diameter_mm is None or diameter_mm <= 0 or not number.isdecimal() or int(number) == 0:
        return None
    return TumourBurden(int(number), (diameter_mm / 10,))


def _number(text: str, row: Row, column: str, file: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise TableError(
            tr("row {number}, column {column} is not a number", number=row.number, column=column),
            patient_id=row["patient_id"],
            file=file,
            field=column,
            expected=tr("a finite number"),
            received=f'"{text}"',
            remedy=tr("correct the cell, or empty the patient's row"),
        )
    return value
