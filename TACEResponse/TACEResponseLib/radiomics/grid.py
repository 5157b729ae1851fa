"""The voxels that are measured: resampled or cropped image and mask, as pyradiomics lays them.

Resampling by cubic B-spline is linear and separable, so one small matrix an axis takes the voxels
around the tumour to the new grid; nothing else of the volume is touched. The result is what ITK
gives for the whole volume, to rounding. Where rounding could decide (ITK cuts the fraction off
for whole-number images) the whole volume goes through ITK itself. The mask always does: nearest
neighbour has exact ties, for example from 2.5 to 1 mm, and a moved origin decides them otherwise.

Sizes and indices are (x, y, z) as in SimpleITK; arrays are (k, j, i).
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.cases import Case
from TACEResponseLib.messages.errors import FeatureError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import RadiomicsSettings

from .columns import log_name

#: Fewest voxels along every axis that the Laplacian of Gaussian can work on.
SMALLEST_LOG_SIZE = 4
#: Pole of the cubic B-spline's recursive filter.
POLE = np.sqrt(3.0) - 2.0
#: Voxels around the output after which the rest of the volume weighs less than rounding.
SPLINE_REACH_VOXELS = 32
#: ITK starts its recursion with this many samples (tolerance 1e-10).
ITK_HORIZON = 18
#: Planes of the output that are made together.
PLANES_TOGETHER = 16
#: Interpolated values this close to a whole number are left to ITK.
RISK_HU = 1e-10


@dataclass(frozen=True)
class Frame:
    """The grid that the filters see.

    first: position of its first voxel in the image's voxel indices, whole numbers where nothing is
    interpolated. step: distance of its voxels, in the image's voxels. tumour: its box (k, j, i) in the
    image's array.
    """

    spacing_mm: tuple[float, float, float]
    size: tuple[int, int, int]
    first: tuple[float, float, float]
    step: tuple[float, float, float]
    interpolated: bool
    tumour: tuple[slice, slice, slice]

    def slices(self) -> tuple[slice, slice, slice]:
        """The frame as a crop (k, j, i) of the image's array, where nothing is interpolated."""
        return tuple(
            slice(int(f), int(f) + n) for f, n in zip(self.first[::-1], self.size[::-1], strict=True)
        )


def roi_box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box (k, j, i) that holds every voxel of a non-empty boolean mask."""
    k = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
    layers = mask[k[0] : k[-1] + 1].any(axis=0)
    j, i = np.flatnonzero(layers.any(axis=1)), np.flatnonzero(layers.any(axis=0))
    return tuple(slice(int(n[0]), int(n[-1]) + 1) for n in (k, j, i))


def frame_of(case: Case, settings: RadiomicsSettings) -> Frame:
    """The grid on which `case` is measured, by pyradiomics' arithmetic, before anything is computed."""
    spacing, size = np.array(case.image.GetSpacing()), np.array(case.image.GetSize())
    box = roi_box(sitk.GetArrayViewFromImage(case.mask).view(np.bool_))
    start = np.array([s.start for s in box[::-1]])
    extent = np.array([s.stop - s.start for s in box[::-1]])
    pad = settings.pad_distance_voxels
    if settings.resampled_spacing_mm is None and not settings.pre_crop:
        return _crop(spacing, np.zeros(3), size, box)
    target = np.array(settings.resampled_spacing_mm or spacing)
    target = np.where((target == 0) | (extent == 1), spacing, target)
    if np.allclose(spacing, target):
        lower, upper = np.maximum(start - pad, 0), np.minimum(start + extent + pad, size)
        return _crop(spacing, lower, upper - lower, box)
    ratio = spacing / target
    lower = np.maximum(np.floor((start - 0.5) * ratio - pad), 0)
    upper = np.minimum(np.ceil((start + extent - 0.5) * ratio + pad), np.ceil(size * ratio) - 1)
    first = 0.5 * (target - spacing) / spacing + lower / ratio
    return Frame(_floats(target), _ints(upper - lower + 1), _floats(first), _floats(1 / ratio), True, box)


def _crop(spacing: np.ndarray, lower: np.ndarray, size: np.ndarray, tumour: tuple) -> Frame:
    return Frame(_floats(spacing), _ints(size), _floats(lower), (1.0, 1.0, 1.0), False, tumour)


def _floats(values) -> tuple[float, float, float]:
    return tuple(float(v) for v in values)


def _ints(values) -> tuple[int, int, int]:
    return tuple(int(v) for v in values)


def require_filters_fit(frame: Frame, settings: RadiomicsSettings, names: tuple[str, ...]) -> None:
    """Raise FeatureError, before anything is computed, when an image is too small for a filter."""
    types = {name.split("_")[0] for name in names}
    needed = [sigma for sigma in settings.log_sigmas_mm if log_name(sigma) in types]
    if "LoG" not in settings.image_types or not needed:
        return
    for sigma in needed:
        least = np.maximum(np.ceil(sigma / np.array(frame.spacing_mm)) + 1, SMALLEST_LOG_SIZE)
        if (np.array(frame.size) < least).any():
            remedy = tr("draw the tumour on more slices, choose a smaller sigma, or leave the LoG filter out")
            raise FeatureError(
                tr(
                    "the image type {image_type} cannot be computed for this tumour, too few voxels",
                    image_type=log_name(sigma),
                ),
                field=log_name(sigma),
                expected=tr("at least {least} voxels around the tumour", least=_by(_ints(least))),
                received=tr("{size} voxels", size=_by(frame.size)),
                remedy=remedy,
            )


def _by(size: tuple[int, int, int]) -> str:
    return " x ".join(map(str, size))


