"""RTSTRUCT to masks: planar contours of one structure, filled on the CT's own slices.

pydicom reads the file; only the filling is ours. A voxel is inside when a line from it crosses the
contours of its slice an odd number of times (the even-odd rule), so that a contour inside another
one is a hole, drawn as a contour of its own or as a keyhole. Contours belong to the slice they lie
on: those that lie between the CT's slices or beyond them were drawn on another CT and are refused.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.errors import GeometryError, MaskError, Problem

from .dicom import STRUCTURE_SET, reading_dicom

#: A contour may lie off its slice by this share of the slice spacing (rounding in planning systems).
OFF_SLICE = 0.25


def is_structure_set(path: Path) -> bool:
    """Whether a DICOM file is an RTSTRUCT."""
    import pydicom

    with reading_dicom(path, "mask"):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        return header.get("SOPClassUID") == STRUCTURE_SET


def open_structure_set(path: Path, image: sitk.Image | None):
    """Names of the structures that have contours, and names -> (their union as 0/1 on `image`, warnings).

    Raises InputError when the file is damaged. The reading raises MaskError for a structure without
    closed contours, GeometryError with positions when contours do not lie on the CT's slices.
    """
    import pydicom

    with reading_dicom(path, "mask"):
        structures = _structures(pydicom.dcmread(path))

    def voxels(names: list[str]) -> tuple[sitk.Image, list[Problem]]:
        filled = [fill(contours, image, name) for name, contours in structures if name in names]
        mask = sitk.GetImageFromArray(np.any([inside for inside, _ in filled], axis=0).astype(np.uint8))
        mask.CopyInformation(image)
        return mask, [note for _, notes in filled for note in notes]

    return [name for name, _ in structures], voxels


def fill(
    contours: list[tuple[str, np.ndarray]], image: sitk.Image, name: str
) -> tuple[np.ndarray, list[Problem]]:
    """Voxels (k, j, i) inside the contours by the even-odd rule, and what was odd about them.

    contours: (ContourGeometricType, points (n, 3) in mm).
    """
    closed = [points for kind, points in contours if kind.startswith("CLOSED_PLANAR") and len(points) > 2]
    different = {points.tobytes(): points for points in closed}
    if not different:
        raise MaskError(
            f'the structure "{name}" has no closed contour',
            field="mask",
            expected="CLOSED_PLANAR contours of three points or more",
            received=", ".join(sorted({kind for kind, _ in contours})) or "none",
            remedy="draw the tumour, or choose another structure",
        )
    planes = [_in_plane(points, image, name) for points in different.values()]
    toggles = np.zeros(image.GetSize()[::-1], dtype=np.int32)
    for k, columns_rows in planes:
        _toggle_crossings(toggles[k], columns_rows)
    inside = np.cumsum(toggles, axis=2) % 2 == 1
    notes = []
    if len(closed) < len(contours):
        notes.append(f"{len(contours) - len(closed)} points or open lines were left out")
    if len(different) < len(closed):
        notes.append(f"{len(closed) - len(different)} contours are there twice and count once")
    drawn = np.unique([k for k, _ in planes])
    gaps = [int(k) for k in range(drawn[0], drawn[-1] + 1) if k not in drawn]
    if gaps:
        notes.append(f"{len(gaps)} slices between its contours have none, the first is slice {gaps[0] + 1}")
    return inside, [
        Problem(
            "mask",
            f'structure "{name}": {note}',
            field="mask",
            remedy="look at the outline",
            severity="warning",
        )
        for note in notes
    ]


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
    raise GeometryError(
        f'a contour of "{name}" lies {"outside the CT" if beyond else "between the slices of the CT"}',
        field="mask",
        expected=f"contours on the {slices} slices from z {min(ends):.2f} to {max(ends):.2f} mm",
        received=f"a contour at z {first:.2f} mm"
        + (f" to {last:.2f} mm" if abs(first - last) > 0.01 else "")
        + f", {abs(float(np.median(index[:, 2])) - min(max(k, 0), slices - 1)):.2f} slices away",
        remedy="choose the CT on which the structure was drawn",
    )


def _toggle_crossings(layer: np.ndarray, columns_rows: np.ndarray) -> None:
    """Add to each row of `layer` (j, i) where the polygon's edges cross it: parity turns there.

    An edge owns the rows from its lower end up to, not including, its upper end, so that a corner
    on a row counts once.
    """
    following = np.roll(columns_rows, -1, axis=0)
    for (x0, y0), (x1, y1) in zip(columns_rows, following, strict=True):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        rows = np.arange(max(int(np.ceil(y0)), 0), min(int(np.ceil(y1)), len(layer)))
        if rows.size == 0:
            continue
        crossings = np.ceil(x0 + (rows - y0) * (x1 - x0) / (y1 - y0)).astype(int)
        seen = crossings < layer.shape[1]
        np.add.at(layer, (rows[seen], np.maximum(crossings[seen], 0)), 1)


def _structures(dataset) -> list[tuple[str, list[tuple[str, np.ndarray]]]]:
    """(name, contours) of every structure of a pydicom dataset that has contours."""
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in dataset.StructureSetROISequence}
    structures = []
    for roi in dataset.get("ROIContourSequence") or []:
        contours = [
            (str(c.get("ContourGeometricType", "")), np.array(c.ContourData, dtype=float).reshape(-1, 3))
            for c in roi.get("ContourSequence") or []
        ]
        if contours:
            structures.append((names[int(roi.ReferencedROINumber)], contours))
    return structures
