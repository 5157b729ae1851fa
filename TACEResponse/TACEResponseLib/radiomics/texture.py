"""Texture: grey-level bins, the five matrices, and the features that are read off them.

Definitions and symbols: pyradiomics' documentation, which follows IBSI (Zwanenburg et al.,
Radiology 2020;295:328) but for the deviations listed in Docs/radiomics.md. A matrix has the axes
(grey level i, size j, direction) or (grey level i, grey level j, direction).
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from TACEResponseLib.errors import FeatureError
from TACEResponseLib.settings import RadiomicsSettings

from . import kernels

EPS = np.spacing(1.0)
#: Grey levels above which the matrices of one image type would fill the memory.
MOST_LEVELS = 2000
CLASSES = ("glcm", "gldm", "glrlm", "glszm", "ngtdm")


@dataclass(frozen=True)
class Levels:
    """The tumour's voxels after binning.

    grid, roi, shape: see `kernels`; shape is that of the grid with its margin. present: the levels
    that occur, increasing; counts: their voxels.
    """

    grid: np.ndarray
    roi: np.ndarray
    shape: tuple[int, int, int]
    present: np.ndarray
    counts: np.ndarray

    @property
    def highest(self) -> int:
        return int(self.present[-1])


def bin_edges(values: np.ndarray, width: float, count: int | None) -> np.ndarray:
    """Lower edges of the grey-level bins, by width from a multiple of it or by count; float64.

    values: in the image's own type, because the first edge of a float32 image is a float32 number.
    """
    if count is not None:
        edges = np.histogram_bin_edges(values, count)
        edges[-1] += 1  # the largest value belongs to the last bin
        return edges.astype(np.float64)
    number = np.float32 if values.dtype == np.float32 else np.float64
    low, high = number(values.min()), number(values.max())
    return np.arange(float(low - low % number(width)), float(high + number(2 * width)), width)


@dataclass(frozen=True)
class Places:
    """Where the tumour's voxels lie in a grid with a margin: flat indices in raster order, and its shape."""

    roi: np.ndarray
    shape: tuple[int, int, int]


def places_of(mask: np.ndarray, margin: int) -> Places:
    """Places of a boolean mask (k, j, i) in a grid with a margin of so many voxels around it."""
    inside = np.pad(mask, margin)
    return Places(np.flatnonzero(inside).astype(np.uint32), inside.shape)


def levels_of(values: np.ndarray, places: Places, width: float, count: int | None) -> Levels:
    """Bin the tumour's values (n,), in raster order, at their places.

    Raises FeatureError when there would be more levels than memory.
    """
    extent = float(values.max()) - float(values.min())
    number = count if count is not None else extent / width + 1
    if number > MOST_LEVELS:
        raise FeatureError(
            "the grey levels are too many for the texture matrices",
            field="bin_width",
            expected=f"at most {MOST_LEVELS} levels",
            received=f"{number:.0f} bins for values from {values.min():g} to {values.max():g}",
            remedy="choose wider bins",
        )
    numbers = np.empty(len(values), np.uint16)
    kernels.bin_numbers(values.astype(np.float64), bin_edges(values, width, count), numbers)
    grid = np.zeros(math.prod(places.shape), np.uint16)
    grid[places.roi] = numbers
    counts = np.bincount(numbers)
    present = np.flatnonzero(counts)
    return Levels(grid, places.roi, places.shape, present, counts[present])


def directions(extent: tuple[int, int, int], distances, without_axis: int | None) -> np.ndarray:
    """Neighbour offsets (n, 3) along (k, j, i), one of each opposite pair, first nonzero positive.

    extent: size of the tumour's box; an offset that reaches beyond it is none.
    """
    far = max(distances)
    ranges = [
        range(0, 1) if axis == without_axis else range(min(far, n - 1), -min(far, n - 1) - 1, -1)
        for axis, n in enumerate(extent)
    ]
    wanted = set(distances)
    offsets = [o for o in product(*ranges) if o > (0, 0, 0) and max(map(abs, o)) in wanted]
    return np.array(offsets, dtype=np.int64).reshape(-1, 3)


def texture_features(
    levels: Levels, classes: set[str], settings: RadiomicsSettings, spacing_mm: tuple[float, float, float]
) -> dict[str, dict[str, float]]:
    """Texture class -> feature -> value for the classes asked for; NaN where one is undefined."""
    far = max(settings.distances_voxels)
    extent = tuple(n - 2 * far for n in levels.shape)
    flat_axis = settings.force_2d_axis if settings.force_2d else None
    offsets = directions(extent, settings.distances_voxels, flat_axis)
    near = directions(extent, (1,), flat_axis)
    strides = np.array([levels.shape[1] * levels.shape[2], levels.shape[2], 1])
    steps, near_steps = (offsets @ strides).astype(np.uint32), (near @ strides).astype(np.uint32)
    features: dict[str, dict[str, float]] = {}
    if classes & {"glcm", "gldm", "ngtdm"}:
        pairs, dependences, differences = kernels.neighbours(
            levels.grid, levels.roi, steps, levels.highest, settings.gldm_alpha
        )
        if "glcm" in classes:
            features["glcm"] = _glcm(pairs, levels, offsets, settings, spacing_mm)
        if "gldm" in classes:
            features["gldm"] = _named(_GLDM, dependences[levels.present][:, :, None], levels.present)
        if "ngtdm" in classes:
            features["ngtdm"] = _ngtdm(differences[levels.present], levels.present.astype(float))
    if "glrlm" in classes:
        matrix = _run_lengths(levels, near, near_steps, max(extent))
        if settings.weighting_norm is not None:
            weights = _lengths_mm(near, spacing_mm, settings.weighting_norm)
            matrix = (matrix * weights).sum(axis=2, keepdims=True)
        features["glrlm"] = _named(_GLRLM, matrix, levels.present)
    if "glszm" in classes:
        features["glszm"] = _named(_GLSZM, *_zone_sizes(levels, near, near_steps))
    return features