def resample(image: sitk.Image, mask: sitk.Image, frame: Frame, interpolator: str, threads: int):
    """Image and mask (SimpleITK) on the frame's grid, with ITK's values."""
    own = _resample_spline(image, frame) if interpolator == "BSpline" else None
    if own is None:
        kind = getattr(sitk, f"sitk{interpolator}")
        own = _itk_resampler(image, frame, kind, threads).Execute(image)
    else:
        own = _as_image(own, image, frame)
    nearest = _itk_resampler(mask, frame, sitk.sitkNearestNeighbor, threads)
    return own, nearest.Execute(mask)


def crop(image: sitk.Image, frame: Frame) -> sitk.Image:
    """The frame's part of an image that is not interpolated."""
    start, size = _ints(frame.first), frame.size
    if size == image.GetSize():
        return image
    return sitk.RegionOfInterest(image, size, start)


def _itk_resampler(volume: sitk.Image, frame: Frame, interpolator: int, threads: int):
    resampler = sitk.ResampleImageFilter()
    resampler.SetNumberOfThreads(threads)
    resampler.SetOutputSpacing(frame.spacing_mm)
    resampler.SetOutputDirection(volume.GetDirection())
    resampler.SetSize(frame.size)
    resampler.SetOutputOrigin(volume.TransformContinuousIndexToPhysicalPoint(frame.first))
    resampler.SetOutputPixelType(volume.GetPixelID())
    resampler.SetInterpolator(interpolator)
    return resampler


def _as_image(values: np.ndarray, image: sitk.Image, frame: Frame) -> sitk.Image:
    made = sitk.GetImageFromArray(values)
    made.SetSpacing(frame.spacing_mm)
    made.SetDirection(image.GetDirection())
    made.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(frame.first))
    return made


def _resample_spline(image: sitk.Image, frame: Frame) -> np.ndarray | None:
    """Cubic B-spline values (k, j, i) on the frame in the image's type; None when rounding decides."""
    whole = sitk.GetArrayViewFromImage(image)
    axes = zip(whole.shape, frame.first[::-1], frame.step[::-1], frame.size[::-1], strict=True)
    matrices, windows = [], []
    for length, first, step, count in axes:
        positions = first + step * np.arange(count)
        if np.abs(positions[[0, -1]] - (-0.5, length - 0.5)).min() < 1e-6:
            return None  # a sample on the volume's very edge: inside or outside is rounding
        matrix, window = _spline_matrix(positions, length)
        matrices.append(matrix)
        windows.append(window)
    # A plane, and later some, at a time, so that little is ever held in float64.
    window = whole[tuple(windows)]
    planes = np.empty((len(window), len(matrices[1]), len(matrices[2])))
    for plane, voxels in zip(planes, window, strict=True):
        plane[:] = matrices[1] @ voxels.astype(np.float64) @ matrices[2].T
    result = np.empty((len(matrices[0]), *planes.shape[1:]), whole.dtype)
    for first in range(0, len(result), PLANES_TOGETHER):
        some = slice(first, first + PLANES_TOGETHER)
        values = matrices[0][some] @ planes.reshape(len(planes), -1)
        if np.issubdtype(whole.dtype, np.integer):
            if (np.abs(values - np.rint(values)) < RISK_HU).any():
                return None
            limits = np.iinfo(whole.dtype)
            np.clip(values, limits.min, limits.max, out=values)
        result[some] = values.reshape(-1, *planes.shape[1:])
    return result


def _spline_matrix(positions: np.ndarray, length: int) -> tuple[np.ndarray, slice]:
    """Matrix (output, input) of cubic B-spline interpolation, and the input voxels it acts on.

    positions: increasing, in voxel indices of an axis with `length` voxels; those outside the
    volume give zero, as in ITK.
    """
    low = max(0, int(np.floor(positions[0])) - SPLINE_REACH_VOXELS)
    high = min(length, int(np.ceil(positions[-1])) + SPLINE_REACH_VOXELS + 1)
    count = high - low
    base = np.floor(positions)
    t = positions - base
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    weights[:, (positions < -0.5) | (positions >= length - 0.5)] = 0
    touched = base.astype(int) + np.arange(-1, 3)[:, None] - low
    if count > 1:  # mirrored at the ends
        touched = np.abs(touched) % (2 * count - 2)
        touched = np.minimum(touched, 2 * count - 2 - touched)
    else:
        touched = np.zeros_like(touched)
    matrix = np.zeros((len(positions), count))
    np.add.at(matrix, (np.arange(len(positions)), touched), weights)
    return matrix @ _spline_coefficients(count), slice(low, high)


def _spline_coefficients(count: int) -> np.ndarray:
    """Matrix (count, count) from samples to cubic B-spline coefficients (Unser 1999), begun as ITK does."""
    c = np.eye(count)
    if count == 1:
        return c
    c *= (1 - POLE) * (1 - 1 / POLE)
    powers = POLE ** np.arange(count)
    if count > ITK_HORIZON:
        c[0] = powers[:ITK_HORIZON] @ c[:ITK_HORIZON]
    else:  # the mirrored signal's exact sum
        mirrored = powers.copy()
        mirrored[1:-1] += POLE ** (2 * count - 2 - np.arange(1, count - 1))
        c[0] = mirrored @ c / (1 - POLE ** (2 * count - 2))
    for n in range(1, count):
        c[n] += POLE * c[n - 1]
    c[-1] = POLE / (POLE**2 - 1) * (POLE * c[-2] + c[-1])
    for n in range(count - 2, -1, -1):
        c[n] = POLE * (c[n + 1] - c[n])
    return c
