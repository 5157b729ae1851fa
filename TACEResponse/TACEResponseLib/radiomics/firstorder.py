"""First order: the distribution of the tumour's intensities."""

import numpy as np

from TACEResponseLib.settings import RadiomicsSettings

from .cooccurrence import EPS


def firstorder_features(
    values: np.ndarray, counts: np.ndarray, settings: RadiomicsSettings, voxel_mm3: float
) -> dict[str, float]:
    """The features of the class `firstorder`.

    values: the tumour's intensities (n,), float64. counts: voxels in each grey level that occurs.
    """
    mean = values.mean()
    centred = values - mean
    squares = centred * centred
    variance = squares.mean()
    ranked = np.sort(values)
    p10, p25, median, p75, p90 = (_quantile(ranked, share) for share in (0.1, 0.25, 0.5, 0.75, 0.9))
    middle = ranked[np.searchsorted(ranked, p10, "left") : np.searchsorted(ranked, p90, "right")]
    shifted = values + settings.voxel_array_shift
    energy = (shifted * shifted).sum()
    p = counts / counts.sum()
    scale = variance if variance else 1.0
    low, high = ranked[0], ranked[-1]
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "TotalEnergy": energy * voxel_mm3,
        "Entropy": -(p * np.log2(p + EPS)).sum(),
        "InterquartileRange": p75 - p25,
        "Kurtosis": (squares * squares).mean() / scale**2 if variance else 0.0,
        "Skewness": (squares * centred).mean() / scale**1.5 if variance else 0.0,
        "Maximum": high,
        "Minimum": low,
        "Range": high - low,
        "Mean": mean,
        "Median": median,
        "MeanAbsoluteDeviation": np.abs(centred).mean(),
        "RobustMeanAbsoluteDeviation": np.abs(middle - middle.mean()).mean(),
        "RootMeanSquared": np.sqrt(energy / len(values)),
        "StandardDeviation": np.sqrt(variance),
        "Uniformity": (p * p).sum(),
        "Variance": np.sqrt(variance) ** 2,
    }


def _quantile(ranked: np.ndarray, share: float) -> float:
    """Linear interpolation between order statistics, rounding as numpy.quantile does."""
    place = share * (len(ranked) - 1)
    below = int(place)
    low, high = ranked[below], ranked[min(below + 1, len(ranked) - 1)]
    t = place - below
    return high - (high - low) * (1 - t) if t >= 0.5 else low + (high - low) * t
