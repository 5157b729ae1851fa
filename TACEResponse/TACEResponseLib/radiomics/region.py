"""The region that is measured: image and mask on the grid of the measurement, checked once."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases import Case
from TACEResponseLib.messages.errors import FeatureError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import RadiomicsSettings

from .grid import Frame, crop, resample, roi_box


@dataclass(frozen=True)
class Region:
    """What the engine measures.

    frame: its grid. image: SimpleITK image that the filters see. whole_mask: its tumour (k, j, i),
    boolean, before re-segmentation. box: the tumour's box in it. mask, shape_mask: the tumour on the
    box, for intensities and for shape. resegmented: the tumour (k, j, i) after re-segmentation, or None.
    """

    frame: Frame
    image: sitk.Image
    whole_mask: np.ndarray
    box: tuple[slice, slice, slice]
    mask: np.ndarray
    shape_mask: np.ndarray
    resegmented: np.ndarray | None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along (x, y, z)."""
        return self.image.GetSpacing()


def region_of(case: Case, frame: Frame, settings: RadiomicsSettings, threads: int) -> Region:
    """Normalise, resample or crop, re-segment; FeatureError when too little of the tumour is left."""
    image = normalized(case.image, settings) if settings.normalize else case.image
    if frame.interpolated:
        image, mask = resample(image, case.mask, frame, settings.interpolator, threads)
        tumour = sitk.GetArrayFromImage(mask).view(np.bool_)
    else:
        image = crop(image, frame)
        tumour = sitk.GetArrayViewFromImage(case.mask).view(np.bool_)[frame.slices()]
    if not tumour.any():
        raise FeatureError(
            tr("nothing of the tumour is left after resampling"),
            field="mask",
            expected=tr("at least one voxel"),
            received=tr("0 voxels of {spacing_mm} mm", spacing_mm=_mm(frame.spacing_mm)),
            remedy=tr("choose a finer voxel size"),
        )
    box = roi_box(tumour)
    _require_size(tumour[box], settings)
    resegmented = None
    if settings.resegment_range is not None:
        resegmented = _resegment(image, tumour, box, settings)
        box = roi_box(resegmented)
        _require_size(resegmented[box], settings)
    mask = (tumour if resegmented is None else resegmented)[box]
    shape_mask = mask if settings.resegment_shape else tumour[box]
    return Region(frame, image, tumour, box, np.ascontiguousarray(mask), shape_mask, resegmented)


def _mm(spacing_mm: tuple[float, float, float]) -> str:
    return " x ".join(f"{s:g}" for s in spacing_mm)


def normalized(image: sitk.Image, settings: RadiomicsSettings) -> sitk.Image:
    """The whole image scaled to mean zero and the standard deviation asked for."""
    scaled = sitk.Normalize(image)
    if settings.remove_outliers is not None:
        limit = settings.remove_outliers
        values = np.clip(sitk.GetArrayViewFromImage(scaled), -limit, limit)
        clipped = sitk.GetImageFromArray(values)
        clipped.CopyInformation(scaled)
        scaled = clipped
    return scaled * settings.normalize_scale


def _resegment(
    image: sitk.Image, tumour: np.ndarray, box: tuple[slice, slice, slice], settings: RadiomicsSettings
) -> np.ndarray:
    """The tumour's voxels (k, j, i) whose intensity is inside the re-segmentation range."""
    values, inside = sitk.GetArrayViewFromImage(image)[box], tumour[box]
    limits = sorted(settings.resegment_range)
    if settings.resegment_mode == "relative":
        limits = [values[inside].max() * limit for limit in limits]
    elif settings.resegment_mode == "sigma":
        mean, deviation = values[inside].mean(), values[inside].std()
        limits = [mean + deviation * limit for limit in limits]
    kept = inside & (values >= limits[0])
    if len(limits) == 2:
        kept &= values <= limits[1]
    if kept.sum() <= 1:
        raise FeatureError(
            tr("re-segmentation leaves too little of the tumour"),
            field="resegment_range",
            expected=tr("at least two voxels"),
            received=tr(
                "{n} of {total} voxels within {limits}",
                n=int(kept.sum()),
                total=int(inside.sum()),
                limits=_range(limits),
            ),
            remedy=tr("choose a wider range"),
        )
    resegmented = np.zeros_like(tumour)
    resegmented[box] = kept
    return resegmented


def _range(limits: list[float]) -> str:
    if len(limits) == 2:
        return tr("{low:g} to {high:g}", low=limits[0], high=limits[1])
    return tr("{low:g} and above", low=limits[0])


def _require_size(tumour: np.ndarray, settings: RadiomicsSettings) -> None:
    """Raise FeatureError when the tumour (cropped to its box) is too small to be measured."""
    extent = " x ".join(map(str, tumour.shape[::-1]))
    dimensions = sum(n > 1 for n in tumour.shape)
    if dimensions < max(1, settings.minimum_roi_dimensions):
        raise FeatureError(
            tr("the tumour has too few dimensions to be measured"),
            field="mask",
            expected=tr("more than one voxel along {n} axes", n=max(1, settings.minimum_roi_dimensions)),
            received=tr("a box of {extent} voxels after resampling", extent=extent),
            remedy=tr("draw the tumour on every slice it reaches"),
        )
    least, voxels = settings.minimum_roi_size_voxels, int(tumour.sum())
    if least is not None and voxels <= least:
        raise FeatureError(
            tr("the tumour has too few voxels to be measured"),
            field="mask",
            expected=tr("more than {least}", least=least),
            received=tr("{voxels} after resampling", voxels=voxels),
        )
