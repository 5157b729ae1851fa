"""Repairs of a mask, done only when somebody asks for them, and written down.

Each takes a mask that `cases` would refuse and gives one that it accepts. None is ever tried
unasked: a guess about where a tumour lies is the reader's to make, not the program's. What was
done stands in the case's provenance and, as a warning, beside its answer.
"""

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import GeometryError, InputError, Problem
from TACEResponseLib.messages.language import listed, mark, tr

from .geometry import grid_in_words, has_lost_geometry, is_on_grid

COPY_GEOMETRY, RESAMPLE_MASK, UNION = "copy-geometry", "resample-mask", "union"
#: The repairs by the name under which they are asked for.
REPAIRS = {
    COPY_GEOMETRY: mark("give a mask without geometry that of the CT, when both have the same size"),
    RESAMPLE_MASK: mark("resample a mask that lies on another grid to the CT, by nearest neighbour"),
    UNION: mark("take every label, or every segment, of the mask as tumour"),
}


def parse_repairs(text: str) -> tuple[str, ...]:
    """The repairs named in `text`, separated by spaces, commas or semicolons; InputError else."""
    names = tuple(text.replace(",", " ").replace(";", " ").split())
    for name in names:
        if name not in REPAIRS:
            raise InputError(
                tr("no repair has this name"),
                field="repair",
                expected=listed(REPAIRS),
                received=name,
                remedy=tr("choose one of those, or leave it empty"),
            )
    return names


def repair_geometry(
    mask: sitk.Image, image: sitk.Image, repairs: tuple[str, ...]
) -> tuple[sitk.Image, list[Problem]]:
    """The mask as the asked repairs leave it, and one warning for each that was needed.

    A mask that already lies on the CT's grid is handed back as it is.
    """
    if is_on_grid(mask, image):
        return mask, []
    if COPY_GEOMETRY in repairs and has_lost_geometry(mask, image):
        copied = sitk.Image(mask)
        copied.CopyInformation(image)
        return copied, [_done(tr("the mask had lost its geometry and got that of the CT"), COPY_GEOMETRY)]
    if RESAMPLE_MASK in repairs:
        return _resampled(mask, image)
    return mask, []


def _resampled(mask: sitk.Image, image: sitk.Image) -> tuple[sitk.Image, list[Problem]]:
    """The mask on the CT's grid; GeometryError when tumour is lost by it."""
    on_grid = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, mask.GetPixelID())
    before_ml, after_ml = _volume_ml(mask), _volume_ml(on_grid)
    outside_ml = _outside_ml(mask, image)
    if after_ml == 0 or outside_ml > 0:
        raise GeometryError(
            tr("part of the tumour lies outside the CT"),
            field="mask",
            expected=tr("{before_ml:.3g} mL inside the CT", before_ml=before_ml),
            received=tr("{outside_ml:.3g} mL outside it", outside_ml=outside_ml)
            if outside_ml
            else tr("a tumour thinner than the CT's voxels"),
            remedy=tr("choose the CT on which the tumour was drawn"),
        )
    message = tr(
        "the mask was resampled from {grid}; its volume went from {before_ml:.3f} to {after_ml:.3f} mL",
        grid=grid_in_words(mask),
        before_ml=before_ml,
        after_ml=after_ml,
    )
    return on_grid, [_done(message, RESAMPLE_MASK)]


def _volume_ml(mask: sitk.Image) -> float:
    return float((sitk.GetArrayViewFromImage(mask) > 0).sum() * np.prod(mask.GetSpacing()) / 1000)


def _outside_ml(mask: sitk.Image, image: sitk.Image) -> float:
    """Volume of the tumour voxels whose centre is more than half a voxel outside the CT."""
    index = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]  # i, j, k
    mask_axes = np.array(mask.GetDirection()).reshape(3, 3) * mask.GetSpacing()
    image_axes = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    places_mm = index @ mask_axes.T + mask.GetOrigin()
    in_image = (places_mm - image.GetOrigin()) @ np.linalg.inv(image_axes).T
    outside = ((in_image < -0.5) | (in_image > np.array(image.GetSize()) - 0.5)).any(axis=1)
    return float(outside.sum() * np.prod(mask.GetSpacing()) / 1000)


def _done(message: str, repair: str) -> Problem:
    return Problem(
        "repair",
        message,
        field="mask",
        remedy=tr("look at the outline; this was asked for as {repair}", repair=repair),
        severity="warning",
    )
