"""Case: one patient's CT in HU and the tumour mask on the same grid, checked once, here.

Whatever a file, a DICOM series or a Slicer scene delivers passes through `make_case`; after it,
no other room checks geometry, labels or intensities again. A case that cannot be used is a named
error; a case that can be used with care carries its warnings along.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from .errors import GeometryError, IntensityError, MaskError, Problem

#: Corner displacement in mm below which two grids are one: rounding of headers, not movement.
SAME_GRID_MM = 1e-3
#: Values below air; scanners write them outside the reconstructed circle.
BELOW_AIR_HU = -1050


@dataclass(frozen=True)
class Case:
    """One patient, ready for measuring.

    image: 3D SimpleITK image, intensities in HU. mask: 3D uint8 SimpleITK image on exactly the
    same grid, 1 in the tumour, 0 elsewhere, not empty. provenance: where both came from and what
    was done to them, JSON types. warnings: what to read beside the answer.
    """

    patient_id: str
    image: sitk.Image
    mask: sitk.Image
    provenance: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along the image's x, y and z axes in mm."""
        return self.image.GetSpacing()

    def on_axial_grid(self) -> "Case":
        """The case with x to the patient's left, y to the back and z to the head.

        Volumes stored in another order are reordered without loss; an oblique one is resampled
        (CT linear, mask nearest neighbour) with its own spacing. The case itself when already so.
        """
        image, mask = (sitk.DICOMOrient(volume, "LPS") for volume in (self.image, self.mask))
        if np.abs(np.array(image.GetDirection()) - np.eye(3).ravel()).max() > 1e-3:
            grid = _axial_grid_around(image)
            lowest = float(sitk.GetArrayViewFromImage(image).min())
            image = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, lowest)
            mask = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        return dataclasses.replace(self, image=image, mask=mask)


def make_case(
    patient_id: str,
    image: sitk.Image,
    mask: sitk.Image,
    *,
    label: int | str | None = None,
    cropped_is_normal: bool = False,
    provenance: Mapping[str, object] | None = None,
    warnings: tuple[Problem, ...] = (),
) -> Case:
    """Check image and mask, bring the mask to the image's grid, and return the Case.

    image: 3D scalar, HU. mask: 3D, whole numbers. label: the mask value that is the tumour,
    `"all"` for every value above 0, None when the mask holds one value only. cropped_is_normal:
    the mask's format stores only the tumour's box (`.seg.nrrd`, DICOM SEG), so no warning for it.

    Raises GeometryError, MaskError or IntensityError naming the patient.
    """
    try:
        _check_volume(image, "image", "CT")
        _check_volume(mask, "mask", "mask")
        binary, label = _select_label(mask, label)
        binary, moved = _to_grid(binary, image, cropped_is_normal)
        notes = [*moved, *_check_shape(binary), *_check_intensities(image, binary)]
    except (GeometryError, MaskError, IntensityError) as error:
        raise error.about(patient_id=patient_id) from None
    notes = [dataclasses.replace(note, patient_id=patient_id) for note in notes]
    return Case(
        patient_id=patient_id,
        image=image,
        mask=binary,
        provenance={**(provenance or {}), "label": label},
        warnings=(*warnings, *notes),
    )


def choose_segments(names: list[str], wanted: str | None) -> list[str]:
    """The segments called `wanted`: the only one for None, all of them for `"all"`."""
    if wanted == "all":
        return names
    listed = ", ".join(f'"{name}"' for name in names) or "none"
    if wanted is None and len(names) == 1:
        return names
    if wanted is None:
        raise MaskError(
            "the segmentation holds several segments",
            field="mask",
            expected="one segment, or a choice",
            received=listed,
            remedy="name the tumour's segment, or all",
        )
    exact = [name for name in names if name == wanted]
    chosen = exact or [name for name in names if name.casefold() == wanted.casefold()]
    if len(chosen) != 1:
        raise MaskError(
            f'{"no" if not chosen else "more than one"} segment is named "{wanted}"',
            field="mask",
            expected=f'one segment "{wanted}"',
            received=listed,
            remedy="choose one of those names, or all",
        )
    return chosen


def _check_volume(volume: sitk.Image, field_name: str, noun: str) -> None:
    """Raise GeometryError unless `volume` is one 3D scalar volume of finite extent."""
    size = " x ".join(map(str, volume.GetSize()))
    if volume.GetDimension() != 3:
        raise GeometryError(
            f"the {noun} is not a three-dimensional volume",
            field=field_name,
            expected="three dimensions",
            received=f"{volume.GetDimension()} dimensions ({size})",
            remedy="export one time point or phase as a volume of its own",
        )
    if volume.GetNumberOfComponentsPerPixel() != 1:
        raise GeometryError(
            f"the {noun} holds several values a voxel",
            field=field_name,
            expected="one value",
            received=f"{volume.GetNumberOfComponentsPerPixel()} values (a colour or vector volume)",
            remedy="export the volume as grey values",
        )


