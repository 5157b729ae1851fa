"""Image types: the image after a filter, on the tumour's box only, with pyradiomics' values.

A filter works on as much of the image around the box as can change a value in it, and no more.
"""

from collections.abc import Callable

import numpy as np
import pywt
import SimpleITK as sitk

from TACEResponseLib.errors import FeatureError, SettingsError
from TACEResponseLib.settings import RadiomicsSettings

from .binary_patterns import binary_patterns
from .columns import log_name, wavelet_names
from .laplacian import itk_laplacian, laplacian, rounds_as_itk

Box = tuple[slice, slice, slice]
#: Sigmas after which the recursive Gaussian has forgotten what came before: its slowest pole decays
#: by exp(-1.72 / sigma) a voxel, so 28 sigmas leave 1e-21.
GAUSSIAN_REACH_SIGMAS = 28


def filtered(
    image: sitk.Image, image_type: str, settings: RadiomicsSettings, box: Box, inside: np.ndarray
) -> list[Callable[[], dict[str, np.ndarray]]]:
    """Pieces of work for one image type; each gives column name -> values (k, j, i) on the box.

    image: what the filters see. box: the tumour's box in its array. inside: the tumour on the box. Each
    piece is for one thread; ITK lets go of the interpreter lock, so pieces run beside each other.
    """
    if image_type == "Original":
        return [lambda: {"original": _copy(image, box)}]
    if image_type == "LoG":
        return [
            lambda sigma=sigma: {log_name(sigma): laplacian_of_gaussian(image, box, sigma)}
            for sigma in settings.log_sigmas_mm
        ]
    if image_type == "Wavelet":
        return [lambda: wavelets(sitk.GetArrayViewFromImage(image), box, settings)]
    if image_type == "Gradient":
        return [lambda: {"gradient": gradient(image, box, settings.gradient_per_mm)}]
    if image_type == "LBP3D":
        return [lambda: binary_patterns(sitk.GetArrayViewFromImage(image), box, inside)]
    return [lambda: {image_type.lower(): pointwise(image, box, image_type)}]


def _window(image: sitk.Image, box: Box, margins: tuple[int, int, int]) -> tuple[sitk.Image, Box]:
    """The image around the box with a margin (k, j, i) where there is one, and the box in it."""
    starts = [max(0, side.start - margin) for side, margin in zip(box, margins, strict=True)]
    stops = [
        min(length, side.stop + margin)
        for side, margin, length in zip(box, margins, image.GetSize()[::-1], strict=True)
    ]
    inner = tuple(slice(s.start - a, s.stop - a) for s, a in zip(box, starts, strict=True))
    size = [b - a for a, b in zip(starts, stops, strict=True)][::-1]
    if tuple(size) != image.GetSize():
        image = sitk.RegionOfInterest(image, size, starts[::-1])
    return image, inner


def _copy(image: sitk.Image, box: Box) -> np.ndarray:
    """The image's values on the box; a view would not keep the image in memory."""
    return np.array(sitk.GetArrayViewFromImage(image)[box])


def laplacian_of_gaussian(image: sitk.Image, box: Box, sigma_mm: float) -> np.ndarray:
    """The recursive Laplacian of Gaussian, normalised across scale, with ITK's values."""
    margins = [int(np.ceil(GAUSSIAN_REACH_SIGMAS * sigma_mm / s)) + 8 for s in image.GetSpacing()[::-1]]
    image, inner = _window(image, box, margins)
    if rounds_as_itk():
        return laplacian(sitk.GetArrayViewFromImage(image), image.GetSpacing(), inner, sigma_mm)
    return _copy(itk_laplacian(image, sigma_mm), inner)


def gradient(image: sitk.Image, box: Box, per_mm: bool) -> np.ndarray:
    """Magnitude of the central-difference gradient, per mm or per voxel."""
    image, inner = _window(image, box, (2, 2, 2))
    magnitude = sitk.GradientMagnitudeImageFilter()
    magnitude.SetNumberOfThreads(1)
    magnitude.SetUseImageSpacing(per_mm)
    return _copy(magnitude.Execute(image), inner)


