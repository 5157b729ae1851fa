"""The honest protocol: every training patient is scored by models that never saw that patient.

Everything that sees a label - selection, the five models, the network - is fitted inside the fold.
Fusion and calibration of a patient are fitted on the scores of the other folds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedKFold

from TACEResponseLib.errors import Problem
from TACEResponseLib.measuring.case import ModelInputs
from TACEResponseLib.models.fusion import Fusion, fit_fusion, fusions_of
from TACEResponseLib.models.isotonic import Isotonic, better_isotonic
from TACEResponseLib.progress import Progress, within
from TACEResponseLib.selection.elimination import Selection
from TACEResponseLib.settings import TrainingSettings

from .fit import Fitted, fit_members


@dataclass(frozen=True)
class Combination:
    """One model calibrated, or several fused: which models, and the fitted fusion of their scores.

    isotonic: bends the fusion's probability, where the data preferred that to the logistic curve.
    """

    models: tuple[str, ...]
    fusion: Fusion
    isotonic: Isotonic | None = None

    def probability(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n,) probabilities of response from (n,) scores a model."""
        fused = self.fusion.probability(np.column_stack([scores[model] for model in self.models]))
        return fused if self.isotonic is None else self.isotonic(fused)

    @property
    def calibration(self) -> str:
        """Which of the two calibrations the data preferred."""
        return "Platt (logistic)" if self.isotonic is None else "isotonic"

    def to_json(self) -> dict:
        """A dictionary of JSON types."""
        curve = {} if self.isotonic is None else {"isotonic": self.isotonic.to_json()}
        return {"models": list(self.models), **self.fusion.to_json(), **curve}

    @classmethod
    def from_json(cls, content: dict) -> "Combination":
        """The combination that `to_json` wrote; BundleError when it is none."""
        curve = Isotonic.from_json(content["isotonic"]) if "isotonic" in content else None
        return cls(tuple(map(str, content["models"])), Fusion.from_json(content), curve)


@dataclass(frozen=True)
class OutOfFoldScores:
    """What each model said of patients it had not seen.

    labels: (n,) 0/1. folds: (repeats, n) fold in which a patient was held out. scores: model name ->
    (repeats, n). calibrated: combination name (a model or a fusion) -> (repeats, n) probabilities,
    calibrated on the other folds. mute: models left out because they told nobody apart.

    Whatever is fitted or stated comes from the first repeat. A mean over repeats would be the answer of
    as many models together, which is better than the one that is shipped; the others show how much
    the chance of the split matters.
    """

    patient_ids: tuple[str, ...]
    labels: np.ndarray
    folds: np.ndarray
    scores: Mapping[str, np.ndarray]
    calibrated: Mapping[str, np.ndarray]
    mute: tuple[str, ...] = ()

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


@dataclass(frozen=True)
class TrainingRecord:
    """What happened in training, for the report; nothing of it is needed to predict.

    resubstitution: combination name -> (n,) probabilities of the shipped model on its own training
    patients, shown only beside the out-of-fold ones. selection and learning_curve: of the final
    fit. fold_selected: the features chosen in each fold. warnings: what went otherwise than asked.
    """

    out_of_fold: OutOfFoldScores
    resubstitution: Mapping[str, np.ndarray]
    selection: Selection | None
    fold_selected: tuple[tuple[str, ...], ...]
    learning_curve: Mapping[str, tuple[float, ...]]
    warnings: tuple[Problem, ...] = ()


