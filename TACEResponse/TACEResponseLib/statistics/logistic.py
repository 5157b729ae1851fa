"""Logistic regression by maximum likelihood with standard errors, for a handful of columns.

Used where coefficients themselves are the answer: fusion, calibration, univariable association.
Newton's method as R's `glm` does it (iteratively reweighted least squares); data for which no
maximum exists are named (`separated`), not answered with the number of the last step.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import tr

#: The largest step of a coefficient, relative to the coefficients, at which the search has ended.
TOLERANCE = 1e-10
#: Newton needs fewer than ten steps where there is a maximum; R's glm gives up after 25 as well.
STEPS = 25


@dataclass(frozen=True)
class LogisticFit:
    """Coefficients (m,), their standard errors (m,), and the deviance, -2 log likelihood.

    separated: the likelihood has no maximum, because some combination of the columns tells the
    classes apart (but for ties); coefficients and errors are then those of the last step, large and
    without meaning of their own, and the deviance is near its lower limit.
    """

    coefficients: np.ndarray
    errors: np.ndarray
    deviance: float
    separated: bool


def fit_intercept(labels: np.ndarray, log_odds: np.ndarray) -> float:
    """What added to log-odds (n,) makes their mean probability the share of responders; labels (n,) 0/1."""
    return float(fit_logistic(np.ones((len(labels), 1)), labels, offset=log_odds).coefficients[0])


def fit_logistic(
    design: np.ndarray,
    labels: np.ndarray,
    *,
    offset: np.ndarray | float = 0.0,
    ridge: np.ndarray | float = 0.0,
) -> LogisticFit:
    """Fit P(label = 1) = expit(offset + design @ coefficients); the design holds its own ones.

    design: (n, m). labels: (n,) 0 or 1. ridge: scalar or (m,), the lambda of
    lambda / 2 * coefficient**2 taken from the log likelihood; above 0 for every column but the
    ones, a maximum exists whatever the data. Raises TrainingError when one class is missing or the
    columns are not independent.
    """
    design, labels = np.asarray(design, dtype=float), np.asarray(labels, dtype=float)
    ridge = np.broadcast_to(np.asarray(ridge, dtype=float), design.shape[1])
    if set(np.unique(labels)) != {0, 1}:
        raise TrainingError(tr("a logistic model needs patients of both classes"), field="label")
    if np.linalg.matrix_rank(design) < design.shape[1] and not ridge.any():
        raise TrainingError(tr("the columns of a logistic model are not independent"), field="scores")

    def loss(beta: np.ndarray) -> float:
        return -2 * _log_likelihood(offset + design @ beta, labels) + ridge @ beta**2

    beta, separated = np.zeros(design.shape[1]), True
    for _ in range(STEPS):
        probability = expit(offset + design @ beta)
        information = (design.T * (probability * (1 - probability))) @ design + np.diag(ridge)
        step = np.linalg.pinv(information, hermitian=True) @ (
            design.T @ (labels - probability) - ridge * beta
        )
        while loss(beta + step) > loss(beta) + 1e-9 and np.abs(step).max() > TOLERANCE:
            step = step / 2
        beta = beta + step
        if np.abs(step).max() <= TOLERANCE * max(1.0, np.abs(beta).max()):
            separated = False
            break
    errors = np.sqrt(np.diag(np.linalg.pinv(information, hermitian=True)))
    return LogisticFit(beta, errors, -2 * _log_likelihood(offset + design @ beta, labels), separated)


def _log_likelihood(linear: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.logaddexp(0, np.where(labels == 1, -linear, linear)).sum())
