"""AUC by cross-validation, with an interval and a test that count the variance of training.

Names of the scores: S_k is trained without fold k and scores fold k; P_kl is trained without the
folds k and l and scores both. A patient is compared only with patients of the same fold, because
only their scores come from one model: the AUC of a fold, averaged over folds and repeats. It
estimates the mean AUC of models trained on (K - 1)/K of such patients (what cross-validation
estimates: Bates, Hastie and Tibshirani, J Am Stat Assoc 2024;119:1434).

Its variance has two parts. The scatter of the tested patients is DeLong's (Biometrics 1988;44:837).
DeLong takes the scores as given; but fold l helped to train the model that is tested on fold k, and
fold k the one that is tested on fold l, so that the two AUCs vary together. What fold l did to the
AUC of fold k is A_k(S_k) - A_k(P_kl). The mean of its product with what fold k did to fold l
estimates the covariance of two folds. On pure noise the covariance of two folds comes to about a
fifth of the variance of one, and DeLong's variance alone is 1.8 times too small; it cannot be
estimated from S alone (Bengio and Grandvalet, J Mach Learn Res 2004;5:1089).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from .discrimination import roc_curve
from .intervals import newcombe_bounds

#: Least covariance of two folds, as a share of the variance of one, for the AUC of one model. The
#: estimate comes from few products, and where it is nought by chance the interval would be too short.
LEAST_COVARIANCE = 0.1


@dataclass(frozen=True)
class WithinFolds:
    """The AUCs of one model inside the folds.

    aucs: (repeats, folds), A_k(S_k). without: (repeats, folds, folds), [k, l] is A_k(P_kl), NaN on the
    diagonal. placements: (n,) share of the other class in the own fold that a patient's score is
    right of, mean over repeats. labels: (n,). single_variance: DeLong's variance with one repeat.
    """

    labels: np.ndarray
    aucs: np.ndarray
    without: np.ndarray
    placements: np.ndarray
    single_variance: float

    @property
    def auc(self) -> float:
        """Mean over folds and repeats."""
        return float(self.aucs.mean())

    @property
    def trained(self) -> bool:
        """Whether any fold changed the AUC of another: not so for a score without training."""
        return bool(np.nanmax(np.abs(self.aucs[:, :, None] - self.without)) > 0)


@dataclass(frozen=True)
class CrossValidatedAuc:
    """AUC with its interval. design_effect: variance over that of a score that nobody trained."""

    auc: float
    ci_low: float
    ci_high: float
    variance: float
    design_effect: float


@dataclass(frozen=True)
class CrossValidatedDifference:
    """AUC of the first minus AUC of the second model, interval, z and two-sided p."""

    difference: float
    ci_low: float
    ci_high: float
    variance: float
    z: float
    p: float


def within_folds(labels: np.ndarray, folds: np.ndarray, out: np.ndarray, inner: np.ndarray) -> WithinFolds:
    """AUCs of a model inside the folds, with and without the help of every other fold.

    labels: (n,) 0/1. folds: (repeats, n) 0 .. K - 1. out: (repeats, n) score of a patient of fold k
    by S_k. inner: (repeats, K, n), [k, i] the score of patient i of fold j by P_jk, NaN for i in fold
    k. Every fold holds both classes.
    """
    repeats, count = inner.shape[:2]
    aucs, without = np.empty((repeats, count)), np.full((repeats, count, count), np.nan)
    placements = np.empty(folds.shape)
    for repeat in range(repeats):
        for fold in range(count):
            here = np.flatnonzero(folds[repeat] == fold)
            others = [other for other in range(count) if other != fold]
            scores = np.vstack([out[repeat, here], inner[repeat][others][:, here]])
            placed = _placements(labels[here], scores)
            of_fold = placed[:, labels[here] == 1].mean(axis=1)
            aucs[repeat, fold], without[repeat, fold, others] = of_fold[0], of_fold[1:]
            placements[repeat, here] = placed[0]
    single = float(np.mean([_scatter(labels, of_repeat) for of_repeat in placements]))
    return WithinFolds(labels, aucs, without, placements.mean(axis=0), single)


def fixed_score(score: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """out (repeats, n) and inner (repeats, K, n) of a score (n,) without training, such as a diameter."""
    count = int(folds.max()) + 1
    out = np.broadcast_to(score, folds.shape)
    own = folds[:, None, :] == np.arange(count)[None, :, None]
    return out, np.where(own, np.nan, score)


def auc_interval(within: WithinFolds, level: float = 0.95) -> CrossValidatedAuc:
    """AUC with an interval after Newcombe's method 5 at the effective number of patients.

    The effective number is the number of each class over the design effect, as in surveys: the
    variance found here over DeLong's for one split.
    """
    folds, single = within.aucs.shape[1], within.single_variance
    share = LEAST_COVARIANCE if within.trained else 0.0
    # The variance of one fold is `folds` times that of their mean in one repeat.
    covariance = max(fold_covariance(within.aucs, within.without), share * folds * single)
    variance = _scatter(within.labels, within.placements) + (folds - 1) / folds * covariance
    effect = variance / single if single > 0 else 1 + (folds - 1) * share
    responders = within.labels.sum()
    others = len(within.labels) - responders
    effect = min(effect, responders, others)  # with less than one patient of a class there is no interval
    low, high = newcombe_bounds(within.auc, responders / effect, others / effect, level)
    return CrossValidatedAuc(within.auc, low, high, float(variance), float(effect))


def auc_difference(first: WithinFolds, second: WithinFolds, level: float = 0.95) -> CrossValidatedDifference:
    """Paired comparison of two models (or fixed scores) on the same patients and folds.

    The covariance of two folds is taken times 4 A (1 - A), A the mean AUC of both: products of
    effects count the general gain from more patients as covariance, the more so the higher the AUC.
    The factor is 1 for noise and was checked by simulation, not derived.
    """
    folds = first.aucs.shape[1]
    difference = first.auc - second.auc
    level_of_both = (first.auc + second.auc) / 2
    covariance = fold_covariance(first.aucs - second.aucs, first.without - second.without)
    direct = _scatter(first.labels, first.placements - second.placements)
    trained = 4 * level_of_both * (1 - level_of_both) * max(covariance, 0.0)
    variance = direct + (folds - 1) / folds * trained
    error = np.sqrt(variance)
    if error <= 1e-12:
        z = 0.0 if abs(difference) < 1e-12 else float(np.copysign(np.inf, difference))
    else:
        z = float(difference / error)
    margin = float(norm.ppf(0.5 + level / 2) * error)
    return CrossValidatedDifference(
        difference, difference - margin, difference + margin, float(variance), z, float(2 * norm.sf(abs(z)))
    )


def fold_covariance(aucs: np.ndarray, without: np.ndarray) -> float:
    """Covariance of the AUCs of two folds through training; may come out negative.

    aucs: (repeats, folds). without: (repeats, folds, folds). Both may be differences of two models.
    """
    effect = aucs[:, :, None] - without
    product = effect * effect.swapaxes(1, 2)
    above = np.triu_indices(aucs.shape[1], 1)
    return float(product[:, above[0], above[1]].mean())


def subgroup_bounds(
    auc: float, responders: int, others: int, share: float, design_effect: float, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the AUC in a part of the cohort (a centre).

    share: patients of the part over all. The variance of training weighs less in a part: two
    patients of the part who helped to train each other's models are the rarer, the smaller it is.
    """
    effect = 1 + (design_effect - 1) * share
    return newcombe_bounds(auc, responders / effect, others / effect, level)


