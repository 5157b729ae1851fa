"""Hounsfield units: whether the values inside a tumour, and around it, can be what a CT measures there.

The tumour alone does not show whether a CT was negated or windowed, so a sparse sample of the
whole volume is looked at beside it. The limits are round numbers with room to spare on the side of
real CTs; what they only make likely is a warning.
"""

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import IntensityError, Problem
from TACEResponseLib.messages.language import mark, tr

#: Values below air; scanners write them outside the reconstructed circle.
BELOW_AIR_HU = -1050
#: The sample takes about this many voxels along each axis.
SAMPLED = 24
#: Any CT spans more than this from its darkest to its brightest voxel, by its noise alone.
LEAST_RANGE_HU = 30
#: What grows in a liver has a median between the last two; below are lung and air, then fat, above bone.
LUNG_HU, FAT_HU, BONE_HU = -200, -50, 300
#: A volume whose brightest twentieth is darker than this shows no tissue at all.
NO_TISSUE_HU = -500
#: No CT measures more; -1 to -1024 read as unsigned 16-bit numbers are 65535 to 64512.
BRIGHTEST_HU = 32000
#: Share of a volume above it that no artefact of metal has. Padding has: some scanners write -2000 without
#: its sign outside the reconstructed circle, but in one value or two.
BEYOND_SURELY, PADDING_VALUES = 0.001, 2
#: Shares of a volume at 0 and at 255 that make a window certain, and one that makes it likely.
CLIPPED_SURELY, CLIPPED_LIKELY = 0.001, 0.01
#: Types whose numbers are all below it, or can be above it with their sign only.
BELOW_BEYOND = (sitk.sitkInt8, sitk.sitkUInt8, sitk.sitkInt16)
TUMOUR_HU = mark("HU, for example -50 to 200 in a tumour")


def check_intensities(image: sitk.Image, mask: sitk.Image) -> list[Problem]:
    """Refuse intensities that cannot be HU of a tumour; warn about those that hardly are."""
    tumour = sitk.GetArrayViewFromImage(mask)
    layers = np.flatnonzero(tumour.reshape(len(tumour), -1).any(axis=1))
    drawn = slice(layers[0], layers[-1] + 1)
    inside = sitk.GetArrayViewFromImage(image)[drawn][tumour[drawn] > 0]
    if not np.isfinite(inside).all():
        raise IntensityError(
            tr("the CT holds values inside the tumour that are not numbers"),
            field="image",
            expected=tr("finite HU"),
            received=tr("{n} of {size} voxels", n=int((~np.isfinite(inside)).sum()), size=inside.size),
            remedy=tr("export the CT again"),
        )
    padding = float((inside < BELOW_AIR_HU).mean())
    if padding > 0.5:
        raise IntensityError(
            tr("most of the tumour lies on padding of the CT"),
            field="image",
            expected=tr("HU of tissue"),
            received=tr(
                "{percent:.0f} % of the tumour below {limit} HU", percent=100 * padding, limit=BELOW_AIR_HU
            ),
            remedy=tr("check that CT and mask belong together"),
        )
    sample = _sample(image, inside)
    _require_hu(inside, sample)
    notes = [*_beyond(image), *_windowed(sample, image), *_tissue(float(np.median(inside)))]
    if padding > 0:
        message = tr(
            "{percent:.1f} % of the tumour is at padding value ({value:g} HU)",
            percent=100 * padding,
            value=float(inside.min()),
        )
        notes.append(_note(message, tr("correct the tumour's outline")))
    return notes


