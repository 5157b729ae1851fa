"""Case: one patient's CT in HU and the tumour mask on the same grid, checked once, here.

Whatever a file, a DICOM series or a Slicer scene delivers passes through `make_case`; after it,
no other room checks geometry, labels or intensities again. A case that cannot be used is a named
error; a case that can be used with care carries its warnings along.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import GeometryError, IntensityError, MaskError, Problem
from TACEResponseLib.messages.language import listed, tr

from .geometry import axial_grid_around, check_volume, to_grid
from .hounsfield import check_intensities
from .outline import UNKNOWN, Outline
from .repair import UNION, repair_geometry


@dataclass(frozen=True)
class Case:
    """One patient, ready for measuring.

    image: 3D SimpleITK image, intensities in HU. mask: 3D uint8 SimpleITK image on exactly the
    same grid, 1 in the tumour, 0 elsewhere, not empty. provenance: where both came from and what
    was done to them, JSON types. warnings: what to read beside the answer. outline: who made the mask.
    """

    patient_id: str
    image: sitk.Image
    mask: sitk.Image
    provenance: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    outline: Outline = UNKNOWN

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along the image's x, y and z axes in mm."""
        return self.image.GetSpacing()

    def on_axial_grid(self) -> "Case":
        """The case with x to the patient's left, y to the back and z to the head.

        Volumes stored in another order are reordered without loss; an oblique one is resampled
        (CT linear, mask nearest neighbour) with its own spacing. The case itself when already so.
        """
        if np.allclose(self.image.GetDirection(), np.eye(3).ravel(), rtol=0, atol=1e-6):
            return self
        image, mask = (sitk.DICOMOrient(volume, "LPS") for volume in (self.image, self.mask))
        if np.abs(np.array(image.GetDirection()) - np.eye(3).ravel()).max() > 1e-3:
            grid = axial_grid_around(image)
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
    repairs: tuple[str, ...] = (),
    provenance: Mapping[str, object] | None = None,
    warnings: tuple[Problem, ...] = (),
    outline: Outline = UNKNOWN,
) -> Case:
    """Check image and mask, bring the mask to the image's grid, and return the Case.

    image: 3D scalar, HU. mask: 3D, whole numbers. label: the mask value that is the tumour,
    `"all"` for every value above 0, None when the mask holds one value only. cropped_is_normal:
    the mask's format stores only the tumour's box (`.seg.nrrd`, DICOM SEG), so no warning for it.
    repairs: names from `repair.REPAIRS` that were asked for; those that were needed are a warning
    and stand in the provenance. outline: who made the mask, where that is known.

    Raises GeometryError, MaskError or IntensityError naming the patient.
    """
    try:
        check_volume(image, "image")
        check_volume(mask, "mask")
        binary, label, united = _select_label(mask, label, UNION in repairs)
        binary, repaired = repair_geometry(binary, image, repairs)
        binary, moved = to_grid(binary, image, cropped_is_normal)
        repaired = [*united, *repaired]
        notes = [*repaired, *moved, *_check_shape(binary), *check_intensities(image, binary)]
    except (GeometryError, MaskError, IntensityError) as error:
        raise error.about(patient_id=patient_id) from None
    notes = [dataclasses.replace(note, patient_id=patient_id) for note in notes]
    record = {**(provenance or {}), "label": label}
    if repaired:
        record["repairs"] = [note.message for note in repaired]
    return Case(
        patient_id=patient_id,
        image=image,
        mask=binary,
        provenance=record,
        warnings=(*warnings, *notes),
        outline=outline,
    )


def choose_segments(names: list[str], wanted: str | None) -> list[str]:
    """The segments called `wanted`: the only one for None, all of them for `"all"`."""
    if wanted == "all":
        return names
    held = listed(f'"{name}"' for name in names) or tr("none")
    if wanted is None and len(names) == 1:
        return names
    if wanted is None:
        raise MaskError(
            tr("the segmentation holds several segments"),
            field="mask",
            expected=tr("one segment, or a choice"),
            received=held,
            remedy=tr("name the tumour's segment, or all"),
        )
    wanted = wanted.strip()
    exact = [name for name in names if name == wanted]
    chosen = exact or [name for name in names if name.casefold() == wanted.casefold()]
    if len(chosen) != 1:
        raise MaskError(
            tr('more than one segment is named "{wanted}"', wanted=wanted)
            if chosen
            else tr('no segment is named "{wanted}"', wanted=wanted),
            field="mask",
            expected=tr('one segment "{wanted}"', wanted=wanted),
            received=held,
            remedy=tr("choose one of those names, or all"),
        )
    return chosen


