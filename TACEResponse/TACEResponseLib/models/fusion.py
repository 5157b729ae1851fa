"""Late fusion: several models' scores into one probability, and one score into a probability.

The paper adds up a CNN and a radiomics model and does not say how. Here it is logistic stacking
(Wolpert, Neural Networks 1992;5:241) on out-of-fold scores, with the mean of calibrated
probabilities as the second choice. Scores must come from patients that the model had not seen:
on its own training patients a forest is right every time, and the fusion would believe it.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from TACEResponseLib.errors import BundleError, SettingsError, TrainingError
from TACEResponseLib.statistics.logistic import fit_logistic

#: Penalty lambda / 2 * slope**2 on standardised scores: as much evidence as a few patients, enough
#: for finite slopes when the scores separate the classes, and for shared slopes when they agree.
RIDGE = 1.0
#: Least slope on a standardised score. A higher score means response, whatever a sample says: where
#: scores are noise a free slope may turn them around, and with them the model that is shipped.
LEAST_SLOPE = 1e-3


@dataclass(frozen=True)
class Fusion:
    """A fitted fusion of m scores, in numbers that fit into JSON.

    means, scales: (m,) that standardise the scores. slopes: (m,) on standardised scores.
    intercepts: one for `stacking`; m for `mean`, one for each member's own calibration.
    """

    method: Literal["stacking", "mean"]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities (n,) of response from scores (n, m), or (n,) for a single member."""
        scores = _matrix(scores)
        if scores.shape[1] != len(self.means):
            raise SettingsError(
                "a fusion was given another number of scores than it was fitted on",
                expected=str(len(self.means)),
                received=str(scores.shape[1]),
            )
        terms = (scores - self.means) / self.scales * self.slopes
        if self.method == "mean":
            return expit(terms + self.intercepts).mean(axis=1)
        return expit(terms.sum(axis=1) + self.intercepts[0])

    def to_json(self) -> dict:
        """A dictionary of JSON types that `from_json` turns back into an equal object."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, content: dict) -> "Fusion":
        """A fusion from its dictionary; BundleError when a part is missing or no number."""
        try:
            numbers = {
                name: tuple(float(v) for v in content[name])
                for name in ("means", "scales", "slopes", "intercepts")
            }
            fusion = cls(method=content["method"], **numbers)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError("a fusion cannot be read", file="fusion.json", received=repr(error)) from None
        members = len(fusion.means)
        intercepts = {"stacking": 1, "mean": members}.get(fusion.method)
        whole = members > 0 and {members} == {len(fusion.scales), len(fusion.slopes)}
        if not whole or len(fusion.intercepts) != intercepts or not np.all(np.array(fusion.scales) > 0):
            raise BundleError("the parts of a fusion do not belong together", file="fusion.json")
        return fusion


def fit_fusion(
    scores: np.ndarray, labels: np.ndarray, method: str = "stacking", *, any_direction: bool = False
) -> Fusion:
    """Fit a fusion on out-of-fold scores (n, m) of m models and labels (n,), 1 for a responder.

    stacking: one logistic model of all standardised scores, slopes shrunk by RIDGE, so that a
    perfect separation gives large and finite slopes, and none below LEAST_SLOPE (non-negative
    stacking: Breiman, Machine Learning 1996;24:49) unless `any_direction`. mean: each score is
    calibrated by `platt`, the probabilities are averaged; this also serves scores that are no
    probabilities.

    Raises TrainingError for one class, a score that is not a finite number or does not vary.
    """
    scores = _matrix(scores)
    means, scales = scores.mean(axis=0), scores.std(axis=0)
    _check(scores, labels, scales)
    standard = (scores - means) / scales
    if method == "stacking":
        intercepts, slopes = _ridge(standard, labels, any_direction)
    elif method == "mean":
        single = [_ridge(column[:, None], labels, any_direction) for column in standard.T]
        intercepts = [value for first, _ in single for value in first]
        slopes = [value for _, rest in single for value in rest]
    else:
        raise SettingsError(
            "no fusion method has this name", field="method", expected="stacking, mean", received=str(method)
        )
    numbers = (means, scales, slopes, intercepts)
    return Fusion(method, *(tuple(float(v) for v in values) for values in numbers))


def platt(scores: np.ndarray, labels: np.ndarray) -> Fusion:
    """The calibration (Platt 1999) that turns one model's out-of-fold scores (n,) into probabilities."""
    return fit_fusion(scores, labels, "stacking")


def _ridge(standard: np.ndarray, labels: np.ndarray, any_direction: bool) -> tuple[np.ndarray, np.ndarray]:
    """Intercept (1,) and slopes (m,) of the penalised logistic model; the intercept is free.

    Slopes that come out below the least one are set to it, the lowest first, and the rest is fitted
    again beside them.
    """
    slopes = np.full(standard.shape[1], LEAST_SLOPE)
    free = np.ones(standard.shape[1], dtype=bool)
    while True:
        design = np.column_stack([np.ones(len(standard)), standard[:, free]])
        held = standard[:, ~free] @ slopes[~free]
        ridge = np.r_[0.0, np.full(free.sum(), RIDGE)]
        fit = fit_logistic(design, labels, offset=held, ridge=ridge)
        slopes[free] = fit.coefficients[1:]
        lowest = int(np.argmin(np.where(free, slopes, np.inf)))
        if any_direction or not free.any() or slopes[lowest] >= LEAST_SLOPE:
            return fit.coefficients[:1], slopes
        free[lowest], slopes[lowest] = False, LEAST_SLOPE


def _matrix(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    return scores[:, None] if scores.ndim == 1 else scores


def _check(scores: np.ndarray, labels: np.ndarray, scales: np.ndarray) -> None:
    if len(scores) != len(labels):
        raise TrainingError(
            "scores and labels do not belong together",
            expected=f"{len(labels)} patients",
            received=f"{len(scores)} scores",
        )
    if not np.isfinite(scores).all():
        raise TrainingError("a score is not a finite number", field="scores")
    if (scales <= 1e-12 * np.abs(scores).max(axis=0)).any():
        raise TrainingError(
            "a model gives every patient the same score, which cannot be fused",
            field="scores",
            received=f"member {int(np.argmin(scales)) + 1} of {len(scales)}",
            remedy="leave this model out",
        )