def _select_label(mask: sitk.Image, label: int | str | None) -> tuple[sitk.Image, int | str]:
    """The mask as 0/1 uint8 on its own grid, and the label that was taken."""
    values = np.unique(sitk.GetArrayViewFromImage(mask))
    if not np.array_equal(values, np.round(values)):
        raise MaskError(
            "the mask holds fractions",
            field="mask",
            expected="whole numbers, 0 outside the tumour",
            received=f"{len(values)} values from {values[0]:g} to {values[-1]:g}",
            remedy="threshold the probabilities and export a labelmap",
        )
    present = [int(v) for v in values if v != 0]
    listed = ", ".join(map(str, present[:20])) or "none"
    if not present:
        raise MaskError(
            "the mask is empty",
            field="mask",
            expected="at least one voxel above 0",
            received="0 in every voxel",
            remedy="draw the tumour, or choose another mask",
        )
    if label is None:
        if len(present) > 1:
            raise MaskError(
                "the mask holds several labels",
                field="label",
                expected="one label, or a choice",
                received=f"labels {listed}",
                remedy="choose one label, or all",
            )
        label = present[0]
    if label != "all" and int(label) not in present:
        raise MaskError(
            f"label {label} is not in the mask",
            field="label",
            expected=f"label {label}",
            received=f"labels {listed}",
            remedy="choose one of those labels, or all",
        )
    return (mask != 0 if label == "all" else mask == int(label)), label


def _to_grid(
    mask: sitk.Image, image: sitk.Image, cropped_is_normal: bool
) -> tuple[sitk.Image, list[Problem]]:
    """The mask on the image's grid by nearest neighbour, and what there is to say about it."""
    reordered = _in_axis_order_of(mask, image)
    shift_mm = _largest_corner_shift_mm(reordered, image)
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
            "part of the tumour lies outside the CT",
            field="mask",
            expected=f"{before} tumour voxels inside the CT",
            received=f"{after} inside",
            remedy="choose the CT on which the tumour was drawn",
        )
    if sub_voxel:
        message = f"the mask is shifted by {shift_mm:.3g} mm, less than half a voxel"
        remedy = "it was moved onto the CT's grid by nearest neighbour; look at the outline"
    elif not cropped_is_normal:
        message = f"the mask covers {_size(reordered)} voxels and the CT {_size(image)}"
        remedy = "the rest was taken as outside the tumour; look at the outline"
    else:
        return on_grid, []
    return on_grid, [Problem("geometry", message, field="mask", remedy=remedy, severity="warning")]


def _another_grid(mask: sitk.Image, image: sitk.Image, shift_mm: float | None) -> GeometryError:
    """The error for a mask that is on another grid, with the remedy that fits."""
    lost_header = (
        mask.GetSize() == image.GetSize()
        and np.allclose(mask.GetSpacing(), 1)
        and np.allclose(mask.GetOrigin(), 0)
    )
    if lost_header:
        return GeometryError(
            "the mask has lost its geometry",
            field="mask",
            expected=_grid(image),
            received=_grid(mask),
            remedy="copy the CT's geometry to the mask when you know that it was drawn on this CT",
        )
    away = "" if shift_mm is None else f", {shift_mm:.1f} mm away"
    return GeometryError(
        "the mask lies on another grid than the CT",
        field="mask",
        expected=_grid(image),
        received=_grid(mask) + away,
        remedy="export the mask on the CT's grid, or choose the CT on which it was drawn",
    )


def _in_axis_order_of(mask: sitk.Image, image: sitk.Image) -> sitk.Image:
    """The mask with its axes permuted and flipped (no resampling) to run as the image's do."""
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    return sitk.DICOMOrient(sitk.Cast(mask, sitk.sitkUInt8), code)


def _corners(volume: sitk.Image) -> np.ndarray:
    """Physical positions (8, 3) in mm of the corner voxels."""
    ends = [(0, n - 1) for n in volume.GetSize()]
    return np.array(
        [volume.TransformIndexToPhysicalPoint((x, y, z)) for x in ends[0] for y in ends[1] for z in ends[2]]
    )


