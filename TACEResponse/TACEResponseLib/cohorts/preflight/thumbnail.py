"""The layer of a patient that a person should look at: the largest one of the tumour, small.

A mask that is flipped, or drawn on another patient, has a header that fits; only the eye sees it. Where
no mask can be read the CT alone is shown, since it may be the CT that is another one.
"""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases import Case
from TACEResponseLib.cases.geometry import check_volume

#: Longest side of the picture in pixels.
SIDE_PIXELS = 192
#: The soft-tissue window: what is black and what is white, in HU.
WINDOW_HU = (-110.0, 240.0)


@dataclass(frozen=True)
class Thumbnail:
    """One axial slice. grey: (rows, columns) uint8. tumour, tumour_reader2: bool of that shape.

    Without any tumour it is the middle slice of a CT whose mask could not be read.
    """

    grey: np.ndarray
    tumour: np.ndarray
    tumour_reader2: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields by name, as they are stored."""
        return {"grey": self.grey, "tumour": self.tumour, "tumour_reader2": self.tumour_reader2}


def largest_layer(case: Case, second: Case | None = None) -> Thumbnail:
    """The axial layer with most tumour, whole, so that the tumour's place in the body shows."""
    axial = case.on_axial_grid()
    areas = sitk.GetArrayViewFromImage(axial.mask).sum(axis=(1, 2))
    layer = int(areas.argmax()) if areas.any() else len(areas) // 2
    grid = _small_grid(axial.image[:, :, layer])
    low, high = WINDOW_HU
    hu = sitk.Cast(axial.image[:, :, layer], sitk.sitkFloat32)
    grey = sitk.GetArrayFromImage(sitk.Resample(hu, grid, sitk.Transform(), sitk.sitkLinear, low))
    grey = np.nan_to_num(grey, nan=low, posinf=high, neginf=low)
    return Thumbnail(
        grey=(np.clip((grey - low) / (high - low), 0, 1) * 255).astype(np.uint8),
        tumour=_on_grid(axial.mask[:, :, layer], grid),
        tumour_reader2=(
            np.zeros(grey.shape, bool)
            if second is None
            else _on_grid(second.on_axial_grid().mask[:, :, layer], grid)
        ),
    )


def of_second_reader(second: Case) -> Thumbnail:
    """The layer with most tumour by the second reader, where the first reader's mask cannot be read."""
    shown = largest_layer(second)
    return replace(shown, tumour=shown.tumour_reader2, tumour_reader2=shown.tumour)


def middle_layer(image: sitk.Image) -> Thumbnail:
    """The middle axial layer of a CT without a mask. Raises GeometryError for no 3D scalar volume."""
    check_volume(image, "image")
    nothing = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    nothing.CopyInformation(image)
    return largest_layer(Case("", image, nothing))


def _small_grid(layer: sitk.Image) -> sitk.Image:
    """A grid of square pixels over the layer, its longest side `SIDE_PIXELS`."""
    extent_mm = np.array(layer.GetSize()) * layer.GetSpacing()
    pixel_mm = extent_mm.max() / SIDE_PIXELS
    grid = sitk.Image([max(1, round(e / pixel_mm)) for e in extent_mm], sitk.sitkUInt8)
    grid.SetSpacing([pixel_mm, pixel_mm])
    first = np.array(layer.GetOrigin()) + (pixel_mm - np.array(layer.GetSpacing())) / 2
    grid.SetOrigin(first.tolist())
    return grid


def _on_grid(mask: sitk.Image, grid: sitk.Image) -> np.ndarray:
    """The mask on the small grid; every tumour voxel marks its pixel, so that none is lost."""
    rows, columns = np.nonzero(sitk.GetArrayViewFromImage(mask))
    places_mm = np.column_stack([columns, rows]) * mask.GetSpacing() + mask.GetOrigin()
    pixels = np.round((places_mm - grid.GetOrigin()) / grid.GetSpacing()).astype(int)
    small = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    inside = sitk.GetArrayFromImage(small) > 0
    i, j = pixels.clip(0, np.array(grid.GetSize()) - 1).T
    inside[j, i] = True
    return inside
