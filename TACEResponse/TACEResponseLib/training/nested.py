"""Fusion and calibration inside the folds: nothing that judges a fold has seen one of its labels.

With K folds, S_k is a model trained without fold k, P_jk one without the folds j and k. The fusion
C_k that turns the scores of S_k into probabilities for fold k is fitted on the other folds' patients,
each scored by the P_jk of its own fold j. P_jk serves both j and k, so K (K - 1) / 2 fits do for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.models.combination import Combination, combine, fit_combinations
from TACEResponseLib.settings import FusionSettings
from TACEResponseLib.statistics.crossvalidation import WithinFolds, within_folds
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.statistics.thresholds import NestedThresholds, nested_thresholds


@dataclass(frozen=True)
class Nested:
    """What the fusions of the folds say, for one drawing of the folds.

    combinations: of each fold, name -> C_k. probabilities: name -> (n,) by C_k of S_k. thresholds:
    name -> those chosen without the fold that they are tried on.
    """

    combinations: tuple[dict[str, Combination], ...]
    probabilities: Mapping[str, np.ndarray]
    thresholds: Mapping[str, NestedThresholds]


def nested(
    scores: Mapping[str, np.ndarray],
    inner: Mapping[str, np.ndarray],
    outcome: Outcome,
    folds: np.ndarray,
    settings: FusionSettings,
) -> Nested:
    """Fit C_k of every fold k.

    scores: model -> (n,) by S_k. inner: model -> (K, n), [k, i] of patient i of another fold j by P_jk.
    folds: (n,) 0 to K - 1.
    """
    count = int(folds.max()) + 1
    combinations, probabilities, of_inner = [], {}, {}
    for fold in range(count):
        rest = folds != fold
        within = {name: values[fold, rest] for name, values in inner.items()}
        fitted = fit_combinations(within, outcome.rows(rest), settings, folds[rest])
        combinations.append(fitted)
        for name, values in combine(fitted, {n: v[~rest] for n, v in scores.items()}).items():
            probabilities.setdefault(name, np.full(len(folds), np.nan))[~rest] = values
        for name, values in combine(fitted, within).items():
            of_inner.setdefault(name, np.full((count, len(folds)), np.nan))[fold, rest] = values
    choose = lambda labels, probabilities: Outcome(labels).threshold(probabilities)
    thresholds = {
        name: nested_thresholds(outcome.labels, folds, probabilities[name], values, choose)
        for name, values in of_inner.items()
    }
    return Nested(tuple(combinations), probabilities, thresholds)


def auc_parts(
    scores: Mapping[str, np.ndarray],
    inner: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray],
    outcome: Outcome,
    folds: np.ndarray,
    settings: FusionSettings,
) -> dict[str, WithinFolds]:
    """Combination -> its AUCs inside the folds, with and without the help of every other fold.

    scores, probabilities: (repeats, n). inner: (repeats, K, n). folds: (repeats, n). A single model is
    ranked by its own scores, whatever its calibration; a fusion by its probability.
    """
    fused = {
        name: np.array(
            [
                _fused_without(name, {m: v[repeat] for m, v in inner.items()}, outcome, of_repeat, settings)
                for repeat, of_repeat in enumerate(folds)
            ]
        )
        for name in probabilities
        if name not in scores
    }
    out, inner = {**probabilities, **scores}, {**inner, **fused}
    return {name: within_folds(outcome.labels, folds, out[name], inner[name]) for name in probabilities}


def _fused_without(
    name: str,
    inner: Mapping[str, np.ndarray],
    outcome: Outcome,
    folds: np.ndarray,
    settings: FusionSettings,
) -> np.ndarray:
    """(K, n) fused scores: [l, i] by C_kl of P_kl, k the fold of patient i; NaN where l is k.

    C_kl is C_k without the patients of fold l, so that what fold l does to the AUC of fold k is
    counted in the models and in their weights.
    """
    count = int(folds.max()) + 1
    fused = np.full((count, len(folds)), np.nan)
    for own in range(count):
        here = folds == own
        for other in set(range(count)) - {own}:
            rest = ~here & (folds != other)
            fitted = fit_combinations(
                {m: v[own, rest] for m, v in inner.items()},
                outcome.rows(rest),
                settings,
                folds[rest],
                only=(name,),
            )
            fused[other, here] = fitted[name].probability({m: v[other, here] for m, v in inner.items()})
    return fused
