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


def diagnostics(case: Case, settings: RadiomicsSettings, region: Region) -> dict[str, float | str]:
    """All diagnostics columns of a case; for float images the means agree to rounding."""
    content, image_types = to_parameters(settings)
    row = {
        "Versions_PyRadiomics": f"TACEResponse {__version__} fast",
        "Versions_Numpy": np.__version__,
        "Versions_SimpleITK": sitk.Version().VersionString(),
        "Versions_PyWavelet": pywt.__version__,
        "Versions_Python": platform.python_version(),
        "Configuration_Settings": content,
        "Configuration_EnabledImageTypes": image_types,
        "Image-original_Hash": _sha1(sitk.GetArrayViewFromImage(case.image)),
        "Image-original_Dimensionality": "3D",
        **_image(case.image, "original"),
        "Mask-original_Hash": _sha1(sitk.GetArrayViewFromImage(case.mask), "<u4"),
        **_mask(case.image, sitk.GetArrayViewFromImage(case.mask).view(np.bool_), "original", False),
    }
    if settings.resampled_spacing_mm is not None:
        row.update(_image(region.image, "interpolated"))
        row.update(_mask(region.image, region.whole_mask, "interpolated", True))
    if region.resegmented is not None:
        row.update(_mask(region.image, region.resegmented, "resegmented", True))
    return {f"diagnostics_{name}": as_text(value) for name, value in row.items()}


def _sha1(values: np.ndarray, stored_as: str | None = None) -> str:
    """The SHA-1 of the voxels, plane by plane so that a change of type needs little memory."""
    digest = hashlib.sha1(usedforsecurity=False)
    for plane in values:
        digest.update(np.ascontiguousarray(plane, dtype=stored_as))
    return digest.hexdigest()


def _image(image: sitk.Image, stage: str) -> dict[str, object]:
    values = sitk.GetArrayViewFromImage(image)
    whole = np.issubdtype(values.dtype, np.integer)
    mean = values.sum(dtype=np.int64) / values.size if whole else values.mean(dtype=np.float64)
    described = {
        "Spacing": image.GetSpacing(),
        "Size": image.GetSize(),
        "Mean": float(mean),
        "Minimum": float(values.min()),
        "Maximum": float(values.max()),
    }
    return {f"Image-{stage}_{name}": value for name, value in described.items()}


def _mask(image: sitk.Image, mask: np.ndarray, stage: str, intensities: bool) -> dict[str, object]:
    """About a tumour (k, j, i) on the image's grid, with its intensities when asked for."""
    box = roi_box(mask)
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
