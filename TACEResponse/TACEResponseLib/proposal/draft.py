"""A proposal is a draft: its lesions one by one, and what became of it when a person had looked."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from TACEResponseLib.cases import Case, bounding_box
from TACEResponseLib.cases.geometry import grid_in_words, is_on_grid
from TACEResponseLib.cases.lesions import NEIGHBOURS_26, SMALLEST_LESION_ML, measure_lesions
from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.errors import GeometryError
from TACEResponseLib.messages.language import tr

#: Lesions with a smaller diameter are listed and not ticked: RECIST 1.1 calls none below 10 mm measurable.
SMALL_MM = 10.0


@dataclass(frozen=True, eq=False)
class DraftLesion:
    """One proposed lesion, seen by nobody yet.

    mask: uint8, 1 in this lesion, on the grid of the label image. volume_ml and diameter_mm (longest on an
    axial slice): measured as `cases.lesions` does. small: whether the diameter is below `SMALL_MM`.
    program: what proposed it.
    """

    mask: sitk.Image
    volume_ml: float
    diameter_mm: float
    small: bool
    program: str


def lesions_of(label: sitk.Image, program: str) -> tuple[DraftLesion, ...]:
    """Each connected lesion (26 neighbours) of a label image by itself, the largest diameter first.

    label: 3D, whole numbers, everything above 0 is lesion. Components below 0.01 mL are stray voxels and
    left out, unless all are. () for a label image without any lesion.
    """
    voxels = sitk.GetArrayViewFromImage(label) > 0
    if not voxels.any():
        return ()
    box = bounding_box(voxels)
    components, count = ndimage.label(voxels[box], structure=NEIGHBOURS_26)
    volumes_ml = np.bincount(components.ravel(), minlength=count + 1)[1:] * np.prod(label.GetSpacing()) / 1000
    kept = np.flatnonzero(volumes_ml >= SMALLEST_LESION_ML)
    kept = kept if kept.size else np.array([volumes_ml.argmax()])
    lesions = [_lesion(label, box, components == n + 1, program) for n in kept]
    return tuple(sorted(lesions, key=lambda lesion: (-lesion.diameter_mm, -lesion.volume_ml)))


def _lesion(label: sitk.Image, box: tuple[slice, ...], inside: np.ndarray, program: str) -> DraftLesion:
    """One component (k, j, i) of the label image's box, as a lesion on the whole grid."""
    voxels = np.zeros(label.GetSize()[::-1], np.uint8)
    voxels[box] = inside
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(label)
    part = mask[tuple(slice(s.start, s.stop) for s in reversed(bounding_box(voxels)))]
    measured = measure_lesions(Case("", part, part))
    diameter_mm = measured.largest_diameter_mm
    return DraftLesion(mask, measured.volume_ml, diameter_mm, diameter_mm < SMALL_MM, program)


def dice(first: sitk.Image, second: sitk.Image) -> float:
    """Dice coefficient of two masks, in [0, 1]; everything above 0 is inside. 1 where both are empty.

    Raises GeometryError where they do not share a grid.
    """
    if not is_on_grid(first, second):
        raise GeometryError(
            tr("two masks that are compared lie on different grids"),
            field="mask",
            expected=grid_in_words(second),
            received=grid_in_words(first),
            remedy=tr("bring both masks to the grid of the CT"),
        )
    one, other = (sitk.GetArrayViewFromImage(mask) > 0 for mask in (first, second))
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return float(2 * np.count_nonzero(one & other) / total) if total else 1.0


def outline_of(proposal: sitk.Image, final: sitk.Image, program: str) -> Outline:
    """The history of the mask `final`, which a person accepted: "confirmed" as proposed, else "edited".

    Raises GeometryError where the two do not share a grid.
    """
    alike = dice(proposal, final)
    return Outline("confirmed", program) if alike == 1 else Outline("edited", program, alike)