def _sample(image: sitk.Image, inside: np.ndarray) -> np.ndarray:
    """Some of the volume's values, evenly spread, and some of the tumour's, as a row of finite numbers."""
    values = sitk.GetArrayViewFromImage(image)
    sparse = values[tuple(slice(None, None, max(1, n // SAMPLED)) for n in values.shape)].ravel()
    some = inside[:: max(1, inside.size // SAMPLED**2)]
    return np.concatenate([sparse[np.isfinite(sparse)], some])


def _require_hu(inside: np.ndarray, sample: np.ndarray) -> None:
    """Raise IntensityError when the values inside the tumour, beside those of the volume, are no HU."""
    low, median, high = float(inside.min()), float(np.median(inside)), float(inside.max())
    spread = tr("{low:g} to {high:g}", low=low, high=high)
    if low == high and inside.size > 1:
        raise IntensityError(
            tr("the CT is constant inside the tumour"),
            field="image",
            expected=tr("HU that vary"),
            received=tr("{low:g} in {size} voxels", low=low, size=inside.size),
            remedy=tr("check that CT and mask belong together"),
        )
    whole = np.array_equal(inside, np.round(inside))
    if not whole and (high - low <= 1.5 or np.ptp(sample) < LEAST_RANGE_HU):
        raise _no_hu(
            tr("the CT looks scaled, not in HU"), spread, tr("export the CT without scaling its intensities")
        )
    beyond = sample[sample > BRIGHTEST_HU]
    many = len(beyond) > BEYOND_SURELY * len(sample) and len(np.unique(beyond)) > PADDING_VALUES
    if high > BRIGHTEST_HU or many:
        raise _no_hu(
            tr("the CT looks as if its signed numbers were read as unsigned ones"),
            tr(
                "{percent:.1f} % of the volume above {limit} HU, up to {most:g}",
                percent=100 * len(beyond) / len(sample),
                limit=BRIGHTEST_HU,
                most=sample.max(),
            ),
            tr("export the CT with signed voxels, as HU are"),
        )
    brightest = float(np.percentile(sample, 95))
    found = tr("{spread}, median {median:g}", spread=spread, median=median)
    again = tr("export the CT again with the intercept applied once")
    if median > 850 and low > 500:
        raise _no_hu(tr("the CT looks as if its rescale intercept of -1024 was not applied"), found, again)
    if max(median, brightest) < NO_TISSUE_HU:
        raise _no_hu(tr("the CT looks as if its rescale intercept of -1024 was applied twice"), found, again)
    if median < 0 and brightest > 700:
        raise _no_hu(tr("the CT looks negated: what is air is bright"), found, tr("export the CT again"))
    clipped = [float((sample == end).mean()) for end in (0, 255)]
    if _is_of_a_byte(sample) and min(clipped) > CLIPPED_SURELY:
        shares = tr(" and ").join(f"{100 * share:.1f} %" for share in clipped)
        raise _no_hu(
            tr("the CT looks windowed to 0 to 255, not in HU"),
            tr("{shares} of the volume at 0 and at 255", shares=shares),
            tr("export the CT with all its values, not a picture of it"),
        )


def _no_hu(message: str, received: str, remedy: str) -> IntensityError:
    return IntensityError(message, field="image", expected=tr(TUMOUR_HU), received=received, remedy=remedy)


def _is_of_a_byte(sample: np.ndarray) -> bool:
    """Whether all values are those of a picture, from 0 to 255."""
    return bool(sample.min() >= 0 and sample.max() <= 255)


def _beyond(image: sitk.Image) -> list[Problem]:
    """A warning when any value is above what a CT measures, which may be a negative one read as unsigned."""
    if image.GetPixelID() in BELOW_BEYOND:
        return []
    values = sitk.GetArrayViewFromImage(image)
    number = int(np.count_nonzero(values > BRIGHTEST_HU))
    where = tr("{number} voxels of the CT are above {limit} HU", number=number, limit=BRIGHTEST_HU)
    return (
        [_note(where, tr("check whether they are padding, or negative numbers stored without their sign"))]
        if number
        else []
    )


def _windowed(sample: np.ndarray, image: sitk.Image) -> list[Problem]:
    """A warning when a volume without a value below 0 or above 255 looks like a picture."""
    clipped = max(float((sample == end).mean()) for end in (0, 255))
    of_bytes = image.GetPixelID() == sitk.sitkUInt8
    if not _is_of_a_byte(sample) or not (of_bytes or clipped > CLIPPED_LIKELY):
        return []
    return [
        _note(tr("the CT holds only values from 0 to 255, as a windowed picture does"), tr("check its HU"))
    ]


def _tissue(median: float) -> list[Problem]:
    """A warning when the tumour's median is not that of an organ."""
    if FAT_HU <= median <= BONE_HU:
        return []
    where = (
        tr("air or lung")
        if median < LUNG_HU
        else tr("fat")
        if median < FAT_HU
        else tr("bone, metal or lipiodol")
    )
    return [
        _note(
            tr(
                "the mask lies in what looks like {where} (median {median:.0f} HU)",
                where=where,
                median=median,
            ),
            tr("look at the outline"),
        )
    ]


def _note(message: str, remedy: str) -> Problem:
    return Problem("intensity", message, field="image", remedy=remedy, severity="warning")
