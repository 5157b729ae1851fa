"""Late fusion: several models' scores into one probability, and one score into a probability.

The paper adds up a CNN and a radiomics model and does not say how. Here every model is calibrated by
itself, the log-odds are averaged, and one slope is fitted for the average; `stacking` fits a slope a
model instead (Wolpert, Neural Networks 1992;5:241), `mean` averages the probabilities. Scores must
come from patients that the model had not seen: on its own training patients a forest is right every
time, and the fusion would believe it.

The models of two folds give scores of another level. Pooled, that difference counts as noise and
flattens the slope, so that the model that is shipped comes out too timid. So each group of scores that
one model gave has an intercept of its own while slopes are fitted (the conditional slope of a
stratified logistic model: Breslow & Day, Statistical Methods in Cancer Research, 1980, chapter 6); one
intercept for everybody is fitted afterwards, with which the mean probability is the share of
responders.

A linear model may give a patient who is unlike the others a score far away from all others. One such
score would flatten the slope for everybody, so a score counts at most as Tukey's outer fence while
curves are fitted (Exploratory Data Analysis, 1977). The curve itself has no fence.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from TACEResponseLib.messages.errors import BundleError, SettingsError, TrainingError
from TACEResponseLib.messages.language import listed, tr

from .logistic import fit_intercept, fit_logistic

#: Penalty lambda / 2 * slope**2 on a standardised score: for one model as little as makes the slope
#: finite where its scores separate the classes; for a fusion more, since its models were fitted, too.
RIDGE_OF_ONE, RIDGE_OF_FUSED = 0.25, 1.0
#: Penalty on the intercept of a group: enough for a finite one where its patients are of one class.
RIDGE_OF_INTERCEPTS = 0.05
#: Least slope on a standardised score. A higher score means response, whatever a sample says: where
#: scores are noise a free slope may turn them around, and with them the model that is shipped.
LEAST_SLOPE = 1e-3
#: Interquartile ranges beyond the quartiles at which a score is as far away as it counts.
OUTER_FENCE = 3.0


@dataclass(frozen=True)
class Fusion:
    """A fitted fusion of m scores, in numbers that fit into JSON.

    means, scales: (m,) that standardise the scores. slopes: (m,) on standardised scores.
    intercepts: one for `stacking` (and for an average of log-odds, which is a stacking with other slopes);
    m for `mean`, one for each member's own calibration.
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
                tr("a fusion was given another number of scores than it was fitted on"),
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
            raise BundleError(
                tr("a fusion cannot be read"), file="fusion.json", received=repr(error)
            ) from None
        members = len(fusion.means)
        intercepts = {"stacking": 1, "mean": members}.get(fusion.method)
        whole = members > 0 and {members} == {len(fusion.scales), len(fusion.slopes)}
        if not whole or len(fusion.intercepts) != intercepts or not np.all(np.array(fusion.scales) > 0):
            raise BundleError(tr("the parts of a fusion do not belong together"), file="fusion.json")
        return fusion


