"""Texture: the five matrices of neighbouring grey levels, and the features that are read off them.

Definitions and symbols: pyradiomics' documentation, which follows IBSI (Zwanenburg et al.,
Radiology 2020;295:328) but for the deviations listed in Docs/radiomics.md. A matrix has the axes
(grey level i, size j, direction); `cooccurrence` has the one of levels by levels.
"""

import numpy as np

from TACEResponseLib.settings import RadiomicsSettings

from . import kernels
from .cooccurrence import EPS, glcm_features, lengths_mm, mean_over_directions
from .levels import Levels, directions, flat_steps, steps_for_zones

CLASSES = ("glcm", "gldm", "glrlm", "glszm", "ngtdm")


def texture_features(
    levels: Levels, classes: set[str], settings: RadiomicsSettings, spacing_mm: tuple[float, float, float]
) -> dict[str, dict[str, float]]:
    """Texture class -> feature -> value for the classes asked for; NaN where one is undefined."""
    far = max(settings.distances_voxels)
    extent = tuple(n - 2 * far for n in levels.shape)
    flat_axis = settings.force_2d_axis if settings.force_2d else None
    offsets = directions(extent, settings.distances_voxels, flat_axis)
    near = directions(extent, (1,), flat_axis)
    features: dict[str, dict[str, float]] = {}
    if classes & {"glcm", "gldm", "ngtdm"}:
        pairs, dependences, differences = kernels.neighbours(
            levels.grid, levels.roi, flat_steps(offsets, levels.shape), levels.highest, settings.gldm_alpha
        )
        if "glcm" in classes:
            features["glcm"] = glcm_features(pairs, levels, offsets, settings, spacing_mm)
        if "gldm" in classes:
            features["gldm"] = _named(_GLDM, dependences[levels.present][:, :, None], levels.present)
        if "ngtdm" in classes:
            features["ngtdm"] = _ngtdm(differences[levels.present], levels.present.astype(float))
    if "glrlm" in classes:
        matrix = _run_lengths(levels, near, max(extent))
        if settings.weighting_norm is not None:
            weights = lengths_mm(near, spacing_mm, settings.weighting_norm)
            matrix = (matrix * weights).sum(axis=2, keepdims=True)
        features["glrlm"] = _named(_GLRLM, matrix, levels.present)
    if "glszm" in classes:
        features["glszm"] = _named(_GLSZM, *_zone_sizes(levels, near))
    return features


def _run_lengths(levels: Levels, offsets: np.ndarray, longest: int) -> np.ndarray:
    """Runs (level, length, direction); all zero along a direction where no line holds two voxels."""
    places = kernels.runs(levels.grid.reshape(levels.shape), offsets, levels.highest, longest)
    places = places[:, levels.present, 1:].astype(np.float64)
    lengths = places[:, :, :-1] - places[:, :, 1:]
    for a in np.flatnonzero(~lengths[:, :, 1:].any(axis=(1, 2))):
        if not _holds_two(levels, offsets[a]):
            lengths[a] = 0
    return np.moveaxis(lengths, 0, 2)


def _holds_two(levels: Levels, offset: np.ndarray) -> bool:
    """Whether any line along the direction holds two tumour voxels, side by side or apart."""
    if levels.grid[levels.roi + flat_steps(offset, levels.shape)].any():
        return True
    tumour = np.column_stack(np.unravel_index(levels.roi, levels.shape))
    axis = np.flatnonzero(offset)[0]  # slide every voxel along its line to one plane
    feet = tumour - tumour[:, [axis]] * offset[axis] * offset
    return len(np.unique(feet, axis=0)) < len(feet)


def _zone_sizes(levels: Levels, offsets: np.ndarray):
    """Zones (level, size, 1), the levels, and the sizes that occur."""
    steps = steps_for_zones(offsets, levels.shape)
    zone_levels, zone_sizes = kernels.zones(levels.grid, levels.roi, steps)
    sizes = np.flatnonzero(np.bincount(zone_sizes))
    column = np.zeros(sizes[-1] + 1, np.int64)
    column[sizes] = np.arange(len(sizes))
    row = np.zeros(levels.highest + 1, np.int64)
    row[levels.present] = np.arange(len(levels.present))
    cells = row[zone_levels] * len(sizes) + column[zone_sizes]
    matrix = np.bincount(cells, minlength=len(levels.present) * len(sizes)).astype(np.float64)
    return matrix.reshape(len(levels.present), len(sizes), 1), levels.present, sizes


#: What the quantities of `_named` are called in each class that counts sizes.
_COMMON = {
    "gln": "GrayLevelNonUniformity",
    "glnn": "GrayLevelNonUniformityNormalized",
    "glv": "GrayLevelVariance",
}


