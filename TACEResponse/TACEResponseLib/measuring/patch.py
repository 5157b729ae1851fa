"""The picture that the network sees: the largest axial layer of the tumour in a square box.

Peng et al. (Front Oncol 2021;11:730282) take the largest tumour layer, image and mask, resize it to
224 x 224 x 3 and scale intensities to [0, 1]. They are silent on the rest. Decided here:

- The layer is the one on which a single lesion (26-connected component) has its largest section,
  so that many small lesions on one slice do not outweigh the main one.
- Several layers of that same size: the middle one, away from the blurred ends of the lesion.
- The box is drawn around that lesion's section; other tumour inside the box is shown as tumour.
- The box is square in mm, not in pixels, so that anisotropic pixels are not stretched and the
  quarter turns of the augmentation show anatomy that could exist.
- A tumour of one voxel or one layer is a picture like any other; the margin gives it its box.
- Outside the CT the picture shows the window's lower end, as air around the patient does.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases import Case
from TACEResponseLib.cases.lesions import largest_slice
from TACEResponseLib.settings import PatchSettings


@dataclass(frozen=True, eq=False)
class Patch:
    """A square axial picture and where it lies in the patient.

    pixels: float32 (size, size, 3) in [0, 1]; axis 0 runs to the patient's back, axis 1 to the
    patient's left. layer_index: k of the layer on the case's axial grid (`Case.on_axial_grid`).
    centre_mm: LPS position of the box's centre, on the layer. box_mm: side of the box.
    layer_thickness_mm: distance of the layers. area_mm2: the section of the lesion that decided.
    """

    pixels: np.ndarray
    layer_index: int
    centre_mm: tuple[float, float, float]
    box_mm: float
    layer_thickness_mm: float
    area_mm2: float

    @property
    def pixel_spacing_mm(self) -> float:
        """Side of one (square) pixel."""
        return self.box_mm / len(self.pixels)

    @property
    def first_pixel_mm(self) -> tuple[float, float, float]:
        """LPS position of the centre of pixel [0, 0]."""
        x_mm, y_mm, z_mm = self.centre_mm
        corner_mm = (self.box_mm - self.pixel_spacing_mm) / 2
        return (x_mm - corner_mm, y_mm - corner_mm, z_mm)


def largest_layer_patch(case: Case, settings: PatchSettings | None = None) -> Patch:
    """The patch of the tumour's largest axial layer; see the module for what is decided."""
    settings = settings or PatchSettings()
    axial = case.on_axial_grid()
    largest = largest_slice(axial)
    layer_index, section = largest.index, largest.section
    spacing_x_mm, spacing_y_mm, spacing_z_mm = axial.mask.GetSpacing()
    rows, columns = (np.flatnonzero(section.any(axis=axis)) for axis in (1, 0))
    extent_mm = (np.ptp(rows) + 1) * spacing_y_mm, (np.ptp(columns) + 1) * spacing_x_mm
    box_mm = max(extent_mm) + 2 * settings.margin_mm
    centre = (float(columns[0] + columns[-1]) / 2, float(rows[0] + rows[-1]) / 2, float(layer_index))
    pixels = _picture(
        np.asarray(sitk.GetArrayViewFromImage(axial.image)[layer_index], dtype=np.float32),
        sitk.GetArrayViewFromImage(axial.mask)[layer_index],
        _positions(centre[1], box_mm / spacing_y_mm, settings.size_px),
        _positions(centre[0], box_mm / spacing_x_mm, settings.size_px),
        settings,
    )
    return Patch(
        pixels=pixels,
        layer_index=layer_index,
        centre_mm=largest.centre_mm,
        box_mm=float(box_mm),
        layer_thickness_mm=float(spacing_z_mm),
        area_mm2=float(section.sum() * spacing_x_mm * spacing_y_mm),
    )


def _positions(centre: float, length: float, size_px: int) -> np.ndarray:
    """Where the centres of `size_px` pixels lie along one axis of the layer, in its own index."""
    return centre + ((np.arange(size_px) + 0.5) / size_px - 0.5) * length


def _picture(
    layer_hu: np.ndarray, mask: np.ndarray, rows: np.ndarray, columns: np.ndarray, settings: PatchSettings
) -> np.ndarray:
    """The (size, size, 3) picture of a (j, i) layer sampled at the given rows and columns."""
    low, high = settings.window_hu
    layer_hu = np.nan_to_num(layer_hu, nan=low, posinf=high, neginf=low)
    hu = _linear_weights(rows, len(layer_hu)) @ layer_hu @ _linear_weights(columns, layer_hu.shape[1]).T
    inside = np.outer(_within(rows, len(mask)), _within(columns, mask.shape[1]))
    grey = np.where(inside, np.clip((hu - low) / (high - low), 0, 1), 0)
    nearest_row, nearest_column = (
        np.clip(np.round(where).astype(int), 0, count - 1)
        for where, count in ((rows, len(mask)), (columns, mask.shape[1]))
    )
    tumour = inside & (mask[np.ix_(nearest_row, nearest_column)] > 0)
    content = {"tumour": grey * tumour, "surroundings": grey, "mask": tumour}
    return np.stack([content[channel] for channel in settings.channels], axis=-1).astype(np.float32)


def _linear_weights(positions: np.ndarray, count: int) -> np.ndarray:
    """float32 (positions, count) matrix of linear interpolation; beyond the ends the end value."""
    positions = np.clip(positions, 0, count - 1)
    lower = np.minimum(positions.astype(int), max(count - 2, 0))
    share = (positions - lower).astype(np.float32)
    weights = np.zeros((len(positions), count), dtype=np.float32)
    each = np.arange(len(positions))
    weights[each, lower] = 1 - share
    weights[each, np.minimum(lower + 1, count - 1)] += share
    return weights


def _within(positions: np.ndarray, count: int) -> np.ndarray:
    """Which positions lie on the layer, between the outer edges of its end pixels."""
    return (positions >= -0.5) & (positions <= count - 0.5)
