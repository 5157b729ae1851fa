"""RTSTRUCT to masks: planar contours of one structure, filled on the CT's own slices.

pydicom reads the file; only the filling is ours (`contours`). Contours belong to the slice they lie
on: those that lie between the CT's slices or beyond them were drawn on another CT and are refused.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import GeometryError, MaskError, Problem
from TACEResponseLib.messages.language import listed, tr

from .contours import Polygon, fill_slice, is_on_centres, is_same, snapped
from .dicom_open import STRUCTURE_SET, reading_dicom

#: A contour may lie off its slice by this share of the slice spacing (rounding in planning systems).
OFF_SLICE = 0.25
XOR_TYPES = ("CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
CLOSED_TYPES = ("CLOSED_PLANAR", *XOR_TYPES)
#: A contour as it stands in the file: its ContourGeometricType, and points (n, 3) in mm.
Contour = tuple[str, np.ndarray]


@dataclass(frozen=True)
class Structure:
    """A structure that has contours. fault: what is wrong with one of them, empty when nothing is."""

    name: str
    contours: list[Contour]
    fault: str = ""


def is_structure_set(path: Path) -> bool:
    """Whether a DICOM file is an RTSTRUCT."""
    import pydicom

    with reading_dicom(path, "mask"):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"], force=True)
        return header.get("SOPClassUID") == STRUCTURE_SET


def open_structure_set(path: Path, image: sitk.Image | None):
    """Names of the structures that have contours, and numbers in that list -> (union on `image`, notes).

    Raises InputError when the file is damaged, MaskError when contours belong to no structure. The
    reading raises MaskError for a structure without closed contours or with one that holds no points,
    GeometryError with positions when contours do not lie on the CT's slices.
    """
    import pydicom

    with reading_dicom(path, "mask"):
        structures = _structures(pydicom.dcmread(path, force=True))

    def voxels(chosen: list[int]) -> tuple[sitk.Image, list[Problem]]:
        filled = [_filled(structures[number], image) for number in chosen]
        mask = sitk.GetImageFromArray(np.any([inside for inside, _ in filled], axis=0).astype(np.uint8))
        mask.CopyInformation(image)
        return mask, [note for _, notes in filled for note in notes]

    return [structure.name for structure in structures], voxels


def _filled(structure: Structure, image: sitk.Image) -> tuple[np.ndarray, list[Problem]]:
    if structure.fault:
        raise MaskError(
            tr('the structure "{name}" cannot be filled', name=structure.name),
            field="mask",
            expected=tr("contours of points in mm"),
            received=structure.fault,
            remedy=tr("export the structure again, or draw the missing contour"),
        )
    return fill(structure.contours, image, structure.name)


def fill(contours: list[Contour], image: sitk.Image, name: str) -> tuple[np.ndarray, list[Problem]]:
    """Voxels (k, j, i) of a structure, and what was odd about its contours."""
    by_slice: dict[int, list[Polygon]] = defaultdict(list)
    left_out = doubled = 0
    for kind, points in contours:
        if kind not in CLOSED_TYPES or (len(points) < 3 and not _is_traced(points, image, name)):
            left_out += 1
            continue
        k, columns_rows = _in_plane(points, image, name)
        polygon = Polygon(snapped(columns_rows), kind in XOR_TYPES)
        if any(is_same(polygon, other) for other in by_slice[k]):
            doubled += 1
        else:
            by_slice[k].append(polygon)
    drawn = sorted(k for k, polygons in by_slice.items() if polygons)
    if not drawn:
        raise _no_contour(contours, name)
    inside = np.zeros(image.GetSize()[::-1], bool)
    for k in drawn:
        inside[k] = fill_slice(by_slice[k], inside.shape[1:])
    return inside, _notes(name, left_out, doubled, drawn)


def _is_traced(points_mm: np.ndarray, image: sitk.Image, name: str) -> bool:
    """Whether one or two points are a structure of one row of voxels: they lie on centres of the CT's."""
    try:
        return is_on_centres(_in_plane(points_mm, image, name)[1])
    except GeometryError:
        return False


def _notes(name: str, left_out: int, doubled: int, drawn: list[int]) -> list[Problem]:
    """Warnings about contours that were not used, and slices (k) without one."""
    notes = []
    if left_out:
        notes.append(tr("{left_out} points or open lines were left out", left_out=left_out))
    if doubled:
        notes.append(tr("{doubled} contours are there twice and count once", doubled=doubled))
    gaps = [k for k in range(drawn[0], drawn[-1] + 1) if k not in drawn]
    if gaps:
        notes.append(
            tr(
                "{n} slices between its contours have none, the first is slice {first}",
                n=len(gaps),
                first=gaps[0] + 1,
            )
        )
    return [
        Problem(
            "mask",
            tr('structure "{name}": {note}', name=name, note=note),
            field="mask",
            remedy=tr("look at the outline"),
            severity="warning",
        )
        for note in notes
    ]