def _run_lengths(levels: Levels, offsets: np.ndarray, steps: np.ndarray, longest: int) -> np.ndarray:
    """Runs (level, length, direction); all zero along a direction where no line holds two voxels."""
    places = kernels.runs(levels.grid.reshape(levels.shape), offsets, levels.highest, longest)
    places = places[:, levels.present, 1:].astype(np.float64)
    lengths = places[:, :, :-1] - places[:, :, 1:]
    for a in np.flatnonzero(~lengths[:, :, 1:].any(axis=(1, 2))):
        if not _holds_two(levels, offsets[a], steps[a]):
            lengths[a] = 0
    return np.moveaxis(lengths, 0, 2)


def _holds_two(levels: Levels, offset: np.ndarray, step: np.uint32) -> bool:
    """Whether any line along the direction holds two tumour voxels, side by side or apart."""
    if levels.grid[levels.roi + step].any():
        return True
    tumour = np.column_stack(np.unravel_index(levels.roi, levels.shape))
    axis = np.flatnonzero(offset)[0]  # slide every voxel along its line to one plane
    feet = tumour - tumour[:, [axis]] * offset[axis] * offset
    return len(np.unique(feet, axis=0)) < len(feet)


def _zone_sizes(levels: Levels, offsets: np.ndarray, steps: np.ndarray):
    """Zones (level, size, 1), the levels, and the sizes that occur."""
    straight = (np.abs(offsets).sum(axis=1) == 1).nonzero()[0]
    order = np.r_[straight[0], np.delete(np.arange(len(steps)), straight[0])]
    zone_levels, zone_sizes = kernels.zones(levels.grid, levels.roi, steps[order])
    sizes = np.flatnonzero(np.bincount(zone_sizes))
    column = np.zeros(sizes[-1] + 1, np.int64)
    column[sizes] = np.arange(len(sizes))
    row = np.zeros(levels.highest + 1, np.int64)
    row[levels.present] = np.arange(len(levels.present))
    cells = row[zone_levels] * len(sizes) + column[zone_sizes]
    matrix = np.bincount(cells, minlength=len(levels.present) * len(sizes)).astype(np.float64)
    return matrix.reshape(len(levels.present), len(sizes), 1), levels.present, sizes


def _mean(values: np.ndarray) -> float:
    """Mean over the directions in which the value is defined; NaN when there is none."""
    defined = ~np.isnan(values)
    if not defined.any():
        return np.nan
    return float(np.where(defined, values, 0.0).sum() / defined.sum())


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
    return {vocabulary[name]: _mean(value) for name, value in quantities.items() if name in vocabulary}


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


def _lengths_mm(offsets: np.ndarray, spacing_mm: tuple[float, float, float], norm: str) -> np.ndarray:
    """Length of each offset (n, 3) by the norm's name; 1 for `no_weighting`."""
    reach = np.abs(offsets) * np.array(spacing_mm[::-1])
    if norm == "infinity":
        return reach.max(axis=1)
    if norm == "euclidean":
        return np.sqrt((reach**2).sum(axis=1))
    if norm == "manhattan":
        return reach.sum(axis=1)
    return np.ones(len(offsets))


def _glcm(
    pairs: np.ndarray,
    levels: Levels,
    offsets: np.ndarray,
    settings: RadiomicsSettings,
    spacing_mm: tuple[float, float, float],
) -> dict[str, float]:
    """Features of the co-occurrence counts (direction, level, level) of neighbours."""
    present = levels.present
    counts = pairs[:, present[:, None], present].astype(np.float64)
    # Memory order (j, i, direction) is pyradiomics': sums then round alike where little is left of them.
    counts = np.ascontiguousarray(counts.transpose(2, 1, 0)).transpose(1, 0, 2)
    if settings.symmetric_glcm:
        counts += counts.transpose(1, 0, 2).copy()
    norm = settings.weighting_norm
    if norm is not None:
        weights = np.ones(len(offsets))
        if norm != "no_weighting":
            weights = np.exp(-(_lengths_mm(offsets, spacing_mm, norm) ** 2))
        counts = (counts * weights).sum(axis=2, keepdims=True)
    total = counts.sum(axis=(0, 1))
    if len(total) > 1:
        counts, total = counts[:, :, total > 0], total[total > 0]
    total[total == 0] = np.nan
    if not len(total):
        counts, total = np.full((*counts.shape[:2], 1), np.nan), np.array([np.nan])
    return _glcm_features(counts / total, present.astype(np.float64), levels.highest)


