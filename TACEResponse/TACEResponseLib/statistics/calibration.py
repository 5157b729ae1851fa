"""Are the probabilities right, and is acting on them useful? Arrays in, frozen dataclasses out.

Labels (n,) are 1 for a responder and 0 otherwise, probabilities (n,) lie in 0 to 1. Calibration
after Van Calster et al., J Clin Epidemiol 2016;74:167, decision curve after Vickers & Elkin, Med
Decis Making 2006;26:565.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit
from scipy.stats import norm

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import tr

from .discrimination import checked
from .logistic import fit_logistic

#: Probabilities are moved this far away from 0 and 1 before their logit is taken.
EDGE = 1e-6


@dataclass(frozen=True)
class Calibration:
    """Agreement of probabilities with what happened.

    slope, intercept: of the logistic recalibration of the outcome on the logit; 1 and 0 when right.
    in_the_large: intercept with the slope held at 1. brier: mean squared error; scaled_brier: its
    gain over the prevalence, 1 perfect, 0 useless. ece: expected calibration error over the bins.
    slope_ci: 95 % interval. bin_probability, bin_observed, bin_count: (b,) mean probability, share
    of responders and patients of each non-empty bin. status: `ok`; `constant` when all
    probabilities are equal or `separated` when they part the classes without error: slope,
    intercept and interval are then None, since none exists.
    """

    slope: float | None
    intercept: float | None
    slope_ci: tuple[float, float] | None
    in_the_large: float
    brier: float
    scaled_brier: float
    ece: float
    bin_probability: np.ndarray
    bin_observed: np.ndarray
    bin_count: np.ndarray
    status: str


def calibration(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> Calibration:
    """Calibration of probabilities; `bins` groups of equal patient number make plot and ECE.

    Raises TrainingError for probabilities outside 0 to 1 and for one class only.
    """
    labels, probabilities = checked(labels, probabilities)
    _check_probabilities(probabilities)
    linear = logit(np.clip(probabilities, EDGE, 1 - EDGE))
    ones = np.ones((len(labels), 1))
    slope, intercept, slope_ci, status = None, None, None, "constant"
    if np.ptp(linear) > 1e-12:
        fit = fit_logistic(np.column_stack([ones, linear]), labels)
        status = "separated" if fit.separated else "ok"
        if not fit.separated:
            intercept, slope = (float(c) for c in fit.coefficients)
            margin = float(norm.ppf(0.975) * fit.errors[1])
            slope_ci = (slope - margin, slope + margin)
    brier, prevalence = float(np.mean((probabilities - labels) ** 2)), labels.mean()
    groups = _equal_groups(probabilities, bins)
    predicted = np.array([probabilities[g].mean() for g in groups])
    observed = np.array([labels[g].mean() for g in groups])
    count = np.array([len(g) for g in groups])
    return Calibration(
        slope=slope,
        intercept=intercept,
        slope_ci=slope_ci,
        in_the_large=float(fit_logistic(ones, labels, offset=linear).coefficients[0]),
        brier=brier,
        scaled_brier=float(1 - brier / (prevalence * (1 - prevalence))),
        ece=float(np.abs(predicted - observed) @ count / len(labels)),
        bin_probability=predicted,
        bin_observed=observed,
        bin_count=count,
        status=status,
    )


def _equal_groups(probabilities: np.ndarray, bins: int) -> list[np.ndarray]:
    """Patients (indices) in groups of about equal number by probability; equal ones stay together."""
    edges = np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1])
    group = np.searchsorted(edges, probabilities, side="left")
    return [np.flatnonzero(group == g) for g in np.unique(group)]


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of treating as a responder whoever's probability reaches the threshold.

    thresholds: (k,) probability at which one would act. model, treat_all: (k,) net benefit per
    patient, in true positives; treating nobody has 0 everywhere.
    """

    thresholds: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray


def decision_curve(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | None = None
) -> DecisionCurve:
    """Net benefit TP/n - FP/n * t/(1 - t) at thresholds t, by default 0.01 to 0.99."""
    labels, probabilities = checked(labels, probabilities)
    _check_probabilities(probabilities)
    t = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, dtype=float)
    if not ((t >= 0) & (t < 1)).all():
        raise TrainingError(
            tr("a decision threshold is outside its limits"),
            expected=tr("0 up to, not including, 1"),
            received=str(t),
        )
    acts, odds = probabilities >= t[:, None], t / (1 - t)
    true, false = (acts & (labels == 1)).mean(axis=1), (acts & (labels == 0)).mean(axis=1)
    prevalence = labels.mean()
    return DecisionCurve(t, true - false * odds, prevalence - (1 - prevalence) * odds)


def _check_probabilities(probabilities: np.ndarray) -> None:
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise TrainingError(
            tr("a probability is outside 0 to 1"),
            field="probabilities",
            received=tr("{low:g} to {high:g}", low=probabilities.min(), high=probabilities.max()),
            remedy=tr("calibrate scores that are no probabilities first"),
        )
