"""The paper's five classical models as one table: name -> how to build it, plain or tuned.

`paper` holds R's defaults in scikit-learn's words: `lm` on 0/1, `glm` without penalty, e1071's
radial `svm`, `gbm` with 100 stumps, `randomForest` with 500 trees. `tuned` weighs the classes
equally and chooses from a small grid by cross-validated AUC inside the patients it is given. The
fitted models are plain scikit-learn pipelines, so that they can be stored without code. `Classical`
is the learner that each line of the table is.
"""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.linalg import LinAlgWarning
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from TACEResponseLib.errors import SettingsError, TrainingError
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.progress import Progress, silent
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .contract import FittedModel, Learner
from .skops_file import read_skops, write_skops

Variant = Literal["paper", "tuned"]
MODEL = "model"
#: Inverse penalty that gives a logistic model an answer where the likelihood has no maximum.
SINGULAR_C = 1000.0


@dataclass(frozen=True)
class Recipe:
    """How one model is built.

    paper, tuned: the estimator's class and its parameters, a callable value being computed from
    (patients, features). grid: parameters that the tuned variant chooses from. tuning: parameters
    that hold while choosing only. balance: where the tuned variant says that classes weigh the
    same. score: the method whose answer is the score; seeded: whether the fit draws numbers.
    """

    title: str
    paper: tuple[type, Mapping[str, object]]
    tuned: tuple[type, Mapping[str, object]]
    grid: Mapping[str, tuple]
    balance: Literal["class_weight", "sample_weight"]
    score: Literal["predict", "predict_proba", "decision_function"]
    seeded: bool = False
    tuning: Mapping[str, object] = field(default_factory=dict)


def gamma_of_r(patients: int, features: int) -> float:
    """1/p for features scaled with n - 1 as R does, expressed for StandardScaler, which divides by n."""
    return (patients - 1) / patients / features


_LOGISTIC = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 100}

CLASSIFIERS: dict[str, Recipe] = {
    "linear": Recipe(
        "linear model",
        paper=(LinearRegression, {}),
        tuned=(Ridge, {}),
        grid={"alpha": (0.1, 1.0, 10.0, 100.0)},
        balance="sample_weight",
        score="predict",
    ),
    "logistic": Recipe(
        "logistic model",
        paper=(LogisticRegression, {"C": np.inf, **_LOGISTIC}),
        tuned=(LogisticRegression, _LOGISTIC),
        grid={"C": (0.01, 0.1, 1.0, 10.0)},
        balance="class_weight",
        score="predict_proba",
    ),
    "svm": Recipe(
        "support vector machine",
        paper=(SVC, {"C": 1.0, "gamma": gamma_of_r, "tol": 1e-3}),
        tuned=(SVC, {"gamma": gamma_of_r}),
        grid={"C": (0.01, 0.1, 1.0, 10.0), "kernel": ("rbf", "linear")},
        balance="class_weight",
        score="decision_function",
    ),
    "gbm": Recipe(
        "gradient boosting",
        paper=(
            GradientBoostingClassifier,
            {
                "n_estimators": 100,
                "max_depth": 1,
                "learning_rate": 0.1,
                "min_samples_leaf": 10,
                "subsample": 0.5,
            },
        ),
        tuned=(GradientBoostingClassifier, {"min_samples_leaf": 10, "subsample": 0.5, "learning_rate": 0.05}),
        grid={"n_estimators": (50, 100, 200), "max_depth": (1, 2)},
        balance="sample_weight",
        score="predict_proba",
        seeded=True,
    ),
    "random_forest": Recipe(
        "random forest",
        paper=(RandomForestClassifier, {"n_estimators": 500, "max_features": "sqrt"}),
        tuned=(RandomForestClassifier, {"n_estimators": 500, "max_features": "sqrt"}),
        grid={"min_samples_leaf": (1, 3, 5, 10)},
        balance="class_weight",
        score="predict_proba",
        seeded=True,
        tuning={"n_estimators": 100},
    ),
}

#: Trees of a forest that stand beside the shipped one, of its five hundred: enough for a spread.
FOLD_TREES = 200
#: Folds of the tuning inside the patients given; fewer when a class is smaller.
TUNING_FOLDS = 5


@dataclass(frozen=True)
class FittedClassical(FittedModel):
    """A fitted pipeline of scaler and model, and the columns that it looks at, in its order."""

    name: str
    pipeline: Pipeline
    features: tuple[str, ...]

    def score(self, table: PatientTable) -> np.ndarray:
        """(n,) scores, see `score`."""
        return score(self.pipeline, table.columns(self.features).features)

    def save(self, folder: Path) -> None:
        """Write `NAME.skops`."""
        write_skops(self.pipeline, folder / f"{self.name}.skops")

    def thinned(self) -> "FittedClassical":
        """With the first FOLD_TREES trees of a forest, in a copy; any other model as it is."""
        name, forest = self.pipeline.steps[-1]
        if not isinstance(forest, RandomForestClassifier) or len(forest.estimators_) <= FOLD_TREES:
            return self
        few = copy.copy(forest)
        few.estimators_, few.n_estimators = forest.estimators_[:FOLD_TREES], FOLD_TREES
        return replace(self, pipeline=Pipeline([*self.pipeline.steps[:-1], (name, few)]))


