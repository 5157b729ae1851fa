"""How well scores tell responders from the others: arrays in, frozen dataclasses out.

Every function takes labels (n,), 1 for a responder and 0 otherwise, and scores (n,), higher
meaning response more likely; the direction is never guessed from the data, and a score that is
worse than chance has an AUC below one half. AUC, its variance and the paired test follow DeLong et
al., Biometrics 1988;44:837, by midranks (Sun & Xu, IEEE Signal Process Lett 2014;21:1389), and
equal R's pROC. Problems with the arrays are TrainingErrors with the name of the fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import listed, several, tr


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve with DeLong's variance and confidence interval, cut to 0..1.

    mann_whitney_p: two-sided p against an AUC of one half, normal approximation with ties, without
    continuity correction; 1 for a constant score. n, responders: patients. constant: every patient
    has the same score, so that the area is 0.5 by definition and says nothing.
    """

    auc: float
    variance: float
    ci_low: float
    ci_high: float
    mann_whitney_p: float
    n: int
    responders: int
    constant: bool = False


def auc_delong(labels: np.ndarray, scores: np.ndarray, level: float = 0.95) -> Auc:
    """AUC of the scores with DeLong's interval; ties count half. Needs two patients of each class.

    >>> auc_delong([0, 0, 1, 1], [1, 2, 2, 3]).auc
    0.875
    """
    labels, scores = checked(labels, scores, each_class=2)
    auc, variance = _delong(labels, scores[None])
    margin = stats.norm.ppf(0.5 + level / 2) * np.sqrt(variance[0, 0])
    return Auc(
        auc=float(auc[0]),
        variance=float(variance[0, 0]),
        ci_low=float(max(0.0, auc[0] - margin)),
        ci_high=float(min(1.0, auc[0] + margin)),
        mann_whitney_p=_mann_whitney_p(labels, scores),
        n=len(labels),
        responders=int(labels.sum()),
        constant=bool(np.ptp(scores) == 0),
    )