def _vocabulary(size: str, low: str, small: str, large: str, **others: str) -> dict[str, str]:
    names = {
        "low": f"LowGrayLevel{low}Emphasis",
        "high": f"HighGrayLevel{low}Emphasis",
        "small": f"{small}Emphasis",
        "large": f"{large}Emphasis",
        "small_low": f"{small}LowGrayLevelEmphasis",
        "small_high": f"{small}HighGrayLevelEmphasis",
        "large_low": f"{large}LowGrayLevelEmphasis",
        "large_high": f"{large}HighGrayLevelEmphasis",
        "variance": f"{size}Variance",
        "entropy": f"{size}Entropy",
    }
    return {**_COMMON, **names, **others}


_GLRLM = _vocabulary(
    "Run",
    "Run",
    "ShortRun",
    "LongRun",
    nonuniformity="RunLengthNonUniformity",
    normalized="RunLengthNonUniformityNormalized",
    percentage="RunPercentage",
)
_GLSZM = _vocabulary(
    "Zone",
    "Zone",
    "SmallArea",
    "LargeArea",
    nonuniformity="SizeZoneNonUniformity",
    normalized="SizeZoneNonUniformityNormalized",
    percentage="ZonePercentage",
)
_GLDM = _vocabulary(
    "Dependence",
    "",
    "SmallDependence",
    "LargeDependence",
    nonuniformity="DependenceNonUniformity",
    normalized="DependenceNonUniformityNormalized",
)


def _named(
    vocabulary: dict[str, str], matrix: np.ndarray, levels: np.ndarray, sizes: np.ndarray | None = None
) -> dict[str, float]:
    """Features of a matrix (level, size, direction) of counts, under the names of its class."""
    sizes = np.arange(1, matrix.shape[1] + 1) if sizes is None else sizes
    matrix = matrix.astype(np.float64)
    if matrix.shape[2] > 1:
        matrix = matrix[:, :, matrix.any(axis=(0, 1))]
    occurring = matrix.any(axis=(0, 2))
    matrix, j = matrix[:, occurring], sizes[occurring].astype(np.float64)[:, None]
    i = levels.astype(np.float64)[:, None]
    by_level, by_size = matrix.sum(axis=1), matrix.sum(axis=0)
    total = matrix.sum(axis=(0, 1))
    total[total == 0] = np.nan
    i2, j2 = i**2, j**2
    # sums over levels, weighted, leave (size, direction)
    low, high = (matrix / i2[:, :, None]).sum(axis=0), (matrix * i2[:, :, None]).sum(axis=0)
    share_level, share_size, share = by_level / total, by_size / total, matrix / total
    quantities = {
        "small": (by_size / j2).sum(axis=0) / total,
        "large": (by_size * j2).sum(axis=0) / total,
        "gln": (by_level**2).sum(axis=0) / total,
        "glnn": (by_level**2).sum(axis=0) / total**2,
        "nonuniformity": (by_size**2).sum(axis=0) / total,
        "normalized": (by_size**2).sum(axis=0) / total**2,
        "percentage": total / (by_size * j).sum(axis=0),
        "glv": (share_level * (i - (share_level * i).sum(axis=0)) ** 2).sum(axis=0),
        "variance": (share_size * (j - (share_size * j).sum(axis=0)) ** 2).sum(axis=0),
        "entropy": -(share * np.log2(share + EPS)).sum(axis=(0, 1)),
        "low": (by_level / i2).sum(axis=0) / total,
        "high": (by_level * i2).sum(axis=0) / total,
        "small_low": (low / j2).sum(axis=0) / total,
        "small_high": (high / j2).sum(axis=0) / total,
        "large_low": (low * j2).sum(axis=0) / total,
        "large_high": (high * j2).sum(axis=0) / total,
    }
    return {
        vocabulary[name]: mean_over_directions(value)
        for name, value in quantities.items()
        if name in vocabulary
    }


def _ngtdm(differences: np.ndarray, i: np.ndarray) -> dict[str, float]:
    """Features of the neighbouring grey-tone differences (level, (voxels, sum))."""
    voxels, s = differences[:, 0].sum(), differences[:, 1]
    p = differences[:, 0] / voxels
    number, ps = len(i), p * s
    apart = i[:, None] - i[None, :]
    contrast = (p[:, None] * p[None, :] * apart**2).sum() * s.sum() / voxels
    spread = np.abs((i * p)[:, None] - (i * p)[None, :]).sum()
    strength = ((p[:, None] + p[None, :]) * apart**2).sum()
    complexity = np.abs(apart) * (ps[:, None] + ps[None, :]) / (p[:, None] + p[None, :])
    return {
        "Busyness": ps.sum() / spread if spread else 0.0,
        "Coarseness": 1 / ps.sum() if ps.sum() else 1e6,
        "Complexity": complexity.sum() / voxels,
        "Contrast": contrast / (number * (number - 1)) if number > 1 else 0.0,
        "Strength": strength / s.sum() if s.sum() else 0.0,
    }
