"""The honest protocol: every training patient is scored by models that never saw that patient.

Everything that sees a label - harmonisation, selection, every model - is fitted inside the fold.
Fusion and calibration of a patient are fitted on the scores of the other folds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.combination import combine, fit_combinations
from TACEResponseLib.models.fold_models import FoldModels
from TACEResponseLib.progress import Progress, within
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .fit import fit_models


@dataclass(frozen=True)
class OutOfFold:
    """What each model said of patients it had not seen, in the order of the training table.

    folds: (repeats, n) fold in which a patient was held out. scores: model name -> (repeats, n).
    calibrated: combination name (a model or a fusion) -> (repeats, n) probabilities, calibrated on
    the other folds. uninformative: models left out because they told nobody apart.

    Whatever is fitted or stated comes from the first repeat. A mean over repeats would be the answer of
    as many models together, which is better than the one that is shipped; the others show how much
    the chance of the split matters.
    """

    folds: np.ndarray
    scores: Mapping[str, np.ndarray]
    calibrated: Mapping[str, np.ndarray]
    uninformative: tuple[str, ...] = ()

    @property
    def probabilities(self) -> dict[str, np.ndarray]:
        """Combination name -> (n,) probabilities of the first repeat."""
        return {name: values[0] for name, values in self.calibrated.items()}

    @property
    def ranking(self) -> dict[str, np.ndarray]:
        """What an AUC is computed from, of the first repeat."""
        return self.ranking_of(0)

    def ranking_of(self, repeat: int) -> dict[str, np.ndarray]:
        """Name -> (n,) a single model's own scores, a fusion's probability.

        The calibration of a fold is monotone, but another one in every fold; pooled over folds it
        would rank patients of different folds worse than the model does (on noise below one half).
        """
        return {name: self.scores.get(name, values)[repeat] for name, values in self.calibrated.items()}


def score_out_of_fold(
    table: PatientTable,
    outcome: Outcome,
    settings: TrainingSettings,
    jobs: int,
    progress: Progress,
) -> tuple[OutOfFold, tuple[FoldModels, ...]]:
    """Stratified k-fold, repeated: each patient is scored by models that never saw them.

    With the scores the fits of every fold, fold by fold and then repeat by repeat.
    """
    folds = np.array(
        [outcome.split(settings.folds, settings.seed + r, table.groups) for r in range(settings.repeats)]
    )
    scores: dict[str, np.ndarray] = {}
    fits = []
    for repeat, fold_of in enumerate(folds):
        for fold in range(settings.folds):
            where = f"fold {repeat * settings.folds + fold + 1} of {settings.repeats * settings.folds}"
            held_out, seed = fold_of == fold, fold_seed(settings, repeat, fold)
            fitted = fit_models(
                table.rows(~held_out),
                outcome.rows(~held_out),
                settings,
                seed,
                jobs,
                within(where, progress),
            )
            for name, values in fitted.scores(table.rows(held_out)).items():
                scores.setdefault(name, np.full(folds.shape, np.nan))[repeat, held_out] = values
            fits.append(fitted)
    silent_models = tuple(name for name, values in scores.items() if _is_uninformative(values, folds))
    scores = {name: values for name, values in scores.items() if name not in silent_models}
    calibrated = _cross_fitted(scores, folds, outcome, settings)
    return OutOfFold(folds, scores, calibrated, silent_models), tuple(fits)


def fold_seed(settings: TrainingSettings, repeat: int, fold: int) -> int:
    """Seed of the models of one fold; both are counted from 0."""
    return settings.seed + 1000 * repeat + fold


def _is_uninformative(scores: np.ndarray, folds: np.ndarray) -> bool:
    """Whether a model gave every patient of some fold the same score, so that it orders nobody.

    Gradient boosting does so with 42 training patients or fewer, where R's `gbm` refuses to start.
    """
    return any(
        not np.ptp(values[fold_of == fold]) > 0  # nor where a fold had no such model
        for values, fold_of in zip(scores, folds, strict=True)
        for fold in np.unique(fold_of)
    )


def _cross_fitted(
    scores: Mapping[str, np.ndarray], folds: np.ndarray, outcome: Outcome, settings: TrainingSettings
) -> dict[str, np.ndarray]:
    """(repeats, n) out-of-fold probabilities: a patient's fusion is fitted on the other folds' scores."""
    found: dict[str, np.ndarray] = {}
    for repeat, fold_of in enumerate(folds):
        of_repeat = {name: values[repeat] for name, values in scores.items()}
        for fold in np.unique(fold_of):
            rest, held_out = fold_of != fold, fold_of == fold
            combinations = fit_combinations(
                {n: v[rest] for n, v in of_repeat.items()}, outcome.rows(rest), settings.fusion, settings.seed
            )
            combined = combine(combinations, {n: v[held_out] for n, v in of_repeat.items()})
            for name, values in combined.items():
                found.setdefault(name, np.full(folds.shape, np.nan))[repeat, held_out] = values
    return found
