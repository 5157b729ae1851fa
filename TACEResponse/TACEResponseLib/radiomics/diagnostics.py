"""The diagnostics columns: versions, settings and grids, with pyradiomics' names and values."""

import hashlib
import json
import numbers
import platform

import numpy as np
import pywt
import SimpleITK as sitk

from TACEResponseLib import __version__
from TACEResponseLib.cases import Case
from TACEResponseLib.settings import RadiomicsSettings

from . import kernels
from .grid import roi_box
from .levels import number_of_pieces
from .parameters import to_parameters
from .region import Region


def as_text(value) -> float | str:
    """A diagnostics value as a table can hold it: numbers as they are, everything else as text."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple | list):
        return str(tuple(as_text(v) for v in value))
    return str(value)


def diagnostics(
    case: Case, settings: RadiomicsSettings, region: Region, hashes: tuple[str, str]
) -> dict[str, float | str]:
    """All diagnostics columns of a case; for float images the means agree to rounding.

    hashes: what `sha1_of_image` and `sha1_of_mask` gave.
    """
    content, image_types = to_parameters(settings)
    mask = sitk.GetArrayViewFromImage(case.mask).view(np.bool_)
    row = {
        "Versions_PyRadiomics": f"TACEResponse {__version__} fast",
        "Versions_Numpy": np.__version__,
        "Versions_SimpleITK": sitk.Version().VersionString(),
        "Versions_PyWavelet": pywt.__version__,
        "Versions_Python": platform.python_version(),
        "Configuration_Settings": content,
        "Configuration_EnabledImageTypes": image_types,
        "Image-original_Hash": hashes[0],
        "Image-original_Dimensionality": "3D",
        **_image(case.image, "original"),
        "Mask-original_Hash": hashes[1],
        **_mask(case.image, mask, region.frame.tumour, "original", False),
    }
    if settings.resampled_spacing_mm is not None:
        row.update(_image(region.image, "interpolated"))
        whole = region.whole_mask
        row.update(_mask(region.image, whole, roi_box(whole), "interpolated", True))
    if region.resegmented is not None:
        row.update(_mask(region.image, region.resegmented, region.box, "resegmented", True))
    return {f"diagnostics_{name}": as_text(value) for name, value in row.items()}


def sha1_of_image(case: Case) -> str:
    """The SHA-1 of the image's voxels."""
    return hashlib.sha1(sitk.GetArrayViewFromImage(case.image), usedforsecurity=False).hexdigest()


def sha1_of_mask(case: Case) -> str:
    """The SHA-1 of the mask's voxels as pyradiomics holds them, four bytes each; made plane by plane."""
    planes = sitk.GetArrayViewFromImage(case.mask)
    first = int(planes.reshape(len(planes), -1).any(axis=1).argmax())
    plane = np.zeros(planes.shape[1:], "<u4")
    digest = _sha1_of_empty(first, plane)
    for labels in planes[first:]:
        plane[:] = labels
        digest.update(plane)
    return digest.hexdigest()


#: (bytes of a plane, empty planes) -> their SHA-1: most masks begin alike, and in a cohort much alike.
_EMPTY = {}


def _sha1_of_empty(planes: int, plane: np.ndarray):
    """The hash, to go on with, after some planes of zeros like `plane`."""
    digest = hashlib.sha1(usedforsecurity=False)
    for number in range(1, planes + 1):
        key = (plane.nbytes, number)
        if key not in _EMPTY:
            digest.update(plane)
            _EMPTY[key] = digest.copy()
        digest = _EMPTY[key].copy()
    return digest


def _image(image: sitk.Image, stage: str) -> dict[str, object]:
    values = sitk.GetArrayViewFromImage(image)
    if np.issubdtype(values.dtype, np.integer):
        low, high, total = kernels.extremes_and_sum(values.ravel())
    else:
        low, high, total = values.min(), values.max(), values.sum(dtype=np.float64)
    described = {
        "Spacing": image.GetSpacing(),
        "Size": image.GetSize(),
        "Mean": float(total / values.size),
        "Minimum": float(low),
        "Maximum": float(high),
    }
    return {f"Image-{stage}_{name}": value for name, value in described.items()}


def _mask(image: sitk.Image, mask: np.ndarray, box, stage: str, intensities: bool) -> dict[str, object]:
    """About a tumour (k, j, i), in its box, on the image's grid; with its intensities when asked for."""
    inside = mask[box]
    corner = [side.start for side in box]
    index = [float(np.mean(n + c)) for n, c in zip(np.nonzero(inside), corner, strict=True)][::-1]
    described = {
        "Spacing": image.GetSpacing(),
        "Size": image.GetSize(),
        "BoundingBox": (*corner[::-1], *inside.shape[::-1]),
        "VoxelNum": int(inside.sum()),
        "VolumeNum": number_of_pieces(inside),
        "CenterOfMassIndex": tuple(index),
        "CenterOfMass": image.TransformContinuousIndexToPhysicalPoint(index),
    }
    if intensities:
        values = sitk.GetArrayViewFromImage(image)[box][inside].astype(np.float64)
        described.update(Mean=values.mean(), Minimum=values.min(), Maximum=values.max())
    return {f"Mask-{stage}_{name}": value for name, value in described.items()}
