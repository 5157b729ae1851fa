"""Grids: whether image and mask lie on one, and how a mask comes onto the CT's without moving.

A grid is size, spacing, origin and direction. Differences below rounding are none; a mask that is
off by less than half a voxel or that covers a part of the CT is brought over by nearest neighbour;
everything else is a GeometryError with millimetres in it.
"""

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import GeometryError, Problem
from TACEResponseLib.messages.language import mark, tr

#: Corner displacement in mm below which two grids are one: rounding of headers, not movement.
SAME_GRID_MM = 1e-3
#: No scanner places a voxel farther away than this; a header that does is damaged.
FARTHEST_MM = 1e5
#: What is wrong with a volume that is no usable one, by the part that it plays.
NOT_3D = {
    "image": mark("the CT is not a three-dimensional volume"),
    "mask": mark("the mask is not a three-dimensional volume"),
}
SEVERAL_VALUES = {
    "image": mark("the CT holds several values a voxel"),
    "mask": mark("the mask holds several values a voxel"),
}
NOWHERE = {
    "image": mark("the CT's header places it nowhere"),
    "mask": mark("the mask's header places it nowhere"),
}


def check_volume(volume: sitk.Image, field_name: str) -> None:
    """Raise GeometryError unless `volume`, "image" or "mask", is one 3D scalar volume of finite extent."""
    if volume.GetDimension() != 3:
        raise GeometryError(
            tr(NOT_3D[field_name]),
            field=field_name,
            expected=tr("three dimensions"),
            received=tr("{n} dimensions ({size})", n=volume.GetDimension(), size=_size(volume)),
            remedy=tr("export one time point or phase as a volume of its own"),
        )
    values = 2 if "complex" in volume.GetPixelIDTypeAsString() else volume.GetNumberOfComponentsPerPixel()
    if values != 1:
        raise GeometryError(
            tr(SEVERAL_VALUES[field_name]),
            field=field_name,
            expected=tr("one value"),
            received=tr("{values} values (a colour or vector volume)", values=values),
            remedy=tr("export the volume as grey values"),
        )
    numbers = np.array([*volume.GetSpacing(), *volume.GetOrigin(), *volume.GetDirection()])
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > FARTHEST_MM:
        raise GeometryError(
            tr(NOWHERE[field_name]),
            field=field_name,
            expected=tr("spacing and origin in mm"),
            received=grid_in_words(volume),
            remedy=tr("export the volume again"),
        )


