"""The honest protocol: every training patient is scored by models that never saw that patient.

Everything that sees a label - harmonisation, selection, every model, fusion, calibration and the
threshold - is fitted without the fold that it is judged on; see `nested` for how.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent, within
from TACEResponseLib.models.combination import Combination
from TACEResponseLib.models.fold_models import FoldModels
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.crossvalidation import WithinFolds
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.statistics.thresholds import NestedThresholds

from .fit import fit_models
from .nested import auc_parts, nested


@dataclass(frozen=True)
class OutOfFold:
    """What each model said of patients it had not seen, in the order of the training table.

    folds: (repeats, n) fold in which a patient was held out. scores: model -> (repeats, n) by the
    models without that fold. inner: model -> (repeats, K, n), [r, k, i] by the models without fold k and
    the patient's own, NaN in fold k. calibrated: combination name (a model or a fusion) -> (repeats, n)
    probabilities. aucs: combination -> its AUCs inside the folds. thresholds: combination -> of the
    folds, chosen without them. fold_combinations: of each fold of the first repeat. uninformative:
    models left out because they told nobody apart.

    What is fitted and shipped comes from the first repeat; AUCs are means over all of them. Scores are
    never averaged: that would be the answer of as many models together, which is better than the one
    that is shipped.
    """

    folds: np.ndarray
    scores: Mapping[str, np.ndarray]
    inner: Mapping[str, np.ndarray] = field(repr=False)
    calibrated: Mapping[str, np.ndarray]
    aucs: Mapping[str, WithinFolds] = field(repr=False)
    thresholds: Mapping[str, NestedThresholds] = field(repr=False)
    fold_combinations: tuple[Mapping[str, Combination], ...] = field(repr=False)
    uninformative: tuple[str, ...] = ()

    @property
    def probabilities(self) -> dict[str, np.ndarray]:
        """Combination name -> (n,) probabilities of the first repeat."""
        return {name: values[0] for name, values in self.calibrated.items()}


def score_out_of_fold(
    table: PatientTable,
    outcome: Outcome,
    folds: np.ndarray,
    settings: TrainingSettings,
    jobs: int,
    progress: Progress,
) -> tuple[OutOfFold, tuple[FoldModels, ...]]:
    """K folds, repeated and nested: each patient is scored by models that never saw them.

    folds: (repeats, n) 0 .. K - 1. jobs: processes. With the scores come the fits without one fold, fold
    by fold and then repeat by repeat.
    """
    scores, inner = {}, {}
    fits = []
    for (repeat, left_out), fitted, said in _each_fit(table, outcome, folds, settings, jobs, progress):
        for name, values in said.items():
            if len(left_out) == 1:
                held_out = folds[repeat] == left_out[0]
                scores.setdefault(name, np.full(folds.shape, np.nan))[repeat, held_out] = values
                continue
            shape = (len(folds), settings.folds, len(table))
            of_model = inner.setdefault(name, np.full(shape, np.nan))
            of_fold = folds[repeat][np.isin(folds[repeat], left_out)]
            for own, other in (left_out, left_out[::-1]):
                of_model[repeat, other, folds[repeat] == own] = values[of_fold == own]
        fits += [fitted] if len(left_out) == 1 else []
    useless = tuple(name for name in scores if not _is_informative(scores[name], inner.get(name), folds))
    scores, inner = ({n: v for n, v in of.items() if n not in useless} for of in (scores, inner))
    return _judged(scores, inner, outcome, folds, settings, useless), tuple(fits)


def _judged(
    scores: Mapping[str, np.ndarray],
    inner: Mapping[str, np.ndarray],
    outcome: Outcome,
    folds: np.ndarray,
    settings: TrainingSettings,
    uninformative: tuple[str, ...],
) -> OutOfFold:
    """Probabilities, thresholds and AUCs of the scores of every repeat."""
    of_repeats = [
        nested(
            {n: v[repeat] for n, v in scores.items()},
            {n: v[repeat] for n, v in inner.items()},
            outcome,
            of_repeat,
            settings.fusion,
        )
        for repeat, of_repeat in enumerate(folds)
    ]
    first = of_repeats[0]
    calibrated = {n: np.array([of.probabilities[n] for of in of_repeats]) for n in first.probabilities}
    return OutOfFold(
        folds=folds,
        scores=scores,
        inner=inner,
        calibrated=calibrated,
        aucs=auc_parts(scores, inner, calibrated, outcome, folds, settings.fusion),
        thresholds=first.thresholds,
        fold_combinations=first.combinations,
        uninformative=uninformative,
    )


def judged_again(
    out_of_fold: OutOfFold, models: Collection[str], outcome: Outcome, settings: TrainingSettings
) -> OutOfFold:
    """The same folds and scores as if only these models had been trained: fusions of them alone."""
    scores, inner = (
        {name: values for name, values in of.items() if name in models}
        for of in (out_of_fold.scores, out_of_fold.inner)
    )
    return _judged(scores, inner, outcome, out_of_fold.folds, settings, out_of_fold.uninformative)


def fold_seed(settings: TrainingSettings, repeat: int, left_out: tuple[int, ...]) -> int:
    """Seed of the models that did not see the folds `left_out`, one or two; all are counted from 0."""
    if len(left_out) == 1:
        return settings.seed + 1000 * repeat + left_out[0]
    return settings.seed + 1_000_000 + 10_000 * repeat + settings.folds * left_out[0] + left_out[1]


def _each_fit(
    table: PatientTable,
    outcome: Outcome,
    folds: np.ndarray,
    settings: TrainingSettings,
    jobs: int,
    progress: Progress,
) -> Iterator[tuple[tuple[int, tuple[int, ...]], FoldModels, dict[str, np.ndarray]]]:
    """(repeat, folds left out), the fit without them, and what it says of them; singles before pairs.

    A network trains in this process, which may hold the graphics card; the rest runs in `jobs` processes.
    """
    one_or_two = [*((k,) for k in range(settings.folds)), *combinations(range(settings.folds), 2)]
    work = [(repeat, left_out) for repeat in range(len(folds)) for left_out in one_or_two]
    arguments = [
        (table, outcome, np.isin(folds[r], left_out), settings, fold_seed(settings, r, left_out))
        for r, left_out in work
    ]
    if jobs > 1 and (table.pixels is None or settings.network is None):
        from joblib import Parallel, delayed

        pool = Parallel(n_jobs=jobs, return_as="generator")
        results = pool(delayed(_fit_without)(*of, 1, silent) for of in arguments)
    else:
        where = (tr("fold fit {n} of {total}", n=n, total=len(work)) for n in range(1, len(work) + 1))
        results = (
            _fit_without(*of, jobs, within(name, progress)) for of, name in zip(arguments, where, strict=True)
        )
    for done, (place, result) in enumerate(zip(work, results, strict=True), start=1):
        progress(tr("fit the folds"), done, len(work))
        yield place, *result


def _fit_without(
    table: PatientTable,
    outcome: Outcome,
    held_out: np.ndarray,
    settings: TrainingSettings,
    seed: int,
    jobs: int,
    progress: Progress,
) -> tuple[FoldModels, dict[str, np.ndarray]]:
    """The models of the patients that are not held out (n,), and their scores of those who are."""
    fitted = fit_models(table.rows(~held_out), outcome.rows(~held_out), settings, seed, jobs, progress)
    return fitted, fitted.scores(table.rows(held_out))


def _is_informative(scores: np.ndarray, inner: np.ndarray | None, folds: np.ndarray) -> bool:
    """Whether a model ranked somebody in every fold, and its inner scores in some fold beside each.

    Gradient boosting does not with 42 training patients or fewer, where R's `gbm` refuses to start; nor
    does a model that could not be fitted in some fold.
    """
    if inner is None:
        return False
    for repeat, fold_of in enumerate(folds):
        numbers = np.unique(fold_of)
        if not all(_varies(scores[repeat, fold_of == fold]) for fold in numbers):
            return False
        for fold in numbers:
            beside = [inner[repeat, fold, fold_of == other] for other in numbers if other != fold]
            if np.isnan(np.concatenate(beside)).any() or not any(map(_varies, beside)):
                return False
    return True


def _varies(scores: np.ndarray) -> bool:
    """Whether scores differ by more than rounding does."""
    return bool(np.ptp(scores) > 1e-9 * np.abs(scores).max())
