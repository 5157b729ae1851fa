"""Intervals that cover in small centres: of the AUC, and of observed over expected responders.

DeLong's interval of the AUC does not cover near 1 and in small centres. Newcombe's method 5 (Stat Med
2006;25:559) does; it is for the AUC what Wilson's interval is for a share: the bounds are those true
AUCs from which the observed one is just z standard errors away, and the standard error is that of
the bound, not of the observation. So the interval never leaves 0 to 1 and keeps a width at an AUC
of 1. It holds for a fixed score on new patients; the variance of training is not in it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import listed, tr

from .discrimination import checked, proportion, responders_and_others

#: With fewer patients of a class than this, neither an AUC nor an interval is stated.
FEWEST_FOR_AUC = 5


@dataclass(frozen=True)
class AucInterval:
    """An AUC with its interval, or the reason why there is none.

    auc: None below five patients of a class. ci_low, ci_high: also None when every patient has the
    same score, since the AUC is then 0.5 by definition. responders, others: patients of each class.
    level: for example 0.95. reason: why something is None, else empty.
    """

    auc: float | None
    ci_low: float | None
    ci_high: float | None
    responders: int
    others: int
    level: float
    reason: str = ""


def auc_newcombe(labels: np.ndarray, scores: np.ndarray, level: float = 0.95) -> AucInterval:
    """AUC of scores (n,) for labels (n,), ties counting half, with the interval of Newcombe's method 5.

    A class may be small or missing: the answer then holds no AUC and says why. Raises TrainingError
    for labels that are not 0 or 1 and for scores that are not finite.
    """
    labels, scores = checked(labels, scores, each_class=0)
    responders = int(labels.sum())
    others = len(labels) - responders
    if min(responders, others) < FEWEST_FOR_AUC:
        reason = tr("fewer than {n} patients of a class", n=FEWEST_FOR_AUC)
        return AucInterval(None, None, None, responders, others, level, reason)
    ranks = stats.rankdata(scores)[labels == 1].sum()
    auc = float((ranks - responders * (responders + 1) / 2) / (responders * others))
    if np.ptp(scores) == 0:
        reason = tr("every patient has the same score")
        return AucInterval(auc, None, None, responders, others, level, reason)
    return AucInterval(auc, *newcombe_bounds(auc, responders, others, level), responders, others, level)


def newcombe_bounds(auc: float, responders: int, others: int, level: float = 0.95) -> tuple[float, float]:
    """Lower and upper bound of an observed AUC by Newcombe's method 5.

    Raises TrainingError for an AUC outside 0 to 1 or a class without patients.
    """
    if not 0 <= auc <= 1 or min(responders, others) < 1:
        raise TrainingError(
            tr("no interval belongs to this AUC"),
            field="auc",
            expected=tr("an AUC from 0 to 1 and patients of both classes"),
            received=listed((tr("AUC {auc:g}", auc=auc), responders_and_others(responders, others))),
        )
    # The variance is the same at 1 - AUC, so the upper bound is the lower one of the turned score.
    lower = _lower_bound(auc, responders, others, level)
    return lower, 1 - _lower_bound(1 - auc, responders, others, level)


def auc_variance(auc: float, responders: float, others: float) -> float:
    """Variance of an observed AUC whose true value is `auc` (Newcombe 2006, methods 4 and 5).

    Hanley & McNeil's formula (Radiology 1982;143:29) with both class sizes less 1 replaced by their
    mean, n/2 - 1, which makes it the same for a score and for the score turned round.
    """
    spread = (responders + others) / 2 - 1
    concordance = (1 - auc) / (2 - auc) + auc / (1 + auc)
    return auc * (1 - auc) * (1 + spread * concordance) / (responders * others)


def _lower_bound(auc: float, responders: int, others: int, level: float) -> float:
    if auc <= 0:
        return 0.0
    z = stats.norm.ppf(0.5 + level / 2)
    excess = lambda true: auc - true - z * np.sqrt(auc_variance(true, responders, others))
    # Just below the AUC itself: at 1 the variance vanishes and the equation has a second root there.
    return float(brentq(excess, 0.0, auc * (1 - 1e-12), xtol=1e-13))


@dataclass(frozen=True)
class ObservedExpected:
    """Responders that were observed over those that the probabilities let expect; 1 when right on average.

    ratio: None when nothing was expected. ci_low, ci_high: Wilson's interval of the observed share
    over the expected share, which is taken as fixed. log_error: standard error of log(ratio) for a
    meta-analysis, sqrt((1 - share) / observed) (Debray et al., BMJ 2017;356:i6460), None without
    observed responders. observed: responders; expected: sum of the probabilities.
    """

    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    log_error: float | None
    observed: int
    expected: float
    patients: int


def observed_expected(labels: np.ndarray, probabilities: np.ndarray, level: float = 0.95) -> ObservedExpected:
    """Observed over expected responders of labels (n,) and probabilities (n,); one class alone is allowed."""
    labels, probabilities = checked(labels, probabilities, each_class=0)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise TrainingError(tr("a probability is outside 0 to 1"), field="probabilities")
    observed, expected, n = int(labels.sum()), float(probabilities.sum()), len(labels)
    share = proportion(observed, n, level)
    log_error = float(np.sqrt((1 - observed / n) / observed)) if observed else None
    if expected == 0:
        return ObservedExpected(None, None, None, log_error, observed, expected, n)
    ratio, low, high = (part * n / expected for part in (share.estimate, share.ci_low, share.ci_high))
    return ObservedExpected(ratio, low, high, log_error, observed, expected, n)