def _select_label(
    mask: sitk.Image, label: int | str | None, unite: bool
) -> tuple[sitk.Image, int | str, list[Problem]]:
    """The mask as 0/1 uint8 on its own grid, the label that was taken, and what was united.

    unite: take all labels where there are several and none was chosen.
    """
    present = _labels_of(mask)
    labels = listed(map(str, present[:20])) or tr("none")
    if label is None and len(present) == 1:
        label = present[0]
    if label is None and unite:
        message = tr("labels {labels} were united into one tumour", labels=labels)
        remedy = tr("look at the outline; this was asked for as {repair}", repair=UNION)
        return mask != 0, "all", [Problem("repair", message, "label", remedy=remedy, severity="warning")]
    if label is None:
        raise MaskError(
            tr("the mask holds several labels"),
            field="label",
            expected=tr("one label, or a choice"),
            received=tr("labels {labels}", labels=labels),
            remedy=tr("choose one label, or all"),
        )
    if label == "all":
        return mask != 0, label, []
    if not str(label).lstrip("-").isdecimal() or int(label) not in present:
        raise MaskError(
            tr("label {label} is not in the mask", label=label),
            field="label",
            expected=tr("label {label}", label=label),
            received=tr("labels {labels}", labels=labels),
            remedy=tr("choose one of those labels, or all"),
        )
    if present == [1] and mask.GetPixelID() == sitk.sitkUInt8:
        return mask, label, []  # it is that already
    return mask == int(label), label, []


def _labels_of(mask: sitk.Image) -> list[int]:
    """The values of the mask other than 0; MaskError when there is none or they are no labels."""
    # Layer by layer and without the many zeros: sorting a whole CT's voxels takes long and much memory.
    layers = sitk.GetArrayViewFromImage(mask)
    found = [np.unique(layer[layer != 0]) for layer in layers]
    if sum(np.count_nonzero(layer) for layer in layers) < mask.GetNumberOfPixels():
        found.append(np.zeros(1, layers.dtype))
    values = np.unique(np.concatenate(found))
    if not (np.isfinite(values).all() and np.array_equal(values, np.round(values))):
        raise MaskError(
            tr("the mask holds fractions"),
            field="mask",
            expected=tr("whole numbers, 0 outside the tumour"),
            received=tr("{n} values from {low:g} to {high:g}", n=len(values), low=values[0], high=values[-1]),
            remedy=tr("threshold the probabilities and export a labelmap"),
        )
    present = [int(v) for v in values if v != 0]
    if not present:
        raise MaskError(
            tr("the mask is empty"),
            field="mask",
            expected=tr("at least one voxel above 0"),
            received=tr("0 in every voxel"),
            remedy=tr("draw the tumour, or choose another mask"),
        )
    return present


def _check_shape(mask: sitk.Image) -> list[Problem]:
    """Warnings about masks that are legal and unusual: one slice, cut off, the whole volume.

    Raises MaskError for one voxel, in which nothing varies.
    """
    layers = sitk.GetArrayViewFromImage(mask)
    voxels_by_slice = [np.count_nonzero(layer) for layer in layers]
    voxels, slices = sum(voxels_by_slice), np.count_nonzero(voxels_by_slice)
    if voxels == 1:
        raise MaskError(
            tr("the tumour is one voxel"),
            field="mask",
            expected=tr("a tumour of many voxels, on every slice it reaches"),
            received=tr("1 voxel"),
            remedy=tr("draw the tumour, or choose another label or segment"),
        )
    notes = []
    if voxels == mask.GetNumberOfPixels():
        notes.append((tr("the mask covers the whole volume"), tr("check that it is the tumour")))
    elif cut := _cut_off_at(layers, voxels_by_slice):
        notes.append(
            (
                tr("the tumour is cut off: it touches {cut} of the scan", cut=cut),
                tr("use a scan that holds all of it"),
            )
        )
    if slices == 1:
        notes.append(
            (
                tr("the tumour is drawn on one slice only ({voxels} voxels)", voxels=voxels),
                tr("draw it on every slice it reaches"),
            )
        )
    return [Problem("mask", text, field="mask", remedy=remedy, severity="warning") for text, remedy in notes]


def _cut_off_at(layers: np.ndarray, voxels_by_slice: Sequence[int]) -> str:
    """Which ends of the scan the mask (k, j, i) reaches, in words; empty for none."""
    slices = np.flatnonzero(voxels_by_slice)
    drawn = layers[slices[0] : slices[-1] + 1]
    ends = {
        tr("the first slice"): voxels_by_slice[0],
        tr("the last slice"): voxels_by_slice[-1],
        tr("the border"): any(
            edge.any() for edge in (drawn[:, 0], drawn[:, -1], drawn[..., 0], drawn[..., -1])
        ),
    }
    return tr(" and ").join(name for name, touched in ends.items() if touched)


def bounding_box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """The (k, j, i) box around everything above 0; far faster than `ndimage.find_objects`."""
    layers = np.flatnonzero(mask.any(axis=(1, 2)))
    shadow = np.bitwise_or.reduce(mask[layers[0] : layers[-1] + 1], axis=0)
    rows, columns = (np.flatnonzero(shadow.any(axis=axis)) for axis in (1, 0))
    return tuple(slice(int(n[0]), int(n[-1]) + 1) for n in (layers, rows, columns))
