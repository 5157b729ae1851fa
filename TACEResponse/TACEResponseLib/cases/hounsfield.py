"""Hounsfield units: whether the values inside a tumour can be what a CT measures there."""

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.errors import IntensityError, Problem

#: Values below air; scanners write them outside the reconstructed circle.
BELOW_AIR_HU = -1050


def check_intensities(image: sitk.Image, mask: sitk.Image) -> list[Problem]:
    """Refuse intensities that cannot be HU of a tumour; warn about padding inside it."""
    tumour = sitk.GetArrayViewFromImage(mask)
    layers = np.flatnonzero(tumour.reshape(len(tumour), -1).any(axis=1))
    drawn = slice(layers[0], layers[-1] + 1)
    inside = sitk.GetArrayViewFromImage(image)[drawn][tumour[drawn] > 0]
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