def _delong(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs (m,) of scores (m, n) and their covariance (m, m)."""
    responder = labels == 1
    positives, negatives = scores[:, responder], scores[:, ~responder]
    m, n = positives.shape[1], negatives.shape[1]
    everyone = stats.rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    above = (everyone[:, :m] - stats.rankdata(positives, axis=1)) / n
    below = 1 - (everyone[:, m:] - stats.rankdata(negatives, axis=1)) / m
    covariance = np.cov(above) / m + np.cov(below) / n
    return above.mean(axis=1), np.atleast_2d(covariance)


def _mann_whitney_p(labels: np.ndarray, scores: np.ndarray) -> float:
    if np.ptp(scores) == 0:
        return 1.0
    responder = labels == 1
    test = stats.mannwhitneyu(
        scores[responder], scores[~responder], use_continuity=False, method="asymptotic"
    )
    return float(test.pvalue)


@dataclass(frozen=True)
class AucDifference:
    """DeLong's paired test of two scores on the same patients.

    difference: AUC of `first` minus AUC of `second`, with its confidence interval. z is the
    difference over its standard error, 0 when the scores rank alike; p two-sided; p_adjusted after
    Holm when several pairs were tested together, else equal to p.
    """

    first: str
    second: str
    difference: float
    ci_low: float
    ci_high: float
    z: float
    p: float
    p_adjusted: float


def paired_delong(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    names: tuple[str, str] = ("first", "second"),
    level: float = 0.95,
) -> AucDifference:
    """Compare the AUCs of two scores of the same patients."""
    labels, first = checked(labels, first, each_class=2)
    labels, second = checked(labels, second, each_class=2)
    auc, covariance = _delong(labels, np.stack([first, second]))
    difference = float(auc[0] - auc[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = float(np.sqrt(max(0.0, variance)))
    if error <= 1e-12:
        # Both rank every pair alike (difference 0), or differ without any scatter to judge it by.
        z = 0.0 if abs(difference) < 1e-12 else float(np.copysign(np.inf, difference))
    else:
        z = difference / error
    p = float(2 * stats.norm.sf(abs(z)))
    margin = stats.norm.ppf(0.5 + level / 2) * error
    return AucDifference(*names, difference, difference - margin, difference + margin, z, p, p)


def compare_all(
    labels: np.ndarray, scores: Mapping[str, np.ndarray], level: float = 0.95
) -> tuple[AucDifference, ...]:
    """Every pair of the named scores by DeLong's test, with p-values adjusted after Holm."""
    pairs = [paired_delong(labels, scores[a], scores[b], (a, b), level) for a, b in combinations(scores, 2)]
    adjusted = holm(np.array([pair.p for pair in pairs]))
    return tuple(
        AucDifference(**{**vars(pair), "p_adjusted": float(p)})
        for pair, p in zip(pairs, adjusted, strict=True)
    )


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (m,) adjusted for m tests (Holm, Scand J Stat 1979;6:65), in the order given."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


@dataclass(frozen=True)
class RocCurve:
    """Points of the ROC curve from (0, 0) to (1, 1).

    thresholds: (k,) descending from +inf to -inf, midpoints between neighbouring scores; a patient
    is called a responder when the score is above the threshold. sensitivity, specificity: (k,).
    """

    thresholds: np.ndarray
    sensitivity: np.ndarray
    specificity: np.ndarray


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> RocCurve:
    """The empirical ROC curve; tied scores make one step, which is then oblique."""
    labels, scores = checked(labels, scores)
    values, place = np.unique(scores, return_inverse=True)
    responders = np.bincount(place, weights=labels == 1)[::-1].cumsum()
    others = np.bincount(place, weights=labels == 0)[::-1].cumsum()
    middles = values[:-1] + np.diff(values) / 2
    # Between two neighbouring floats there is none: the lower one then parts them under `>`.
    middles = np.where(middles < values[1:], middles, values[:-1])
    return RocCurve(
        thresholds=np.r_[np.inf, middles[::-1], -np.inf],
        sensitivity=np.r_[0.0, responders / responders[-1]],
        specificity=1 - np.r_[0.0, others / others[-1]],
    )


def youden_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the largest sensitivity + specificity - 1 (Youden); the lowest of equal ones.

    Raises TrainingError when the score is constant, since no threshold then parts anybody.
    """
    labels, scores = checked(labels, scores)
    if np.ptp(scores) == 0:
        raise TrainingError(
            tr("a constant score has no threshold"),
            field="scores",
            received=tr("{score:g} for everybody", score=scores[0]),
        )
    curve = roc_curve(labels, scores)
    index = (curve.sensitivity + curve.specificity)[1:-1]
    best = np.flatnonzero(index >= index.max() - 1e-12)[-1]
    return float(curve.thresholds[1 + best])


@dataclass(frozen=True)
class Proportion:
    """A share with its Wilson score interval; estimate and bounds are None when nobody is counted."""

    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    count: int
    total: int


def proportion(count: int, total: int, level: float = 0.95) -> Proportion:
    """`count` of `total` with Wilson's interval (J Am Stat Assoc 1927;22:209)."""
    if total == 0:
        return Proportion(None, None, None, 0, 0)
    z = stats.norm.ppf(0.5 + level / 2)
    share, shrunk = count / total, 1 + z**2 / total
    centre = (share + z**2 / (2 * total)) / shrunk
    margin = z / shrunk * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    low, high = max(0.0, centre - margin), min(1.0, centre + margin)
    return Proportion(float(share), float(low), float(high), int(count), int(total))


@dataclass(frozen=True)
class Operating:
    """What a threshold does: a patient whose score is above it is called a responder."""

    threshold: float
    sensitivity: Proportion
    specificity: Proportion
    ppv: Proportion
    npv: Proportion
    accuracy: Proportion
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int


def at_threshold(labels: np.ndarray, scores: np.ndarray, threshold: float, level: float = 0.95) -> Operating:
    """Sensitivity, specificity, predictive values and accuracy at a threshold fixed elsewhere.

    A cohort of one class is allowed here: what cannot be counted is a Proportion of 0 patients.
    """
    labels, scores = checked(labels, scores, each_class=0)
    return when_called(labels, scores > threshold, threshold, level)


def when_called(labels: np.ndarray, called: np.ndarray, threshold: float, level: float = 0.95) -> Operating:
    """The same for patients (n,) who are called responders where `called` (n,) is True.

    threshold: what is said of it; where each fold had its own, that of the whole cohort.
    """
    responder = labels == 1
    tp, fp = int((called & responder).sum()), int((called & ~responder).sum())
    tn, fn = int((~called & ~responder).sum()), int((~called & responder).sum())
    return Operating(
        threshold=float(threshold),
        sensitivity=proportion(tp, tp + fn, level),
        specificity=proportion(tn, tn + fp, level),
        ppv=proportion(tp, tp + fp, level),
        npv=proportion(tn, tn + fn, level),
        accuracy=proportion(tp + tn, len(labels), level),
        true_positive=tp,
        false_positive=fp,
        true_negative=tn,
        false_negative=fn,
    )


def checked(labels: np.ndarray, scores: np.ndarray, each_class: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels as 0/1 integers and scores as floats, or a TrainingError that names the fault.

    each_class: how many patients of each class the question needs; a variance needs two.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    if labels.ndim != 1 or labels.shape != scores.shape or labels.size == 0:
        raise TrainingError(
            tr("labels and scores do not belong together"),
            expected=tr("one label and one score a patient"),
            received=tr("{labels} labels, {scores} scores", labels=labels.size, scores=scores.size),
        )
    if not np.isin(labels, (0, 1)).all():
        raise TrainingError(tr("a label is neither 0 nor 1"), field="label", received=str(np.unique(labels)))
    missing = int((~np.isfinite(scores)).sum())
    if missing:
        raise TrainingError(
            tr("a score is not a finite number"),
            field="scores",
            received=tr("{n} of {total}", n=missing, total=scores.size),
        )
    labels = labels.astype(int)
    others, responders = np.bincount(labels, minlength=2)
    if min(others, responders) < each_class:
        raise TrainingError(
            tr("a class has a single patient" if min(others, responders) else "only one class is present"),
            field="label",
            expected=tr("at least {n} responders and {n} others", n=each_class),
            received=responders_and_others(responders, others),
        )
    return labels, scores


def responders_and_others(responders: int, others: int) -> str:
    """ "3 responders, 1 other"."""
    counts = (several(responders, "1 responder", "{n} responders"), several(others, "1 other", "{n} others"))
    return listed(counts)