def _placements(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(m, n) share of the other class on the right side of each patient's score (m, n), ties half."""
    responder = labels == 1
    gap = scores[:, responder, None] - scores[:, None, ~responder]
    wins = (gap > 0) + 0.5 * (gap == 0)
    placed = np.empty(scores.shape)
    placed[:, responder], placed[:, ~responder] = wins.mean(axis=2), wins.mean(axis=1)
    return placed


def _scatter(labels: np.ndarray, placements: np.ndarray) -> float:
    """DeLong's variance of a mean of placements (n,)."""
    of_class = [placements[labels == label] for label in (0, 1)]
    return float(sum(values.var(ddof=1) / len(values) for values in of_class))


def mean_roc(labels: np.ndarray, folds: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the ROC curves inside the folds: (m,) 1 - specificity and (m,) sensitivity.

    labels: (n,) 0/1. folds, out: (repeats, n). Sensitivities are averaged at every specificity that a
    fold has, so the area under the curve is the mean AUC of the folds.
    """
    curves = []
    for of_repeat, scores in zip(folds, out, strict=True):
        for fold in np.unique(of_repeat):
            curve = roc_curve(labels[of_repeat == fold], scores[of_repeat == fold])
            curves.append((1 - curve.specificity, curve.sensitivity))
    rates = np.unique(np.concatenate([x for x, _ in curves]))
    # A curve may rise straight up: it has a sensitivity before the step and one after it.
    before = np.mean([_sensitivity(x, y, rates, "left") for x, y in curves], axis=0)
    after = np.mean([_sensitivity(x, y, rates, "right") for x, y in curves], axis=0)
    return np.repeat(rates, 2), np.stack([before, after], axis=1).ravel()


def _sensitivity(x: np.ndarray, y: np.ndarray, rates: np.ndarray, side: str) -> np.ndarray:
    """Of one curve at the rates (m,); side: of a step, "left" before it and "right" after it."""
    place = np.searchsorted(x, rates, side)
    exact = np.clip(place if side == "left" else place - 1, 0, len(x) - 1)
    return np.where(x[exact] == rates, y[exact], np.interp(rates, x, y))


def comparable_scores(out: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(n,) out-of-fold scores less their fold's mean, over its standard deviation; no label is used.

    For the AUC of a part of the cohort, where too few pairs of patients share a fold.
    """
    comparable = np.empty(len(out))
    for fold in np.unique(folds):
        of_fold = out[folds == fold]
        spread = of_fold.std()
        comparable[folds == fold] = (of_fold - of_fold.mean()) / (spread if spread > 0 else 1.0)
    return comparable