def _glcm_features(P: np.ndarray, gray: np.ndarray, highest: int) -> dict[str, float]:
    """Features of co-occurrence probabilities P (level i, level j, direction)."""
    i, j = gray[:, None, None], gray[None, :, None]
    px, py = P.sum(axis=1, keepdims=True), P.sum(axis=0, keepdims=True)
    ux, uy = (i * P).sum(axis=(0, 1), keepdims=True), (j * P).sum(axis=(0, 1), keepdims=True)
    sums = _collect(P, (i + j).astype(int)[:, :, 0] - 2, 2 * highest - 1)
    gaps = _collect(P, np.abs(i - j).astype(int)[:, :, 0], highest)
    k_sum, k = np.arange(2, 2 * highest + 1.0)[:, None], np.arange(float(highest))[:, None]
    around, both = i + j - ux - uy, (0, 1)
    gap_mean = (k * gaps).sum(axis=0)
    sigma_x = np.sqrt((P * (i - ux) ** 2).sum(axis=both))
    sigma_y = np.sqrt((P * (j - uy) ** 2).sum(axis=both))
    covariance = (P * (i - ux) * (j - uy)).sum(axis=both)
    correlation = np.where(sigma_x * sigma_y == 0, 1.0, covariance / (sigma_x * sigma_y + EPS))
    around2 = around**2
    values = {
        "Autocorrelation": (P * (i * j)).sum(axis=both),
        "ClusterProminence": (P * around2**2).sum(axis=both),
        "ClusterShade": (P * (around2 * around)).sum(axis=both),
        "ClusterTendency": (P * around2).sum(axis=both),
        "Contrast": (P * (i - j) ** 2).sum(axis=both),
        "Correlation": correlation,
        "DifferenceAverage": gap_mean,
        "DifferenceEntropy": -(gaps * np.log2(gaps + EPS)).sum(axis=0),
        "DifferenceVariance": (gaps * (k - gap_mean) ** 2).sum(axis=0),
        "Id": (gaps / (1 + k)).sum(axis=0),
        "Idm": (gaps / (1 + k**2)).sum(axis=0),
        "Idmn": (gaps / (1 + k**2 / highest**2)).sum(axis=0),
        "Idn": (gaps / (1 + k / highest)).sum(axis=0),
        "InverseVariance": (gaps[1:] / k[1:] ** 2).sum(axis=0),
        "JointAverage": ux[0, 0],
        "JointEnergy": (P**2).sum(axis=both),
        "MCC": _mcc(P, px[:, 0], py[0]),
        "MaximumProbability": P.max(axis=both),
        "SumAverage": (k_sum * sums).sum(axis=0),
        "SumEntropy": -(sums * np.log2(sums + EPS)).sum(axis=0),
        "SumSquares": (P * (i - ux) ** 2).sum(axis=both),
        **_information(P, px, py),
    }
    return {name: _mean(value) for name, value in values.items()}


def _information(P: np.ndarray, px: np.ndarray, py: np.ndarray) -> dict[str, np.ndarray]:
    """Joint entropy and the two informational measures of correlation, by direction."""
    both = (0, 1)
    independent = px * py
    hx = -(px * np.log2(px + EPS)).sum(axis=both)
    hy = -(py * np.log2(py + EPS)).sum(axis=both)
    hxy = -(P * np.log2(P + EPS)).sum(axis=both)
    logs = np.log2(independent + EPS)
    hxy1, hxy2 = -(P * logs).sum(axis=both), -(independent * logs).sum(axis=both)
    larger = np.fmax(hx, hy)
    imc1 = np.where(larger == 0, 0.0, (hxy - hxy1) / np.where(larger == 0, 1.0, larger))
    imc2 = np.where(hxy2 == hxy, 0.0, np.sqrt(1 - np.e ** (-2 * (hxy2 - hxy))))
    return {"JointEntropy": hxy, "Imc1": imc1, "Imc2": imc2}


def _collect(P: np.ndarray, place: np.ndarray, length: int) -> np.ndarray:
    """Probabilities (length, direction) summed over the cells that share a place (level, level)."""
    place = place.ravel()
    return np.stack(
        [np.bincount(place, weights=P[:, :, a].ravel(), minlength=length) for a in range(P.shape[2])], axis=1
    )


def _mcc(P: np.ndarray, px: np.ndarray, py: np.ndarray) -> np.ndarray:
    """Maximal correlation coefficient by direction; 1 when there is one grey level."""
    if len(P) < 2:
        return np.ones(P.shape[2])
    if np.isnan(P).any():
        return np.full(P.shape[2], np.nan)
    products = kernels.correlation_products(
        np.ascontiguousarray(np.moveaxis(P, 2, 0)), px.T.copy(), py.T.copy(), EPS
    )
    eigenvalues = np.linalg.eigvals(products)
    eigenvalues.sort(axis=1)
    return np.sqrt(eigenvalues[:, -2]).real
