"""What a radiologist measures by hand: lesions, their diameters and volumes.

Lesions are connected components of the tumour mask (26 neighbours); components below 0.01 mL are
dropped and counted. The diameter is the longest one on an axial slice, between the outer edges of
the mask, as mRECIST measures it (Lencioni & Llovet, Semin Liver Dis 2010;30:52).
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist, pdist

from . import Case, bounding_box

#: Neighbours of a voxel that belong to the same lesion: faces, edges and corners.
NEIGHBOURS_26 = np.ones((3, 3, 3), dtype=bool)
#: Components smaller than this are stray voxels, not lesions.
SMALLEST_LESION_ML = 0.01


@dataclass(frozen=True)
class Lesions:
    """The tumour as lesions, largest diameter first. Diameters in mm, volumes in mL.

    diameters_mm: longest axial ones. feret_mm: longest ones in any direction, of the same lesions;
    empty unless asked for. dropped: components below 0.01 mL.
    """

    diameters_mm: tuple[float, ...]
    volumes_ml: tuple[float, ...]
    dropped: int
    feret_mm: tuple[float, ...] = ()

    @property
    def number(self) -> int:
        """Lesions of at least 0.01 mL."""
        return len(self.diameters_mm)

    @property
    def largest_diameter_mm(self) -> float:
        """Longest axial diameter of any lesion."""
        return max(self.diameters_mm)

    @property
    def volume_ml(self) -> float:
        """Volume of all lesions together."""
        return sum(self.volumes_ml)

    def to_json(self) -> dict:
        """`number`, `largest_diameter_mm`, `volume_ml`, as `prediction.json` has them."""
        return {
            "number": self.number,
            "largest_diameter_mm": round(self.largest_diameter_mm, 2),
            "volume_ml": round(self.volume_ml, 3),
        }


def measure_lesions(case: Case, *, feret: bool = False) -> Lesions:
    """Lesions of the case's mask; when every component is below 0.01 mL the largest one stays.

    feret: measure the 3D Feret diameters too, which takes longer.
    """
    mask = case.on_axial_grid().mask
    voxels = sitk.GetArrayViewFromImage(mask)
    spacing_mm = mask.GetSpacing()
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    # Only the tumour's box: labelling the whole CT would hold up an application for a second.
    components, count = ndimage.label(voxels[bounding_box(voxels)], structure=NEIGHBOURS_26)
    volumes_ml = np.bincount(components.ravel(), minlength=count + 1)[1:] * voxel_ml
    kept = np.flatnonzero(volumes_ml >= SMALLEST_LESION_ML)
    if kept.size == 0:
        kept = np.array([volumes_ml.argmax()])
    boxes = ndimage.find_objects(components)
    lesions = []
    for n in kept:
        lesion = components[boxes[n]] == n + 1
        feret_mm = _feret_diameter_mm(lesion, spacing_mm) if feret else 0.0
        lesions.append((_axial_diameter_mm(lesion, *spacing_mm[:2]), float(volumes_ml[n]), feret_mm))
    lesions.sort(reverse=True)
    return Lesions(
        diameters_mm=tuple(diameter_mm for diameter_mm, _, _ in lesions),
        volumes_ml=tuple(volume_ml for _, volume_ml, _ in lesions),
        dropped=count - len(lesions),
        feret_mm=tuple(feret_mm for _, _, feret_mm in lesions) if feret else (),
    )


@dataclass(frozen=True, eq=False)
class LargestSlice:
    """The axial slice on which a single lesion has its largest section.

    index: k of the slice on `Case.on_axial_grid`. section: (rows, columns) bool, where that lesion is on
    the slice. centre_mm: LPS position of the centre of the section's box, on the slice.
    """

    index: int
    section: np.ndarray
    centre_mm: tuple[float, float, float]


def largest_slice(case: Case) -> LargestSlice:
    """The slice that the network sees and that every picture, view and page shows.

    Lesions are 26-connected components, so that many small ones on one slice do not outweigh the main
    one. Of several slices of that same size it is the middle one, away from the blurred ends.
    """
    mask = case.on_axial_grid().mask
    index, section = _largest_section(sitk.GetArrayViewFromImage(mask))
    rows, columns = (np.flatnonzero(section.any(axis=axis)) for axis in (1, 0))
    centre = (float(columns[0] + columns[-1]) / 2, float(rows[0] + rows[-1]) / 2, float(index))
    return LargestSlice(index, section, mask.TransformContinuousIndexToPhysicalPoint(centre))


def _largest_section(mask: np.ndarray) -> tuple[int, np.ndarray]:
    """Slice k and the (j, i) boolean section of the lesion that is largest on any slice."""
    box = bounding_box(mask)
    lesions, count = ndimage.label(mask[box], structure=NEIGHBOURS_26)
    areas = np.array([np.bincount(layer.ravel(), minlength=count + 1)[1:] for layer in lesions])
    lesion = int(areas.max(axis=0).argmax())
    tied = np.flatnonzero(areas[:, lesion] == areas.max())
    layer = int(tied[(len(tied) - 1) // 2])
    section = np.zeros(mask.shape[1:], dtype=bool)
    section[box[1:]] = lesions[layer] == lesion + 1
    return box[0].start + layer, section


def _axial_diameter_mm(lesion: np.ndarray, spacing_x_mm: float, spacing_y_mm: float) -> float:
    """Longest distance in mm between outer pixel edges on one axial slice of a (k, j, i) mask."""
    return max(_slice_diameter_mm(layer, spacing_x_mm, spacing_y_mm) for layer in lesion if layer.any())


def _slice_diameter_mm(layer: np.ndarray, spacing_x_mm: float, spacing_y_mm: float) -> float:
    j, i = np.nonzero(layer)
    steps = ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    edges = np.concatenate([np.column_stack([i + x, j + y]) for x, y in steps])
    points_mm = edges * (spacing_x_mm, spacing_y_mm)
    points_mm = points_mm[ConvexHull(points_mm).vertices]  # four edges a pixel: never degenerate
    return float(pdist(points_mm).max())


def _feret_diameter_mm(lesion: np.ndarray, spacing_mm: tuple[float, float, float]) -> float:
    """Longest distance in mm between the outer faces of voxels of a (k, j, i) mask."""
    # Of a row of voxels only the first and the last can be corners of the hull.
    k, j = np.nonzero(lesion.any(axis=2))
    rows = lesion[k, j]
    ends = (rows.argmax(axis=1), rows.shape[1] - 1 - rows[:, ::-1].argmax(axis=1))
    centres = np.concatenate([np.column_stack([i, j, k]) for i in ends])
    steps = np.vstack([0.5 * np.eye(3), -0.5 * np.eye(3)])
    points_mm = (centres[:, None] + steps).reshape(-1, 3) * spacing_mm
    points_mm = points_mm[ConvexHull(points_mm).vertices]  # six faces a voxel: never degenerate
    return max(float(cdist(points_mm[n : n + 500], points_mm).max()) for n in range(0, len(points_mm), 500))