def _largest_corner_shift_mm(mask: sitk.Image, image: sitk.Image) -> float | None:
    """How far the grids are apart at worst, None when their sizes differ."""
    if mask.GetSize() != image.GetSize():
        return None
    return float(np.linalg.norm(_corners(mask) - _corners(image), axis=1).max())


def _shares_lattice(mask: sitk.Image, image: sitk.Image) -> bool:
    """Whether every mask voxel centre falls on an image voxel centre (to 5 % of a voxel)."""
    indices = np.array([image.TransformPhysicalPointToContinuousIndex(p) for p in _corners(mask)])
    steps = np.abs(indices[-1] - indices[0]) - (np.array(mask.GetSize()) - 1)
    return bool(np.abs(indices - np.round(indices)).max() < 0.05 and np.abs(steps).max() < 0.05)


def _check_shape(mask: sitk.Image) -> list[Problem]:
    """Warnings about masks that are legal and unusual: one slice, one voxel, the whole volume."""
    inside = sitk.GetArrayViewFromImage(mask) > 0
    voxels, slices = int(inside.sum()), int(inside.any(axis=(1, 2)).sum())
    notes = []
    if voxels == mask.GetNumberOfPixels():
        notes.append(("the mask covers the whole volume", "check that it is the tumour"))
    if slices == 1:
        notes.append(
            (f"the tumour is drawn on one slice only ({voxels} voxels)", "draw it on every slice it reaches")
        )
    return [Problem("mask", text, field="mask", remedy=remedy, severity="warning") for text, remedy in notes]


def _check_intensities(image: sitk.Image, mask: sitk.Image) -> list[Problem]:
    """Refuse intensities that cannot be HU of a tumour; warn about padding inside it."""
    inside = sitk.GetArrayViewFromImage(image)[sitk.GetArrayViewFromImage(mask) > 0]
    if not np.isfinite(inside).all():
        raise IntensityError(
            "the CT holds values inside the tumour that are not numbers",
            field="image",
            expected="finite HU",
            received=f"{int((~np.isfinite(inside)).sum())} of {inside.size} voxels",
            remedy="export the CT again",
        )
    low, median, high = float(inside.min()), float(np.median(inside)), float(inside.max())
    spread = f"{low:g} to {high:g}"
    if low == high and inside.size > 1:
        raise IntensityError(
            "the CT is constant inside the tumour",
            field="image",
            expected="HU that vary",
            received=f"{low:g} in {inside.size} voxels",
            remedy="check that CT and mask belong together",
        )
    if high - low <= 1.5 and not np.array_equal(inside, np.round(inside)):
        raise IntensityError(
            "the CT looks scaled, not in HU",
            field="image",
            expected="HU, for example -50 to 200 in a tumour",
            received=spread,
            remedy="export the CT without scaling its intensities",
        )
    if median > 850 and low > 500:
        raise IntensityError(
            "the CT looks as if its rescale intercept of -1024 was not applied",
            field="image",
            expected="HU, for example -50 to 200 in a tumour",
            received=f"{spread}, median {median:g}",
            remedy="export the CT again with the intercept applied",
        )
    padding = float((inside < BELOW_AIR_HU).mean())
    if padding > 0.5:
        raise IntensityError(
            "most of the tumour lies on padding of the CT",
            field="image",
            expected="HU of tissue",
            received=f"{100 * padding:.0f} % of the tumour below {BELOW_AIR_HU} HU",
            remedy="check that CT and mask belong together",
        )
    if padding > 0:
        message = f"{100 * padding:.1f} % of the tumour is at padding value ({low:g} HU)"
        remedy = "correct the tumour's outline"
        return [Problem("intensity", message, field="image", remedy=remedy, severity="warning")]
    return []


def _axial_grid_around(image: sitk.Image) -> sitk.Image:
    """An empty grid along the patient's axes, with the image's spacing, that holds all of it."""
    corners = _corners(image)
    spacing = np.array(image.GetSpacing())
    size = np.ceil(np.ptp(corners, axis=0) / spacing).astype(int) + 1
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing(image.GetSpacing())
    grid.SetOrigin(corners.min(axis=0).tolist())
    return grid


def _size(volume: sitk.Image) -> str:
    return " x ".join(map(str, volume.GetSize()))


def _grid(volume: sitk.Image) -> str:
    """Size, spacing and origin of a grid in words."""
    spacing = " x ".join(f"{s:.4g}" for s in volume.GetSpacing())
    origin = ", ".join(f"{o:.2f}" for o in volume.GetOrigin())
    return f"{_size(volume)} voxels of {spacing} mm at ({origin})"
