"""The slices that a case was read from, and its tumour on exactly these slices.

A Case knows a volume; DICOM results point at instances. The tumour comes back to the slices by
geometry, so it does not matter in which order files lie or which way a volume's axes run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.valuerep import DA, TM

from TACEResponseLib.cases import Case
from TACEResponseLib.cases.geometry import grid_in_words, to_grid
from TACEResponseLib.messages.errors import GeometryError, InputError, MaskError
from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.readers.acquisitions import Acquisition, group_slices
from TACEResponseLib.readers.dicom import Slice, dicom_files, in_order, is_dicom, read_slice, reading_dicom

#: Attributes without which nothing can point at a slice.
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
#: Attributes that every instance has, empty where the source does not say.
MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True)
class Source:
    """The slices of one scan. headers: without pixels, along their normal. step_mm: their distance."""

    headers: tuple[pydicom.Dataset, ...]
    step_mm: float


def find_source(case: Case, series: Path | Sequence[Path]) -> tuple[Source, np.ndarray]:
    """The scan that `case` was read from, and its tumour as (slice, row, column) booleans.

    series: a folder, or files, which may hold other series too.
    """
    acquisitions = _candidates(case, series)
    fitting, misfit = [], None
    for each in acquisitions:
        try:
            fitting.append((each, *_tumour_on(case, each, _folder(series))))
        except GeometryError as error:
            misfit = error
    if not fitting:
        raise misfit
    if len(fitting) > 1:
        raise InputError(
            tr("the case fits several series"),
            field="image",
            expected=tr("the one series that the case was read from"),
            received=tr("; ").join(each.title for each, *_ in fitting),
            remedy=tr("give the files of that series alone"),
        )
    acquisition, step_mm, tumour = fitting[0]
    slices = in_order(list(acquisition.slices), _folder(series))
    return Source(tuple(_header(each, step_mm) for each in slices), step_mm), tumour


def _candidates(case: Case, series: Path | Sequence[Path]) -> list[Acquisition]:
    """The scans among which the case's is: the one that it names, or all."""
    if isinstance(series, Path):
        files = dicom_files(series) if series.is_dir() else [series]
    else:
        files = [Path(path) for path in series]
    slices = [read_slice(path) for path in files if is_dicom(path)]
    acquisitions = group_slices([each for each in slices if each is not None])
    if not acquisitions:
        raise InputError(
            tr("the CT has no DICOM slices that the results could point at"),
            field="image",
            file=_folder(series).name,
            expected=tr("the folder of a DICOM series"),
            received=several(len(files), "1 file without DICOM slices", "{n} files without DICOM slices"),
            remedy=tr("predict from the DICOM series, or do without the DICOM results"),
        )
    image = case.provenance.get("image")
    if not isinstance(image, dict) or "series_uid" not in image:  # from a scene, or from a volume file
        return acquisitions
    wanted = "#".join(filter(None, (image["series_uid"], image.get("acquisition"))))
    named = [each for each in acquisitions if each.choice == wanted]
    if not named:
        raise InputError(
            tr("the series is not the one that the case was read from"),
            field="image",
            file=_folder(series).name,
            expected=wanted,
            received=tr("; ").join(each.title for each in acquisitions),
            remedy=tr("give the folder that the case was read from"),
        )
    return named


def _tumour_on(case: Case, acquisition: Acquisition, folder: Path) -> tuple[float, np.ndarray]:
    """The slices' distance in mm and the tumour on them; GeometryError when it does not lie there."""
    slices = in_order(list(acquisition.slices), folder)
    grid = _grid_of(slices)
    try:
        on_slices, _ = to_grid(case.mask, grid, cropped_is_normal=True)
    except GeometryError:
        raise GeometryError(
            tr("the case does not lie on the slices of the series"),
            field="image",
            file=folder.name,
            expected=grid_in_words(case.mask),
            received=grid_in_words(grid),
            remedy=tr(
                "give the series that the case was read from; a CT that was moved or resampled has none"
            ),
        ) from None
    tumour = sitk.GetArrayFromImage(on_slices) > 0
    if tumour.sum() != np.count_nonzero(sitk.GetArrayViewFromImage(case.mask)):
        raise MaskError(tr("the tumour does not come back to the slices whole"), field="mask")
    return grid.GetSpacing()[2], tumour


def _grid_of(slices: list[Slice]) -> sitk.Image:
    """An empty volume (column, row, slice) on the slices, which are in order."""
    first, last = slices[0], slices[-1]
    across, down = (np.array(first.orientation[n : n + 3]) for n in (0, 3))
    across, down = across / np.linalg.norm(across), down / np.linalg.norm(down)
    step_mm = float(np.linalg.norm(np.subtract(last.position, first.position))) / max(len(slices) - 1, 1)
    rows, columns = first.rows_columns
    grid = sitk.Image(columns, rows, len(slices), sitk.sitkUInt8)
    grid.SetOrigin(first.position)
    grid.SetSpacing((first.pixel_spacing[1], first.pixel_spacing[0], step_mm or 1.0))
    grid.SetDirection(np.column_stack([across, down, np.cross(across, down)]).ravel().tolist())
    return grid


def _header(each: Slice, step_mm: float) -> pydicom.Dataset:
    """All of a slice but its pixels, with empty attributes where the source left them out."""
    with reading_dicom(each.path):
        header = pydicom.dcmread(each.path, stop_before_pixels=True)
        missing = [name for name in REQUIRED if not header.get(name)]
        for name in MAY_BE_EMPTY:
            if header.get(name) is None or not _is_valid(name, header[name].value):
                setattr(header, name, "")
        header.Modality = header.get("Modality") or "CT"
        header.SliceThickness = header.get("SliceThickness") or step_mm
    if missing:
        raise InputError(
            tr("the slices do not say what the results must point at"),
            field="image",
            file=each.path.name,
            expected=listed(missing),
            received=tr("nothing"),
            remedy=tr("export the series again without removing identifiers (UIDs)"),
        )
    return header


def _is_valid(name: str, value: object) -> bool:
    """Whether a value can be written as it is: highdicom refuses other sexes, dates and times."""
    kind = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}.get(name)
    try:
        return name != "PatientSex" or value in ("M", "F", "O") if kind is None else bool(kind(value))
    except (ValueError, TypeError):
        return False


def _folder(series: Path | Sequence[Path]) -> Path:
    """What to name in an error."""
    first = series if isinstance(series, Path) else next(iter(series), Path(tr("no files")))
    return first if isinstance(series, Path) else first.parent
