"""Fitting the classical models: scikit-learn pipelines of scaler and model, plain data when stored."""

import importlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.linalg import LinAlgWarning
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from TACEResponseLib.messages.errors import SettingsError, TrainingError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.statistics.outcome import Outcome

from .recipes import CLASSIFIERS, Recipe, Variant

MODEL = "model"
#: Inverse penalty that gives a logistic model an answer where the likelihood has no maximum.
SINGULAR_C = 1000.0
#: Folds of the tuning inside the patients given; fewer when a class is smaller.
TUNING_FOLDS = 5


def fit_classifier(
    name: str, X: np.ndarray, y: np.ndarray, *, variant: Variant, seed: int, groups: Sequence[str] = ()
) -> Pipeline:
    """Fit model `name` on X (n, p) and y (n,), 1 for a responder; a pipeline of scaler and model.

    groups: (n,) names; the folds of a tuning keep rows of one name together.

    A logistic model whose likelihood has no maximum (classes separated without error, or more
    features than patients) is fitted with a faint penalty, C = 1000 on standardised features:
    the pipeline says so, since its C is then finite.

    Raises SettingsError for an unknown name or variant, TrainingError when X or y cannot be used.
    """
    recipe = _recipe(name)
    if variant not in ("paper", "tuned"):
        raise SettingsError(
            tr("no variant has this name"), expected=listed(("paper", "tuned")), received=str(variant)
        )
    X, y = _checked(X, y)
    if variant == "tuned":
        return _fit_tuned(recipe, X, y, seed, groups)
    kind, parameters = recipe.paper
    return _fit(_pipeline(recipe, kind, parameters, X.shape, seed), X, y)


def score(estimator: Pipeline, X: np.ndarray) -> np.ndarray:
    """Scores (n,) of X (n, p), higher = more likely a responder; probabilities for three of five.

    linear: the prediction, about 0 to 1 and not bounded; logistic, gbm, random_forest: the
    probability; svm: the decision value.
    """
    answer = getattr(estimator, _score_method(estimator))(np.asarray(X, dtype=float))
    return answer[:, 1] if answer.ndim == 2 else answer


def is_probability(name: str) -> bool:
    """Whether the score of model `name` lies in 0 to 1 and means a probability."""
    return _recipe(name).score == "predict_proba"


def _recipe(name: str) -> Recipe:
    if name not in CLASSIFIERS:
        raise SettingsError(tr("no classifier has this name"), expected=listed(CLASSIFIERS), received=name)
    return CLASSIFIERS[name]


def _score_method(estimator: Pipeline) -> str:
    model = type(estimator[-1])
    recipes = (r for r in CLASSIFIERS.values() if model in (_class(r.paper[0]), _class(r.tuned[0])))
    return next(recipes).score


def _class(name: str) -> type:
    """The estimator's class by its full name."""
    module, _, own = name.rpartition(".")
    return getattr(importlib.import_module(module), own)


def _checked(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    if X.ndim != 2 or len(X) != len(y) or X.shape[1] == 0:
        raise TrainingError(
            tr("features and labels do not belong together"),
            expected=tr("{n} patients x at least one feature", n=len(y)),
            received=" x ".join(map(str, X.shape)),
        )
    if not np.isfinite(X).all():
        raise TrainingError(tr("a feature holds values that are not finite numbers"), field="features")
    if len(np.unique(y)) != 2:
        raise TrainingError(
            tr("a model needs patients of both classes"),
            field="label",
            expected=tr("labels 0 and 1"),
            received=listed(map(str, np.unique(y))),
        )
    return X, y.astype(int)


def _pipeline(recipe: Recipe, kind: str, parameters: Mapping, shape: tuple[int, int], seed: int) -> Pipeline:
    values = {name: value(*shape) if callable(value) else value for name, value in parameters.items()}
    if recipe.seeded:
        values["random_state"] = seed
    return Pipeline([("scale", StandardScaler()), (MODEL, _class(kind)(**values))])


def _fit(pipeline: Pipeline, X: np.ndarray, y: np.ndarray, **weights) -> Pipeline:
    """Fit; where the optimiser warns that there is no maximum, fit with a faint penalty instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.simplefilter("error", LinAlgWarning)
        try:
            pipeline.fit(X, y, **weights)
            if not _is_separated(pipeline, X, y):
                return pipeline
        except (ConvergenceWarning, LinAlgWarning):
            pass
    return pipeline.set_params(**{f"{MODEL}__C": SINGULAR_C}).fit(X, y, **weights)


def _is_separated(pipeline: Pipeline, X: np.ndarray, y: np.ndarray) -> bool:
    """Whether an unpenalised logistic model tells its own patients apart without any error."""
    model = pipeline[-1]
    if not isinstance(model, LogisticRegression) or np.isfinite(model.C):
        return False
    decision = pipeline.decision_function(X)
    return bool(decision[y == 1].min() > decision[y == 0].max())


def _fit_tuned(recipe: Recipe, X: np.ndarray, y: np.ndarray, seed: int, groups: Sequence[str]) -> Pipeline:
    """The grid's best by mean AUC over folds of these patients, refitted on all of them."""
    kind, parameters = recipe.tuned
    weights = {}
    if recipe.balance == "class_weight":
        parameters = {**parameters, "class_weight": "balanced"}
    else:
        weights[f"{MODEL}__sample_weight"] = len(y) / (2 * np.bincount(y)[y])
    folds = min(TUNING_FOLDS, np.bincount(y).min())
    if folds < 2:
        raise TrainingError(
            tr("too few patients of a class to tune a model"),
            field="label",
            expected=tr("at least 2 of each class"),
            received=str(folds),
            remedy=tr("use the paper's variant"),
        )
    search = GridSearchCV(
        _pipeline(recipe, kind, {**parameters, **recipe.tuning}, X.shape, seed),
        {f"{MODEL}__{name}": list(values) for name, values in recipe.grid.items()},
        scoring=_auc,
        cv=_tuning_folds(y, folds, seed, groups),
        refit=False,
        error_score="raise",
    ).fit(X, y, **weights)
    final = _pipeline(recipe, kind, parameters, X.shape, seed).set_params(**search.best_params_)
    return _fit(final, X, y, **weights)


def _tuning_folds(y: np.ndarray, folds: int, seed: int, groups: Sequence[str]) -> list[tuple]:
    """(trained on, judged on) rows of each fold."""
    if len(set(groups)) == len(groups):
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y))
    fold_of = Outcome(y).split(folds, seed, groups)
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(folds)]


def _auc(estimator: BaseEstimator, X: np.ndarray, y: np.ndarray) -> float:
    """Mann-Whitney AUC of the scores, whatever method gives them."""
    responders = y == 1
    ranks = rankdata(score(estimator, X))[responders]
    return float((ranks.sum() - ranks.size * (ranks.size + 1) / 2) / (ranks.size * (~responders).sum()))