def wavelets(image: np.ndarray, box: Box, settings: RadiomicsSettings) -> dict[str, np.ndarray]:
    """The bands of the stationary wavelet transform, every level by the undilated filters."""
    try:
        wavelet = pywt.Wavelet(settings.wavelet)
    except ValueError:
        raise SettingsError(
            f"there is no wavelet named {settings.wavelet}",
            field="wavelet",
            expected="a name that PyWavelets lists, for example coif1",
            received=settings.wavelet,
        ) from None
    axes = [axis for axis in (2, 1, 0) if not (settings.force_2d and axis == settings.force_2d_axis)]
    rounds = settings.wavelet_start_level + settings.wavelet_levels
    data, inner = _even_window(image, box, wavelet.dec_len * rounds)
    images, names = {}, iter(wavelet_names(settings))
    for later in reversed(range(rounds)):
        # What another level will transform has to stay whole until then.
        kept = tuple(slice(0, n) for n in data.shape) if later else inner
        data, *details = _bands(data, wavelet, axes, kept)
        if later < settings.wavelet_levels:
            images.update((next(names), band[inner].copy() if later else band) for band in details)
    images[next(names)] = data
    return images


def _bands(image: np.ndarray, wavelet: pywt.Wavelet, axes: list[int], box: Box) -> list[np.ndarray]:
    """The bands of one level on the box: axis after axis, each half cut before it is halved again."""
    if not axes:
        return [image[box].copy()]
    axis, *others = axes
    halves = pywt.swt(image, wavelet, level=1, axis=axis)[0]
    cut = (slice(None),) * axis + (box[axis],)
    rest = tuple(slice(None) if a == axis else side for a, side in enumerate(box))
    return [band for half in halves for band in _bands(half[cut], wavelet, others, rest)]


def _even_window(image: np.ndarray, box: Box, margin: int) -> tuple[np.ndarray, Box]:
    """The image around the box, even along every axis as the transform needs it, and the box in it.

    An axis on which the margin does not fit stays whole, because the transform wraps around its
    ends; an odd whole axis is lengthened by its first plane.
    """
    inner = []
    for axis, side in enumerate(box):
        start, stop, length = side.start - margin, side.stop + margin, image.shape[axis]
        stop += (stop - start) % 2
        if start < 0 or stop > length:
            start, stop = 0, length
        inner.append(slice(side.start - start, side.stop - start))
        image = image[(slice(None),) * axis + (slice(start, stop),)]
    return np.pad(image, [(0, n % 2) for n in image.shape], "wrap"), tuple(inner)


def _square(x: np.ndarray, largest: float) -> np.ndarray:
    return (1 / np.sqrt(largest) * x) ** 2


def _square_root(x: np.ndarray, largest: float) -> np.ndarray:
    return np.sign(x) * np.sqrt(np.abs(x) * largest)


def _logarithm(x: np.ndarray, largest: float) -> np.ndarray:
    return np.sign(x) * np.log(np.abs(x) + 1) * (largest / np.log(np.array([largest]) + 1))


def _exponential(x: np.ndarray, largest: float) -> np.ndarray:
    return np.exp(np.log(largest) / largest * x)


#: Filters of a single voxel's value and the image's largest magnitude.
POINTWISE = {
    "Square": _square,
    "SquareRoot": _square_root,
    "Logarithm": _logarithm,
    "Exponential": _exponential,
}


def pointwise(image: sitk.Image, box: Box, image_type: str) -> np.ndarray:
    """One of `POINTWISE` on the box; FeatureError for an image that is zero everywhere."""
    values = sitk.GetArrayViewFromImage(image)
    largest = max(abs(float(values.min())), abs(float(values.max())))
    if largest == 0:
        raise FeatureError(
            f"the image type {image_type.lower()} cannot be computed, the image is 0 everywhere",
            field=image_type.lower(),
        )
    return POINTWISE[image_type](values[box].astype(np.float64), largest)
