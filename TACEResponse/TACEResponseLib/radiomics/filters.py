"""Image types: the image after a filter, on the tumour's box only, with pyradiomics' values.

A filter works on as much of the image around the box as can change a value in it, and no more.
"""

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.messages.errors import FeatureError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import RadiomicsSettings

from .binary_patterns import binary_patterns
from .columns import log_name
from .laplacian import itk_laplacian, laplacian, rounds_as_itk
from .wavelets import Box, Piece, wavelets

#: Sigmas after which the recursive Gaussian has forgotten what came before: its slowest pole decays
#: by exp(-1.72 / sigma) a voxel, so 28 sigmas leave 1e-21.
GAUSSIAN_REACH_SIGMAS = 28


def filtered(
    image: sitk.Image, image_type: str, settings: RadiomicsSettings, box: Box, inside: np.ndarray
) -> list[Piece]:
    """The work for one image type in pieces, each for one thread.

    image: what the filters see. box: the tumour's box in its array. inside: the tumour on the box. ITK
    and the kernels let go of the interpreter lock, so pieces run beside each other.
    """
    if image_type == "Original":
        return [lambda: [("original", _copy(image, box))]]
    if image_type == "LoG":
        return [
            lambda sigma=sigma: [(log_name(sigma), laplacian_of_gaussian(image, box, sigma))]
            for sigma in settings.log_sigmas_mm
        ]
    if image_type == "Wavelet":
        return wavelets(sitk.GetArrayViewFromImage(image), box, settings)
    if image_type == "Gradient":
        return [lambda: [("gradient", gradient(image, box, settings.gradient_per_mm))]]
    if image_type == "LBP3D":
        return [lambda: binary_patterns(sitk.GetArrayViewFromImage(image), box, inside).items()]
    return [lambda: [(image_type.lower(), pointwise(image, box, image_type))]]


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
            tr(
                "the image type {image_type} cannot be computed, the image is 0 everywhere",
                image_type=image_type.lower(),
            ),
            field=image_type.lower(),
        )
    return POINTWISE[image_type](values[box].astype(np.float64), largest)
