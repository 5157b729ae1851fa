"""Co-occurrence: the GLCM's features, with the maximal correlation coefficient to the last digit.

A matrix has the axes (grey level i, grey level j, direction).
"""

import numpy as np

from TACEResponseLib.settings import RadiomicsSettings

from . import kernels
from .levels import Levels

EPS = np.spacing(1.0)


def mean_over_directions(values: np.ndarray) -> float:
    """Mean over the directions in which the value is defined; NaN when there is none."""
    defined = ~np.isnan(values)
    if not defined.any():
        return np.nan
    return float(np.where(defined, values, 0.0).sum() / defined.sum())


def lengths_mm(offsets: np.ndarray, spacing_mm: tuple[float, float, float], norm: str) -> np.ndarray:
    """Length of each offset (n, 3) by the norm's name; 1 for `no_weighting`."""
    reach = np.abs(offsets) * np.array(spacing_mm[::-1])
    if norm == "infinity":
        return reach.max(axis=1)
    if norm == "euclidean":
        return np.sqrt((reach**2).sum(axis=1))
    if norm == "manhattan":
        return reach.sum(axis=1)
    return np.ones(len(offsets))


def glcm_features(
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
            weights = np.exp(-(lengths_mm(offsets, spacing_mm, norm) ** 2))
        counts = (counts * weights).sum(axis=2, keepdims=True)
    total = counts.sum(axis=(0, 1))
    if len(total) > 1:
        counts, total = counts[:, :, total > 0], total[total > 0]
    total[total == 0] = np.nan
    if not len(total):
        counts, total = np.full((*counts.shape[:2], 1), np.nan), np.array([np.nan])
    return _features(counts / total, present.astype(np.float64), levels.highest)


def _features(P: np.ndarray, gray: np.ndarray, highest: int) -> dict[str, float]:
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
    return {name: mean_over_directions(value) for name, value in values.items()}


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