def _no_contour(contours: list[Contour], name: str) -> MaskError:
    return MaskError(
        tr('the structure "{name}" has no closed contour', name=name),
        field="mask",
        expected=tr("CLOSED_PLANAR contours of three points or more"),
        received=listed(sorted({kind for kind, _ in contours})) or tr("none"),
        remedy=tr("draw the tumour, or choose another structure"),
    )


def _in_plane(points_mm: np.ndarray, image: sitk.Image, name: str) -> tuple[int, np.ndarray]:
    """The contour's slice, and its points as (column, row) of voxel centres."""
    axes = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    index = (points_mm - image.GetOrigin()) @ np.linalg.inv(axes).T
    k = round(float(np.median(index[:, 2])))
    off = np.abs(index[:, 2] - k).max()
    columns, rows, slices = image.GetSize()
    low, high = index[:, :2].min(axis=0), index[:, :2].max(axis=0)
    if off <= OFF_SLICE and 0 <= k < slices and (low >= -0.5).all() and (high <= (columns, rows)).all():
        return k, index[:, :2]
    first, last = (float((index @ axes.T + image.GetOrigin())[n, 2]) for n in (0, -1))
    ends = [image.TransformIndexToPhysicalPoint((0, 0, n))[2] for n in (0, slices - 1)]
    beyond = not 0 <= k < slices or off <= OFF_SLICE
    away = abs(float(np.median(index[:, 2])) - min(max(k, 0), slices - 1))
    raise GeometryError(
        tr('a contour of "{name}" lies outside the CT', name=name)
        if beyond
        else tr('a contour of "{name}" lies between the slices of the CT', name=name),
        field="mask",
        expected=tr(
            "contours on the {slices} slices from z {low:.2f} to {high:.2f} mm",
            slices=slices,
            low=min(ends),
            high=max(ends),
        ),
        received=tr(
            "a contour at z {first:.2f} mm to {last:.2f} mm, {away:.2f} slices away",
            first=first,
            last=last,
            away=away,
        )
        if abs(first - last) > 0.01
        else tr("a contour at z {first:.2f} mm, {away:.2f} slices away", first=first, away=away),
        remedy=tr("choose the CT on which the structure was drawn"),
    )


def _structures(dataset) -> list[Structure]:
    """Every structure of a pydicom dataset that has contours, in the order of the contours."""
    names: dict[int, str] = {}
    for roi in dataset.StructureSetROISequence:
        name = str(roi.get("ROIName") or f"ROI {roi.ROINumber}")
        if names.setdefault(int(roi.ROINumber), name) != name:
            raise _unnamed(
                tr("ROI number {number} of one structure", number=roi.ROINumber), tr("it of two"), names
            )
    contours: dict[int, list] = defaultdict(list)
    for roi in dataset.get("ROIContourSequence") or []:
        number = int(roi.ReferencedROINumber)
        contours[number] += roi.get("ContourSequence") or []
        if number not in names and contours[number]:
            raise _unnamed(
                tr("contours of a structure in the list"),
                tr("contours of ROI number {number}", number=number),
                names,
            )
    return [_structure(names[number], items) for number, items in contours.items() if items]


def _structure(name: str, items: list) -> Structure:
    """The contours of one structure, or the first fault among them."""
    contours = []
    for number, item in enumerate(items, start=1):
        values, kind = item.get("ContourData"), str(item.get("ContourGeometricType") or "")
        if not values:
            return Structure(
                name, [], tr("contour {number} of {n} without data", number=number, n=len(items))
            )
        values = np.atleast_1d(np.array(values, dtype=float))
        claimed = item.get("NumberOfContourPoints")
        if values.size % 3 or (claimed is not None and int(claimed) != values.size // 3):
            return Structure(name, [], _miscounted(number, len(items), values.size, claimed))
        if not np.isfinite(values).all():
            return Structure(
                name,
                [],
                tr("contour {number} of {n} with a point that is no number", number=number, n=len(items)),
            )
        contours.append((kind, values.reshape(-1, 3)))
    return Structure(name, contours)


def _miscounted(number: int, n: int, size: int, claimed: str | None) -> str:
    about = {"number": number, "n": n, "size": size}
    if claimed is None:
        return tr("contour {number} of {n} with {size} numbers", **about)
    return tr("contour {number} of {n} with {size} numbers for {claimed} points", **about, claimed=claimed)


def _unnamed(expected: str, received: str, names: dict[int, str]) -> MaskError:
    known = listed(f'{number} "{name}"' for number, name in names.items()) or tr("none")
    return MaskError(
        tr("the structure set does not say which structure its contours are of"),
        field="mask",
        expected=tr("{expected}: {known}", expected=expected, known=known),
        received=received,
        remedy=tr("export the structure set again"),
    )