def score_out_of_fold(
    inputs: ModelInputs,
    labels: np.ndarray,
    names: tuple[str, ...],
    settings: TrainingSettings,
    jobs: int,
    progress: Progress,
) -> tuple[OutOfFoldScores, tuple[Fitted, ...]]:
    """Stratified k-fold, repeated: each patient is scored by members that never saw them.

    With the scores the fits of every fold, fold by fold and then repeat by repeat.
    """
    folds = np.zeros((settings.repeats, len(labels)), dtype=int)
    scores: dict[str, np.ndarray] = {}
    fits = []
    for repeat in range(settings.repeats):
        splitter = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed + repeat)
        for fold, (train, held_out) in enumerate(splitter.split(labels, labels)):
            where = f"fold {repeat * settings.folds + fold + 1} of {settings.repeats * settings.folds}"
            seed = settings.seed + 1000 * repeat + fold
            fitted = fit_members(
                inputs.rows(train), labels[train], names, settings, seed, jobs, within(where, progress)
            )
            for name, values in fitted.members.scores(inputs.rows(held_out)).items():
                scores.setdefault(name, np.full(folds.shape, np.nan))[repeat, held_out] = values
            folds[repeat, held_out] = fold
            fits.append(fitted)
    mute = tuple(name for name, values in scores.items() if _is_mute(values, folds))
    scores = {name: values for name, values in scores.items() if name not in mute}
    calibrated = _cross_fitted(scores, folds, labels, settings)
    out_of_fold = OutOfFoldScores(inputs.patient_ids, labels, folds, scores, calibrated, mute)
    return out_of_fold, tuple(fits)


def _is_mute(scores: np.ndarray, folds: np.ndarray) -> bool:
    """Whether a model gave every patient of some fold the same score, so that it orders nobody.

    Gradient boosting does so with 42 training patients or fewer, where R's `gbm` refuses to start.
    """
    return any(
        not np.ptp(values[fold_of == fold]) > 0  # nor where a fold had no such model
        for values, fold_of in zip(scores, folds, strict=True)
        for fold in np.unique(fold_of)
    )


def _cross_fitted(
    scores: Mapping[str, np.ndarray], folds: np.ndarray, labels: np.ndarray, settings: TrainingSettings
) -> dict[str, np.ndarray]:
    """(repeats, n) out-of-fold probabilities: a patient's fusion is fitted on the other folds' scores."""
    found: dict[str, np.ndarray] = {}
    for repeat, fold_of in enumerate(folds):
        of_repeat = {name: values[repeat] for name, values in scores.items()}
        for fold in np.unique(fold_of):
            rest, held_out = fold_of != fold, fold_of == fold
            combinations = fit_combinations(
                {n: v[rest] for n, v in of_repeat.items()}, labels[rest], settings
            )
            combined = combine(combinations, {n: v[held_out] for n, v in of_repeat.items()})
            for name, values in combined.items():
                found.setdefault(name, np.full(folds.shape, np.nan))[repeat, held_out] = values
    return found


def fit_combinations(
    scores: Mapping[str, np.ndarray], labels: np.ndarray, settings: TrainingSettings
) -> dict[str, Combination]:
    """Calibrate each model, and fit each fusion whose models are all there, on scores (n,) each."""
    models_of = {name: (name,) for name in scores} | fusions_of(scores)
    return {
        name: _fit_combination(models, np.column_stack([scores[m] for m in models]), labels, settings)
        for name, models in models_of.items()
    }


def _fit_combination(
    models: tuple[str, ...], scores: np.ndarray, labels: np.ndarray, settings: TrainingSettings
) -> Combination:
    """The fusion of (n, m) scores, bent by an isotonic curve where that is better out of sample."""
    method = settings.fusion.method if len(models) > 1 else "stacking"

    def fit_logistic(patients: np.ndarray):
        fusion = fit_fusion(scores[patients], labels[patients], method)
        return lambda others: fusion.probability(scores[others])

    curve = better_isotonic(fit_logistic, labels, settings.seed)
    return Combination(models, fit_fusion(scores, labels, method), curve)


def combine(
    combinations: Mapping[str, Combination], scores: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Name -> (n,) probability of response, for the combinations whose models all have scores."""
    return {
        name: combination.probability(scores)
        for name, combination in combinations.items()
        if set(combination.models) <= set(scores)
    }