@dataclass(frozen=True)
class Classical(Learner):
    """One of CLASSIFIERS. variant: the paper's, or tuned inside the patients that it is given."""

    variant: Variant = "paper"

    @classmethod
    def of(cls, name: str) -> "Classical":
        """The learner of a line of CLASSIFIERS."""
        return cls(name, CLASSIFIERS[name].title, "selected")

    def configured(self, settings: TrainingSettings) -> "Classical":
        """In the variant that these settings ask for."""
        return replace(self, variant=settings.classifiers)

    def fit(
        self, table: PatientTable, outcome: Outcome, seed: int, progress: Progress = silent
    ) -> FittedClassical:
        """See `fit_classifier`."""
        pipeline = fit_classifier(self.name, table.features, outcome.labels, variant=self.variant, seed=seed)
        return FittedClassical(self.name, pipeline, table.feature_names)

    def load(self, folder: Path, features: tuple[str, ...]) -> FittedClassical | None:
        """From `NAME.skops`."""
        path = folder / f"{self.name}.skops"
        return FittedClassical(self.name, read_skops(path), features) if path.is_file() else None


def fit_classifier(name: str, X: np.ndarray, y: np.ndarray, *, variant: Variant, seed: int) -> Pipeline:
    """Fit model `name` on X (n, p) and y (n,), 1 for a responder; a pipeline of scaler and model.

    A logistic model whose likelihood has no maximum (classes separated without error, or more
    features than patients) is fitted with a faint penalty, C = 1000 on standardised features:
    the pipeline says so, since its C is then finite.

    Raises SettingsError for an unknown name or variant, TrainingError when X or y cannot be used.
    """
    recipe = _recipe(name)
    if variant not in ("paper", "tuned"):
        raise SettingsError("no variant has this name", expected="paper, tuned", received=str(variant))
    X, y = _checked(X, y)
    if variant == "tuned":
        return _fit_tuned(recipe, X, y, seed)
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
        raise SettingsError("no classifier has this name", expected=", ".join(CLASSIFIERS), received=name)
    return CLASSIFIERS[name]


def _score_method(estimator: Pipeline) -> str:
    model = type(estimator[-1])
    return next(r.score for r in CLASSIFIERS.values() if model in (r.paper[0], r.tuned[0]))


def _checked(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    if X.ndim != 2 or len(X) != len(y) or X.shape[1] == 0:
        raise TrainingError(
            "features and labels do not belong together",
            expected=f"{len(y)} patients x at least one feature",
            received=" x ".join(map(str, X.shape)),
        )
    if not np.isfinite(X).all():
        raise TrainingError("a feature holds values that are not finite numbers", field="features")
    if len(np.unique(y)) != 2:
        raise TrainingError(
            "a model needs patients of both classes",
            field="label",
            expected="labels 0 and 1",
            received=", ".join(map(str, np.unique(y))),
        )
    return X, y.astype(int)


def _pipeline(recipe: Recipe, kind: type, parameters: Mapping, shape: tuple[int, int], seed: int) -> Pipeline:
    values = {name: value(*shape) if callable(value) else value for name, value in parameters.items()}
    if recipe.seeded:
        values["random_state"] = seed
    return Pipeline([("scale", StandardScaler()), (MODEL, kind(**values))])


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


def _fit_tuned(recipe: Recipe, X: np.ndarray, y: np.ndarray, seed: int) -> Pipeline:
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
            "too few patients of a class to tune a model",
            field="label",
            expected="at least 2 of each class",
            received=str(folds),
            remedy="use the paper's variant",
        )
    search = GridSearchCV(
        _pipeline(recipe, kind, {**parameters, **recipe.tuning}, X.shape, seed),
        {f"{MODEL}__{name}": list(values) for name, values in recipe.grid.items()},
        scoring=_auc,
        cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
        refit=False,
        error_score="raise",
    ).fit(X, y, **weights)
    final = _pipeline(recipe, kind, parameters, X.shape, seed).set_params(**search.best_params_)
    return _fit(final, X, y, **weights)


def _auc(estimator: BaseEstimator, X: np.ndarray, y: np.ndarray) -> float:
    """Mann-Whitney AUC of the scores, whatever method gives them."""
    responders = y == 1
    ranks = rankdata(score(estimator, X))[responders]
    return float((ranks.sum() - ranks.size * (ranks.size + 1) / 2) / (ranks.size * (~responders).sum()))
