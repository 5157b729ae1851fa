"""What one hospital may say of a model: figures of all its patients together, and no group below five.

Counts below five are left out. What is counted at a decision threshold is left out as well when it, its
complement, or its difference to another threshold that is stated holds fewer than five patients: the
net benefit and the numbers of patients give all of them by subtraction. The figures are what a
meta-analysis needs (Debray et al., BMJ 2017;356:i6460): the logit of the AUC, the log of observed over
expected, calibration intercept and slope, each with its standard error.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import logit

from .calibration import EDGE, decision_curve
from .discrimination import checked
from .intervals import auc_newcombe, auc_variance, observed_expected
from .logistic import fit_logistic
from .meta_analysis import Pooled, pool, pool_auc, pool_observed_expected

#: No count of patients below this is stated.
FEWEST = 5
#: Decision thresholds; the first ones stay where too few patients lie between two of them.
THRESHOLDS = (0.5, 0.3, 0.7, 0.4, 0.6, 0.2, 0.8)


@dataclass(frozen=True)
class AucFigure:
    """AUC with Newcombe's 95 % interval and variance, and its logit with standard error.

    An AUC of 0 or 1 is moved inwards by half a pair of patients for its variance and its logit.
    """

    auc: float
    ci_low: float
    ci_high: float
    variance: float
    logit: float
    logit_error: float


@dataclass(frozen=True)
class CalibrationFigure:
    """Intercept and slope of the recalibration on the log-odds, 0 and 1 when right, with standard errors.

    in_the_large: intercept with the slope held at 1. intercept and slope are None where all
    probabilities are equal or part the classes without error.
    """

    intercept: float | None
    intercept_error: float | None
    slope: float | None
    slope_error: float | None
    in_the_large: float
    in_the_large_error: float


@dataclass(frozen=True)
class RatioFigure:
    """Events observed over events expected, and its logarithm with standard error."""

    expected: float
    ratio: float
    log_ratio: float
    log_error: float


@dataclass(frozen=True)
class BenefitFigure:
    """Net benefit of acting from a threshold on, per patient, and the counts that it is made of.

    All are None but the threshold where a count is too small to be stated.
    """

    threshold: float
    net_benefit: float | None = None
    true_positives: int | None = None
    false_positives: int | None = None
    true_negatives: int | None = None
    false_negatives: int | None = None


@dataclass(frozen=True)
class Aggregates:
    """All that one hospital states; None for what is too small to be stated or does not exist.

    events: patients with the outcome; others: those without. left_out: patients of the cohort that could
    not be evaluated. net_benefit: by rising threshold, empty where no class is large enough.
    """

    patients: int | None
    events: int | None
    others: int | None
    left_out: int | None
    auc: AucFigure | None = None
    calibration: CalibrationFigure | None = None
    observed_expected: RatioFigure | None = None
    brier: float | None = None
    net_benefit: tuple[BenefitFigure, ...] = ()


def aggregate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    ranking: np.ndarray,
    left_out: int = 0,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Aggregates:
    """The figures of patients with labels (n,), probabilities (n,) and the scores (n,) that rank them.

    thresholds: in the order in which they are kept where not all can be stated. Below five patients of a
    class only the number of patients is stated. Raises TrainingError for arrays that do not belong
    together and probabilities outside 0 to 1.
    """
    labels, probabilities = checked(labels, probabilities, each_class=0)
    events, n = int(labels.sum()), len(labels)
    if min(events, n - events) < FEWEST:
        return Aggregates(stated(n), None, None, stated(left_out))
    return Aggregates(
        patients=n,
        events=events,
        others=n - events,
        left_out=stated(left_out),
        auc=_auc(labels, ranking),
        calibration=_calibration(labels, probabilities),
        observed_expected=_ratio(labels, probabilities),
        brier=float(np.mean((probabilities - labels) ** 2)),
        net_benefit=_net_benefit(labels, probabilities, thresholds),
    )


def stated(count: int) -> int | None:
    """The count, or None below five; nought is below five as well."""
    return count if count >= FEWEST else None


def _auc(labels: np.ndarray, ranking: np.ndarray) -> AucFigure | None:
    found = auc_newcombe(labels, ranking)
    if found.ci_low is None:
        return None
    classes = found.responders, found.others
    alone = pool_auc([found.auc], [classes[0]], [classes[1]])
    inside = float(alone.values[0])
    variance = auc_variance(inside, *classes)
    return AucFigure(found.auc, found.ci_low, found.ci_high, variance, float(logit(inside)), alone.error)


def _calibration(labels: np.ndarray, probabilities: np.ndarray) -> CalibrationFigure:
    linear = logit(np.clip(probabilities, EDGE, 1 - EDGE))
    ones = np.ones((len(labels), 1))
    large = fit_logistic(ones, labels, offset=linear)
    figures: tuple[float | None, ...] = (None,) * 4
    if np.ptp(linear) > 1e-12:
        fit = fit_logistic(np.column_stack([ones, linear]), labels)
        if not fit.separated:
            pairs = zip(fit.coefficients, fit.errors, strict=True)
            figures = tuple(float(value) for pair in pairs for value in pair)
    return CalibrationFigure(*figures, float(large.coefficients[0]), float(large.errors[0]))


def _ratio(labels: np.ndarray, probabilities: np.ndarray) -> RatioFigure | None:
    found = observed_expected(labels, probabilities)
    if found.ratio is None:
        return None
    return RatioFigure(found.expected, found.ratio, float(np.log(found.ratio)), found.log_error)


def _net_benefit(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: Sequence[float]
) -> tuple[BenefitFigure, ...]:
    kept: list[float] = []
    for threshold in thresholds:
        if _smallest_group(labels, probabilities, [*kept, threshold]) >= FEWEST:
            kept.append(threshold)
    shown = [_benefit(labels, probabilities, t) if t in kept else BenefitFigure(t) for t in thresholds]
    return tuple(sorted(shown, key=lambda figure: figure.threshold))


def _smallest_group(labels: np.ndarray, probabilities: np.ndarray, thresholds: Iterable[float]) -> int:
    """Patients in the smallest group that the counts at these thresholds give by subtraction."""
    edges = [-np.inf, *sorted(thresholds), np.inf]
    return min(
        int(((probabilities >= low) & (probabilities < high) & (labels == label)).sum())
        for low, high in pairwise(edges)
        for label in (0, 1)
    )


def _benefit(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> BenefitFigure:
    acts, responds = probabilities >= threshold, labels == 1
    groups = acts & responds, acts & ~responds, ~acts & ~responds, ~acts & responds
    gain = float(decision_curve(labels, probabilities, [threshold]).model[0])
    return BenefitFigure(threshold, gain, *(int(group.sum()) for group in groups))


def combine(hospitals: Sequence[Aggregates]) -> dict[str, Pooled]:
    """Name of a figure -> its random-effects mean over the hospitals that state it.

    Names: auc, observed_expected, in_the_large, slope. A figure that fewer than two hospitals state is
    not there. `Pooled.values` are in the order of `stating`.
    """
    found = {name: [hospitals[k] for k in stating(hospitals, name)] for name in FIGURES}
    return {name: _POOL[name](those) for name, those in found.items() if len(those) > 1}


def stating(hospitals: Sequence[Aggregates], figure: str) -> list[int]:
    """Positions of the hospitals that state a figure."""
    part, field = FIGURES[figure]
    parts = (getattr(hospital, part) for hospital in hospitals)
    return [k for k, of in enumerate(parts) if of is not None and getattr(of, field) is not None]


def _pool_auc(hospitals: Sequence[Aggregates]) -> Pooled:
    aucs = [h.auc.auc for h in hospitals]
    variances = [h.auc.variance for h in hospitals]
    return pool_auc(aucs, [h.events for h in hospitals], [h.others for h in hospitals], variances)


def _pool_ratio(hospitals: Sequence[Aggregates]) -> Pooled:
    expected = [h.observed_expected.expected for h in hospitals]
    return pool_observed_expected([h.events for h in hospitals], expected, [h.patients for h in hospitals])


def _pool_calibration(hospitals: Sequence[Aggregates], name: str) -> Pooled:
    found = [h.calibration for h in hospitals]
    errors = np.array([getattr(c, f"{name}_error") for c in found])
    return pool([getattr(c, name) for c in found], errors**2)


#: Figure -> the part of `Aggregates` that states it, and the field.
FIGURES = {
    "auc": ("auc", "auc"),
    "observed_expected": ("observed_expected", "ratio"),
    "in_the_large": ("calibration", "in_the_large"),
    "slope": ("calibration", "slope"),
}
_POOL = {
    "auc": _pool_auc,
    "observed_expected": _pool_ratio,
    "in_the_large": lambda hospitals: _pool_calibration(hospitals, "in_the_large"),
    "slope": lambda hospitals: _pool_calibration(hospitals, "slope"),
}