def to_grid(mask: sitk.Image, image: sitk.Image, cropped_is_normal: bool) -> tuple[sitk.Image, list[Problem]]:
    """The mask on the image's grid by nearest neighbour, and what there is to say about it."""
    reordered = _in_axis_order_of(mask, image)
    shift_mm = largest_corner_shift_mm(reordered, image)
    if shift_mm is not None and shift_mm <= SAME_GRID_MM:
        reordered.CopyInformation(image)
        return reordered, []
    half_voxel_mm = 0.5 * min(image.GetSpacing())
    shares_lattice = _shares_lattice(reordered, image)
    sub_voxel = shift_mm is not None and shift_mm <= half_voxel_mm
    if not sub_voxel and (not shares_lattice or shift_mm is not None):
        raise _another_grid(mask, image, shift_mm)
    on_grid = sitk.Resample(reordered, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    on_grid = sitk.Cast(on_grid, sitk.sitkUInt8)
    before, after = (int(sitk.GetArrayViewFromImage(m).sum()) for m in (mask, on_grid))
    if after < before:
        raise GeometryError(
            tr("part of the tumour lies outside the CT"),
            field="mask",
            expected=tr("{before} tumour voxels inside the CT", before=before),
            received=tr("{after} inside", after=after),
            remedy=tr("choose the CT on which the tumour was drawn"),
        )
    if sub_voxel:
        message = tr("the mask is shifted by {shift_mm:.3g} mm, less than half a voxel", shift_mm=shift_mm)
        remedy = tr("it was moved onto the CT's grid by nearest neighbour; look at the outline")
    elif not cropped_is_normal:
        message = tr(
            "the mask covers {part} voxels and the CT {whole}", part=_size(reordered), whole=_size(image)
        )
        remedy = tr("the rest was taken as outside the tumour; look at the outline")
    else:
        return on_grid, []
    return on_grid, [Problem("geometry", message, field="mask", remedy=remedy, severity="warning")]


def _another_grid(mask: sitk.Image, image: sitk.Image, shift_mm: float | None) -> GeometryError:
    """The error for a mask that is on another grid, with the remedy that fits."""
    if has_lost_geometry(mask, image):
        return GeometryError(
            tr("the mask has lost its geometry"),
            field="mask",
            expected=grid_in_words(image),
            received=grid_in_words(mask),
            remedy=tr("copy the CT's geometry to the mask when you know that it was drawn on this CT"),
        )
    grid = grid_in_words(mask)
    away = grid if shift_mm is None else tr("{grid}, {shift_mm:.1f} mm away", grid=grid, shift_mm=shift_mm)
    return GeometryError(
        tr("the mask lies on another grid than the CT"),
        field="mask",
        expected=grid_in_words(image),
        received=away,
        remedy=tr("export the mask on the CT's grid, or choose the CT on which it was drawn"),
    )


def has_lost_geometry(mask: sitk.Image, image: sitk.Image) -> bool:
    """Whether the mask is as large as the CT and its header says nothing: 1 mm voxels at zero."""
    return (
        mask.GetSize() == image.GetSize()
        and np.allclose(mask.GetSpacing(), 1)
        and np.allclose(mask.GetOrigin(), 0)
        and not np.allclose(image.GetSpacing(), 1)
    )


def is_on_grid(mask: sitk.Image, image: sitk.Image) -> bool:
    """Whether the mask needs no more than its axes put in the CT's order."""
    shift_mm = largest_corner_shift_mm(_in_axis_order_of(mask, image), image)
    return shift_mm is not None and shift_mm <= SAME_GRID_MM


def _in_axis_order_of(mask: sitk.Image, image: sitk.Image) -> sitk.Image:
    """The mask with its axes permuted and flipped (no resampling) to run as the image's do."""
    code_of = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines
    code = code_of(image.GetDirection())
    if mask.GetPixelID() != sitk.sitkUInt8:
        mask = sitk.Cast(mask, sitk.sitkUInt8)
    # The same voxels under another name: a header can be changed without changing the file's.
    return sitk.Image(mask) if code_of(mask.GetDirection()) == code else sitk.DICOMOrient(mask, code)


def corners_mm(volume: sitk.Image) -> np.ndarray:
    """Physical positions (8, 3) in mm of the corner voxels."""
    ends = [(0, n - 1) for n in volume.GetSize()]
    return np.array(
        [volume.TransformIndexToPhysicalPoint((x, y, z)) for x in ends[0] for y in ends[1] for z in ends[2]]
    )


def largest_corner_shift_mm(mask: sitk.Image, image: sitk.Image) -> float | None:
    """How far the grids are apart at worst, None when their sizes differ."""
    if mask.GetSize() != image.GetSize():
        return None
    return float(np.linalg.norm(corners_mm(mask) - corners_mm(image), axis=1).max())


def _shares_lattice(mask: sitk.Image, image: sitk.Image) -> bool:
    """Whether every mask voxel centre falls on an image voxel centre (to 5 % of a voxel)."""
    indices = np.array([image.TransformPhysicalPointToContinuousIndex(p) for p in corners_mm(mask)])
    steps = np.abs(indices[-1] - indices[0]) - (np.array(mask.GetSize()) - 1)
    return bool(np.abs(indices - np.round(indices)).max() < 0.05 and np.abs(steps).max() < 0.05)


def axial_grid_around(image: sitk.Image) -> sitk.Image:
    """An empty grid along the patient's axes, with the image's spacing, that holds all of it."""
    corners = corners_mm(image)
    spacing = np.array(image.GetSpacing())
    size = np.ceil(np.ptp(corners, axis=0) / spacing).astype(int) + 1
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing(image.GetSpacing())
    grid.SetOrigin(corners.min(axis=0).tolist())
    return grid


def _size(volume: sitk.Image) -> str:
    return " x ".join(map(str, volume.GetSize()))


def grid_in_words(volume: sitk.Image) -> str:
    """Size, spacing and origin of a grid in words."""
    spacing = " x ".join(f"{s:.4g}" for s in volume.GetSpacing())
    origin = ", ".join(f"{o:.2f}" for o in volume.GetOrigin())
    return tr(
        "{size} voxels of {spacing} mm at ({origin})", size=_size(volume), spacing=spacing, origin=origin
    )
