"""The paper's five classical models as one table: name -> how to build it, plain or tuned.

`paper` holds R's defaults in scikit-learn's words: `lm` on 0/1, `glm` without penalty, e1071's
radial `svm`, `gbm` with 100 stumps, `randomForest` with 500 trees. `tuned` weighs the classes
equally and chooses from a small grid by cross-validated AUC inside the patients it is given.
Estimators are named here and imported where they are fitted: names and titles are read in places
that must not wait for scikit-learn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from TACEResponseLib.messages.language import mark

Variant = Literal["paper", "tuned"]


@dataclass(frozen=True)
class Recipe:
    """How one model is built, and named with its source (`Learner.sourced`).

    paper, tuned: the estimator's class by name and its parameters, a callable value being computed from
    (patients, features). grid: parameters that the tuned variant chooses from. tuning: parameters
    that hold while choosing only. balance: where the tuned variant says that classes weigh the
    same. score: the method whose answer is the score; seeded: whether the fit draws numbers.
    """

    title: str
    paper: tuple[str, Mapping[str, object]]
    tuned: tuple[str, Mapping[str, object]]
    grid: Mapping[str, tuple]
    balance: Literal["class_weight", "sample_weight"]
    score: Literal["predict", "predict_proba", "decision_function"]
    seeded: bool = False
    tuning: Mapping[str, object] = field(default_factory=dict)
    sourced: str = ""


def gamma_of_r(patients: int, features: int) -> float:
    """1/p for features scaled with n - 1 as R does, expressed for StandardScaler, which divides by n."""
    return (patients - 1) / patients / features


_LOGISTIC = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 100}

CLASSIFIERS: dict[str, Recipe] = {
    "linear": Recipe(
        mark("linear model"),
        sourced=mark("a linear model"),
        paper=("sklearn.linear_model.LinearRegression", {}),
        tuned=("sklearn.linear_model.Ridge", {}),
        grid={"alpha": (0.1, 1.0, 10.0, 100.0)},
        balance="sample_weight",
        score="predict",
    ),
    "logistic": Recipe(
        mark("logistic model"),
        sourced=mark("logistic regression"),
        paper=("sklearn.linear_model.LogisticRegression", {"C": np.inf, **_LOGISTIC}),
        tuned=("sklearn.linear_model.LogisticRegression", _LOGISTIC),
        grid={"C": (0.01, 0.1, 1.0, 10.0)},
        balance="class_weight",
        score="predict_proba",
    ),
    "svm": Recipe(
        mark("support vector machine"),
        sourced=mark("a support vector machine [@cortes1995]"),
        paper=("sklearn.svm.SVC", {"C": 1.0, "gamma": gamma_of_r, "tol": 1e-3}),
        tuned=("sklearn.svm.SVC", {"gamma": gamma_of_r}),
        grid={"C": (0.01, 0.1, 1.0, 10.0), "kernel": ("rbf", "linear")},
        balance="class_weight",
        score="decision_function",
    ),
    "gbm": Recipe(
        mark("gradient boosting"),
        sourced=mark("gradient boosting [@friedman2001]"),
        paper=(
            "sklearn.ensemble.GradientBoostingClassifier",
            {
                "n_estimators": 100,
                "max_depth": 1,
                "learning_rate": 0.1,
                "min_samples_leaf": 10,
                "subsample": 0.5,
            },
        ),
        tuned=(
            "sklearn.ensemble.GradientBoostingClassifier",
            {"min_samples_leaf": 10, "subsample": 0.5, "learning_rate": 0.05},
        ),
        grid={"n_estimators": (50, 100, 200), "max_depth": (1, 2)},
        balance="sample_weight",
        score="predict_proba",
        seeded=True,
    ),
    "random_forest": Recipe(
        mark("random forest"),
        sourced=mark("a random forest [@breiman2001]"),
        paper=("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 500, "max_features": "sqrt"}),
        tuned=("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 500, "max_features": "sqrt"}),
        grid={"min_samples_leaf": (1, 3, 5, 10)},
        balance="class_weight",
        score="predict_proba",
        seeded=True,
        tuning={"n_estimators": 100},
    ),
}