def fit_calibration(scores: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> Fusion:
    """Calibrate one model on scores (n,) of patients that it had not seen (Platt 1999); labels (n,) 0/1.

    groups: (n,) which model scored a patient, such as its fold; one group when None. The slope is
    never below LEAST_SLOPE: a calibration keeps the order of patients. Raises as `fit_fusion`.
    """
    return _stacked(*_standardised(_matrix(scores), labels, groups), ridge=RIDGE_OF_ONE)


def fit_falling_curve(values: np.ndarray, labels: np.ndarray) -> Fusion:
    """A logistic model of one measured number (n,) with which response falls, such as a diameter.

    The direction is known before and not learned: a sign that a few patients decide turns the whole
    ranking around, and no variance that is estimated from such patients counts it. The slope on the
    standardised number is -LEAST_SLOPE where the patients say the contrary.
    """
    standard, labels, _, means, scales = _standardised(_matrix(values), labels, None, fenced=False)
    design = np.column_stack([np.ones(len(standard)), standard])
    fit = fit_logistic(design, labels, ridge=np.array([0.0, RIDGE_OF_FUSED]))
    intercept, slope = map(float, fit.coefficients)
    if slope > -LEAST_SLOPE:
        slope = -LEAST_SLOPE
        intercept = fit_intercept(labels, slope * standard[:, 0])
    return Fusion("stacking", (float(means[0]),), (float(scales[0]),), (slope,), (intercept,))


def fit_fusion(
    scores: np.ndarray, labels: np.ndarray, method: str = "average", groups: np.ndarray | None = None
) -> Fusion:
    """Fit a fusion on scores (n, m) of m models by patients they had not seen, and labels (n,) 0/1.

    average: each model calibrated alone, log-odds averaged, one slope for the average. stacking: a slope
    a model at once. mean: each model calibrated alone, probabilities averaged. groups: as in
    `fit_calibration`. No slope is below LEAST_SLOPE (non-negative stacking: Breiman, Machine Learning
    1996;24:49).

    Raises TrainingError for one class, a score that is not a finite number or does not vary,
    SettingsError for another method.
    """
    scores = _matrix(scores)
    standard, labels, groups, means, scales = _standardised(scores, labels, groups)
    if scores.shape[1] == 1:
        return fit_calibration(scores, labels, groups)
    if method == "stacking":
        return _stacked(standard, labels, groups, means, scales, ridge=RIDGE_OF_FUSED)
    if method == "mean":
        alone = [fit_calibration(column, labels, groups) for column in scores.T]
        parts = zip(*((f.means[0], f.scales[0], f.slopes[0], f.intercepts[0]) for f in alone), strict=True)
        return Fusion("mean", *(tuple(part) for part in parts))
    if method != "average":
        raise SettingsError(
            tr("no fusion method has this name"),
            field="method",
            expected=listed(("average", "stacking", "mean")),
            received=str(method),
        )
    alone = np.array([_slopes(column[:, None], labels, groups, RIDGE_OF_FUSED)[0] for column in standard.T])
    averaged = standard @ alone
    common = _stacked(*_standardised(averaged[:, None], labels, groups), ridge=RIDGE_OF_FUSED)
    slopes = alone * common.slopes[0] / common.scales[0]
    return _fusion_of(means, scales, slopes, fit_intercept(labels, standard @ slopes))


def _stacked(
    standard: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    means: np.ndarray,
    scales: np.ndarray,
    *,
    ridge: float,
) -> Fusion:
    slopes = _slopes(standard, labels, groups, ridge)
    return _fusion_of(means, scales, slopes, fit_intercept(labels, standard @ slopes))


def _fusion_of(means: np.ndarray, scales: np.ndarray, slopes: np.ndarray, intercept: float) -> Fusion:
    numbers = (means, scales, slopes)
    return Fusion("stacking", *(tuple(map(float, values)) for values in numbers), (intercept,))


def _slopes(standard: np.ndarray, labels: np.ndarray, groups: np.ndarray, ridge: float) -> np.ndarray:
    """(m,) slopes beside an intercept a group; none below LEAST_SLOPE.

    Slopes that come out below it are set to it, the lowest first, and the rest is fitted again.
    """
    levels = (groups[:, None] == np.unique(groups)).astype(float)
    # Less their group's mean, so that the small penalty on the intercepts has no say in the slopes.
    standard = standard - levels @ (levels.T @ standard / levels.sum(axis=0)[:, None])
    slopes = np.full(standard.shape[1], LEAST_SLOPE)
    free = np.ones(standard.shape[1], dtype=bool)
    while free.any():
        design = np.column_stack([standard[:, free], levels])
        penalty = np.r_[np.full(free.sum(), ridge), np.full(levels.shape[1], RIDGE_OF_INTERCEPTS)]
        fit = fit_logistic(design, labels, offset=standard[:, ~free] @ slopes[~free], ridge=penalty)
        slopes[free] = fit.coefficients[: free.sum()]
        lowest = int(np.argmin(np.where(free, slopes, np.inf)))
        if slopes[lowest] >= LEAST_SLOPE:
            break
        free[lowest], slopes[lowest] = False, LEAST_SLOPE
    return slopes


def _standardised(
    scores: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, *, fenced: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Standard scores (n, m), labels, groups, and the means (m,) and scales (m,) within groups.

    fenced: whether scores count at most as the outer fences; what was measured counts as it is.
    """
    labels = np.asarray(labels)
    groups = np.zeros(len(scores), dtype=int) if groups is None else np.asarray(groups)
    _check(scores, labels)
    scores = _within_fences(scores, groups) if fenced else scores
    means = scores.mean(axis=0)
    deviations = np.concatenate(
        [scores[groups == g] - scores[groups == g].mean(axis=0) for g in np.unique(groups)]
    )
    scales = np.sqrt((deviations**2).mean(axis=0))
    if (scales <= 1e-12 * np.abs(scores).max(axis=0)).any():
        raise TrainingError(
            tr("a model gives every patient the same score, which cannot be fused"),
            field="scores",
            received=tr("member {n} of {total}", n=int(np.argmin(scales)) + 1, total=len(scales)),
            remedy=tr("leave this model out"),
        )
    return (scores - means) / scales, labels, groups, means, scales


def _within_fences(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Scores (n, m) with those beyond the outer fences of their column set to the fence.

    Fences lie around the median of the group: models of two folds give scores of another level.
    """
    medians = np.empty_like(scores)
    for group in np.unique(groups):
        medians[groups == group] = np.median(scores[groups == group], axis=0)
    low, high = np.quantile(scores - medians, (0.25, 0.75), axis=0)
    reach = np.where(high > low, OUTER_FENCE * (high - low), np.inf)  # half the scores may be equal
    return np.clip(scores, medians + low - reach, medians + high + reach)


def _matrix(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    return scores[:, None] if scores.ndim == 1 else scores


def _check(scores: np.ndarray, labels: np.ndarray) -> None:
    if len(scores) != len(labels):
        raise TrainingError(
            tr("scores and labels do not belong together"),
            expected=tr("{n} patients", n=len(labels)),
            received=tr("{n} scores", n=len(scores)),
        )
    if not np.isfinite(scores).all():
        raise TrainingError(tr("a score is not a finite number"), field="scores")
