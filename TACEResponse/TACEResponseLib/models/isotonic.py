"""Isotonic calibration as the rival of Platt's, and the choice between them by data.

A fusion is a logistic model, so its probability is Platt's already. Where the score and the outcome
bend otherwise, centred isotonic regression (Oron & Flournoy, Stat Biopharm Res 2017;9:258) follows
the data: pooled blocks at their mean, straight lines between them, so that order is kept and only
the ends are flat. It is taken when it is better out of sample by more than one standard error,
because a step function that fits a few dozen patients fits their noise too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression
from sklearn.model_selection import StratifiedKFold

from TACEResponseLib.errors import BundleError

#: Parts in which the two are compared, and the fewest patients of a class with which they are.
PARTS, FEWEST = 10, 20


@dataclass(frozen=True)
class Isotonic:
    """A rising curve through (m,) points: probability as fitted -> probability as observed."""

    fitted: tuple[float, ...]
    observed: tuple[float, ...]

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """(n,) -> (n,), flat beyond the first and the last point."""
        return np.interp(probabilities, self.fitted, self.observed)

    def to_json(self) -> dict:
        """Lists of numbers."""
        return {"fitted": list(self.fitted), "observed": list(self.observed)}

    @classmethod
    def from_json(cls, content: Mapping) -> "Isotonic":
        """What `to_json` wrote; BundleError when it is no rising curve."""
        try:
            curve = cls(*(tuple(float(v) for v in content[name]) for name in ("fitted", "observed")))
            rising = all((np.diff(values) >= 0).all() for values in (curve.fitted, curve.observed))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                "a calibration cannot be read", file="fusion.json", received=repr(error)
            ) from None
        if not rising or not curve.fitted or len(curve.fitted) != len(curve.observed):
            raise BundleError("a calibration is no rising curve", file="fusion.json")
        return curve


def fit_isotonic(probabilities: np.ndarray, labels: np.ndarray) -> Isotonic:
    """Centred isotonic regression of labels (n,) on probabilities (n,); never exactly 0 or 1.

    The ends are held away from certainty by one patient more of either kind (Laplace).
    """
    order = np.argsort(probabilities, kind="stable")
    values, first, counts = np.unique(probabilities[order], return_index=True, return_counts=True)
    shares = np.add.reduceat(labels[order].astype(float), first) / counts
    pooled = isotonic_regression(shares, weights=counts)
    blocks = list(pairwise(pooled.blocks))
    at = [np.average(values[a:b], weights=counts[a:b]) for a, b in blocks]
    share = pooled.x[[a for a, _ in blocks]]
    least = 1 / (len(labels) + 2)
    share = np.clip(share, least, 1 - least)
    return Isotonic(tuple(float(v) for v in at), tuple(float(v) for v in share))


def better_isotonic(
    fit_logistic: Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]], labels: np.ndarray, seed: int
) -> Isotonic | None:
    """The isotonic curve when it predicts left-out patients better than Platt's, else None.

    fit_logistic: positions of patients -> a function from positions to fitted probabilities. Both are
    fitted on nine tenths of the patients and compared by log loss on the rest, ten times.
    """
    if np.bincount(labels, minlength=2).min() < FEWEST:
        return None
    gains = np.empty(len(labels))
    parts = StratifiedKFold(PARTS, shuffle=True, random_state=seed)
    for rest, left_out in parts.split(labels, labels):
        fitted = fit_logistic(rest)
        curve = fit_isotonic(fitted(rest), labels[rest])
        plain = fitted(left_out)
        gains[left_out] = _log_loss(plain, labels[left_out]) - _log_loss(curve(plain), labels[left_out])
    if gains.mean() <= gains.std(ddof=1) / np.sqrt(len(gains)):
        return None
    everyone = np.arange(len(labels))
    return fit_isotonic(fit_logistic(everyone)(everyone), labels)


def _log_loss(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    right = np.where(labels == 1, probabilities, 1 - probabilities)
    return -np.log(np.maximum(right, 1e-9))
