"""One click in a tumour: the region around it that is unlike the liver, found without a network.

The liver's intensity is read around the point. From a centre, which starts at the point and moves to the
middle of what was found, rays look outwards for the place where tissue unlike the liver ends; neighbouring
rays agree with each other, so the region is compact and does not run along vessels. It is a draft: a
tumour that looks like the liver, or one with tongues, is not found as a person would draw it.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases.geometry import check_volume
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.messages.progress import Progress, silent

from .rays import LEVELS, filled, look_around, star_around

#: Extent of a proposal as it is found; 0 is the smallest and 1 the largest that the slider offers.
DEFAULT_EXTENT = 0.5
#: Volume below which a proposal of one click is often wrong, as measured: Docs/proposal.md.
UNSURE_ML = 5.0
#: Tissue that a click in a tumour meets, in HU; what is darker is fat or air, what is brighter bone or metal.
TISSUE_HU = (-50.0, 300.0)
FAT, AIR, BONE = mark("fat"), mark("air or lung"), mark("bone, metal or lipiodol")


@dataclass(frozen=True, eq=False)
class Growth:
    """What was found around a point, kept while a slider moves its extent.

    seed_mm, centre_mm: LPS. radii_mm: (levels, rows of rays, rays a row), from the smallest extent to the
    largest.
    """

    image: sitk.Image
    seed_mm: tuple[float, float, float]
    centre_mm: np.ndarray
    radii_mm: np.ndarray

    def mask(self, extent: float = DEFAULT_EXTENT) -> sitk.Image:
        """uint8 mask on the image's grid, 1 in the proposed lesion; a larger extent holds a smaller one.

        extent: 0 to 1; InputError else.
        """
        if not 0 <= extent <= 1:
            raise InputError(
                tr("the extent cannot be used"),
                field="extent",
                expected=tr("a number from 0 to 1"),
                received=str(extent),
            )
        place = extent * (len(LEVELS) - 1)
        low = min(int(place), len(LEVELS) - 2)
        radii_mm = self.radii_mm[low] + (place - low) * (self.radii_mm[low + 1] - self.radii_mm[low])
        mask = filled(self.image, self.centre_mm, radii_mm)
        if not sitk.GetArrayViewFromImage(mask).any():  # a region smaller than a voxel
            mask[self.image.TransformPhysicalPointToIndex(self.seed_mm)] = 1
        return mask


def grow(
    image: sitk.Image,
    seed_mm: tuple[float, float, float],
    extent: float = DEFAULT_EXTENT,
    progress: Progress = silent,
) -> sitk.Image:
    """The lesion around a point as a uint8 mask on the image's grid; see `prepare` and `Growth.mask`."""
    return prepare(image, seed_mm, progress).mask(extent)


def prepare(image: sitk.Image, seed_mm: tuple[float, float, float], progress: Progress = silent) -> Growth:
    """Look around a point of a CT (3D, HU). seed_mm: LPS position in mm, inside the tumour.

    Raises InputError where the point lies outside the image, or in air, fat, bone or metal.
    """
    check_volume(image, "image")
    _require_inside(image, seed_mm)
    progress(tr("looking around the point"), 0, 2)
    _require_tissue(_hu_at(image, seed_mm))
    around = look_around(image, seed_mm)
    progress(tr("looking around the point"), 1, 2)
    centre_mm, radii_mm = star_around(around, seed_mm)
    progress(tr("looking around the point"), 2, 2)
    return Growth(image, tuple(map(float, seed_mm)), centre_mm, radii_mm)


def is_inside(image: sitk.Image, seed_mm: tuple[float, float, float]) -> bool:
    """Whether a point (LPS, in mm) lies in one of the image's voxels."""
    point = np.array(seed_mm, float)
    index = np.full(3, np.nan)
    if point.shape == (3,) and np.isfinite(point).all():
        index = np.array(image.TransformPhysicalPointToContinuousIndex(point.tolist()))
    return bool(((index >= -0.5) & (index <= np.array(image.GetSize()) - 0.5)).all())


def _require_inside(image: sitk.Image, seed_mm: tuple[float, float, float]) -> None:
    if not is_inside(image, seed_mm):
        raise InputError(
            tr("the point lies outside the CT"),
            field="seed_mm",
            expected=tr("a point inside the tumour, LPS in mm"),
            received=", ".join(f"{value:g}" for value in seed_mm),
            remedy=tr("click inside the tumour on the CT before TACE"),
        )


def _hu_at(image: sitk.Image, seed_mm: tuple[float, float, float]) -> float:
    """The mean of the voxel at the point and its neighbours in the slice, in HU."""
    i, j, k = image.TransformPhysicalPointToIndex([float(x) for x in seed_mm])
    layer = sitk.GetArrayViewFromImage(image)[k]
    return float(layer[max(j - 1, 0) : j + 2, max(i - 1, 0) : i + 2].mean())


def _require_tissue(hu: float) -> None:
    low, high = TISSUE_HU
    if not low <= hu <= high:
        where = BONE if hu > high else AIR if hu < -200 else FAT
        raise InputError(
            tr("the point lies in what looks like {tissue}", tissue=tr(where)),
            field="seed_mm",
            expected=tr("soft tissue, {low:.0f} to {high:.0f} HU", low=low, high=high),
            received=f"{hu:.0f} HU",
            remedy=tr("click inside the tumour"),
        )
