"""How many patients a model needs, and how many are needed to show what it is worth elsewhere.

Development: the three criteria of Riley et al., Stat Med 2019;38:1276 (also BMJ 2020;368:m441), as
in R's pmsampsize. Validation: Riley et al., Stat Med 2021;40:4230, as in R's pmvalsampsize, with the
linear predictor integrated and not simulated, so that an answer is the same every time.
`responder_share` is the share of responders, between 0 and 1; an answer is a whole number of patients.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, xlogy
from scipy.stats import norm

from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.messages.language import tr

from .intervals import auc_variance

#: Criterion 1: the expected shrinkage of a model that is overfitted little enough.
SHRINKAGE = 0.9
#: Criterion 2: the largest optimism in Nagelkerke's R2. Criterion 3: half width of the overall risk.
OPTIMISM, RISK_MARGIN = 0.05, 0.05
#: What a model of response is expected to reach on new patients, fixed before any is looked at.
ANTICIPATED_C = 0.75
#: Points of each normal distribution; twice as many change no R2 by more than 1e-9.
POINTS = 128
Z95 = float(norm.ppf(0.975))


@dataclass(frozen=True)
class LinearPredictor:
    """Distribution of the logit of response in a population: values (k,) with weights (k,), sum 1."""

    values: np.ndarray
    weights: np.ndarray


def normal_predictor(mean: float, sd: float) -> LinearPredictor:
    """A linear predictor that is normal over all patients."""
    _require(sd > 0, tr("the spread of a linear predictor"), tr("above 0"), sd)
    nodes, weights = np.polynomial.hermite_e.hermegauss(POINTS)
    return LinearPredictor(mean + sd * nodes, weights / weights.sum())


def binormal_predictor(c_statistic: float, responder_share: float) -> LinearPredictor:
    """A linear predictor that is normal with one spread in responders and in the others.

    With the distance sqrt(2) * probit(C) between the classes in units of that spread it has the
    C statistic asked for, and by Bayes' rule it is a logit that is calibrated exactly (Riley, Van
    Calster & Collins, Stat Med 2021;40:859).
    """
    _check_share(responder_share)
    _require(0.5 < c_statistic < 1, tr("the C statistic"), tr("above 0.5 and below 1"), c_statistic)
    distance = math.sqrt(2) * norm.ppf(c_statistic)
    middle = logit(responder_share)
    others = normal_predictor(middle - distance**2 / 2, distance)
    responders = normal_predictor(middle + distance**2 / 2, distance)
    return LinearPredictor(
        np.concatenate([responders.values, others.values]),
        np.concatenate([responder_share * responders.weights, (1 - responder_share) * others.weights]),
    )


def cox_snell_r2(c_statistic: float, responder_share: float) -> float:
    """Cox and Snell's R2 that goes with a C statistic (Riley 2021), 1 - exp(-LR / n).

    >>> round(cox_snell_r2(0.75, 0.65), 3)
    0.171
    """
    predictor = binormal_predictor(c_statistic, responder_share)
    gain = predictor.weights @ _log_likelihood(expit(predictor.values)) - _log_likelihood(responder_share)
    return float(-np.expm1(-2 * gain))


def largest_cox_snell_r2(responder_share: float) -> float:
    """Cox and Snell's R2 of a model that is right about everybody: below 1, what Nagelkerke divides by."""
    return float(-np.expm1(2 * _log_likelihood(responder_share)))


def _log_likelihood(probability: np.ndarray | float) -> np.ndarray | float:
    """Expected log likelihood of a patient who responds with this probability."""
    return xlogy(probability, probability) + xlogy(1 - probability, 1 - probability)


def candidate_parameters(numbers: int, levels: Sequence[int] = ()) -> int:
    """Parameters of all candidates: one a number, k - 1 for a category of k levels.

    Candidates count, not only what a selection that looks at the labels has left over.
    """
    return numbers + sum(k - 1 for k in levels)


@dataclass(frozen=True)
class DevelopmentSize:
    """Patients needed to develop a model, and what is to be expected of those there are.

    for_shrinkage, for_optimism, for_risk: patients by criteria 1 to 3; needed: the largest, and
    responders_needed of them. cox_snell_r2 is what was given or follows from the C statistic;
    nagelkerke_r2 its share of the largest possible. patients: those there are; expected_shrinkage:
    of a model of theirs, the slope that its linear predictor has on new patients; None without
    patients.
    """

    parameters: int
    responder_share: float
    cox_snell_r2: float
    nagelkerke_r2: float
    for_shrinkage: int
    for_optimism: int
    for_risk: int
    needed: int
    responders_needed: int
    patients: int | None = None
    expected_shrinkage: float | None = None


def development_size(
    parameters: int,
    responder_share: float,
    *,
    c_statistic: float | None = None,
    r2: float | None = None,
    patients: int | None = None,
) -> DevelopmentSize:
    """Patients needed by Riley's three criteria for a model of so many candidate parameters.

    The strength of the model is either its anticipated C statistic or its Cox and Snell `r2`, both
    on new patients. Raises SettingsError for a value outside its limits, or neither, or both.
    """
    _check_share(responder_share)
    _require(parameters >= 1, tr("the number of parameters"), tr("1 or more"), parameters)
    if (c_statistic is None) == (r2 is None):
        raise SettingsError(
            tr("the strength of the model is needed once"), expected=tr("a C statistic or an R2")
        )
    r2 = cox_snell_r2(c_statistic, responder_share) if r2 is None else r2
    largest = largest_cox_snell_r2(responder_share)
    _require(
        0 < r2 < min(largest, SHRINKAGE),
        tr("R2 after Cox and Snell"),
        tr("0 to {largest:.3f}", largest=largest),
        r2,
    )
    by_optimism = r2 / (r2 + OPTIMISM * largest)
    sizes = (
        math.ceil(_patients_for_shrinkage(parameters, r2, SHRINKAGE)),
        math.ceil(_patients_for_shrinkage(parameters, r2, by_optimism)),
        math.ceil((Z95 / RISK_MARGIN) ** 2 * responder_share * (1 - responder_share)),
    )
    return DevelopmentSize(
        parameters,
        responder_share,
        r2,
        r2 / largest,
        *sizes,
        needed=max(sizes),
        responders_needed=math.ceil(max(sizes) * responder_share),
        patients=patients,
        expected_shrinkage=None if patients is None else expected_shrinkage(parameters, r2, patients),
    )


def _patients_for_shrinkage(parameters: int, r2: float, shrinkage: float) -> float:
    return parameters / ((shrinkage - 1) * math.log1p(-r2 / shrinkage))


def expected_shrinkage(parameters: int, r2: float, patients: int) -> float:
    """The shrinkage to be expected with so many patients: criterion 1 of Riley 2019 solved for it.

    r2: Cox and Snell's, on new patients. Between 0 (nothing holds on new patients) and 1.
    """
    _require(patients >= 1, tr("the number of patients"), tr("1 or more"), patients)
    _require(0 < r2 < 1, tr("R2 after Cox and Snell"), tr("above 0 and below 1"), r2)
    missing = lambda shrinkage: math.log(_patients_for_shrinkage(parameters, r2, shrinkage) / patients)
    # Below R2 there is no shrinkage; a handful of patients for hundreds of parameters comes to rest there.
    edge = 1e-12 * (1 - r2)
    return brentq(missing, r2 + edge, 1 - edge) if missing(r2 + edge) < 0 else r2


@dataclass(frozen=True)
class ValidationSize:
    """Patients with whom an external cohort shows what a model is worth, to stated standard errors.

    for_auc, for_observed_expected, for_slope: patients by each; needed: the largest, and
    responders_needed of them.
    """

    for_auc: int
    for_observed_expected: int
    for_slope: int
    needed: int
    responders_needed: int


def validation_size(
    c_statistic: float,
    responder_share: float,
    predictor: LinearPredictor | None = None,
    *,
    auc_error: float = 0.1 / (2 * Z95),
    observed_expected_error: float = math.asinh(0.1) / Z95,
    slope_error: float = 0.2 / (2 * Z95),
) -> ValidationSize:
    """Patients for a standard error of the AUC, of log observed/expected, and of the calibration slope.

    The defaults are Riley's: 95 % intervals of widths 0.1, 0.2 and 0.2. predictor: the model's
    linear predictor in the cohort, by default binormal with this C statistic. The model is taken to
    be calibrated.
    """
    _check_share(responder_share)
    _require(0 < c_statistic < 1, tr("the C statistic"), tr("above 0 and below 1"), c_statistic)
    for error in (auc_error, observed_expected_error, slope_error):
        _require(error > 0, tr("a standard error"), tr("above 0"), error)
    predictor = predictor or binormal_predictor(c_statistic, responder_share)
    sizes = (
        _patients_where(lambda n: _auc_error(c_statistic, responder_share, n), auc_error),
        math.ceil((1 - responder_share) / (responder_share * observed_expected_error**2)),
        math.ceil(slope_variance(predictor) / slope_error**2),
    )
    return ValidationSize(*sizes, max(sizes), math.ceil(max(sizes) * responder_share))


def slope_variance(predictor: LinearPredictor) -> float:
    """Variance of the calibration slope of a calibrated model, times the number of patients.

    From the Fisher information of intercept and slope at 0 and 1 (Riley 2021, equation 8).
    """
    information = predictor.weights * expit(predictor.values) * expit(-predictor.values)
    total = information.sum()
    centre = information @ predictor.values / total
    return float(1 / (information @ (predictor.values - centre) ** 2))


def patients_for_difference(
    first_auc: float,
    second_auc: float,
    responder_share: float,
    correlation: float,
    power: float = 0.8,
    level: float = 0.95,
) -> int:
    """Patients with whom a paired test shows that two AUCs of the same patients differ.

    correlation: of the two estimated AUCs (DeLong's covariance over both standard errors), not of
    the scores. Two-sided normal test with Newcombe's variances (see `auc_variance`).
    """
    _check_share(responder_share)
    _require(first_auc != second_auc, tr("the second AUC"), tr("another than the first"), second_auc)
    _require(-1 <= correlation < 1, tr("the correlation of two AUCs"), tr("-1 to below 1"), correlation)
    for auc in (first_auc, second_auc):
        _require(0 < auc < 1, tr("an AUC"), tr("above 0 and below 1"), auc)
    error = lambda n: _difference_error(first_auc, second_auc, responder_share, correlation, n)
    return _patients_where(error, abs(second_auc - first_auc) / _distance(power, level))


def detectable_difference(
    auc: float,
    patients: int,
    responder_share: float,
    correlation: float,
    power: float = 0.8,
    level: float = 0.95,
) -> float | None:
    """The smallest gain over `auc` that so many patients show, as `patients_for_difference`; None if none."""
    _check_share(responder_share)
    _require(0 < auc < 1, tr("an AUC"), tr("above 0 and below 1"), auc)
    _require(patients >= 2, tr("the number of patients"), tr("2 or more"), patients)
    short = lambda gain: (
        _distance(power, level) * _difference_error(auc, auc + gain, responder_share, correlation, patients)
        - gain
    )
    largest = (1 - auc) * (1 - 1e-9)
    return None if short(largest) > 0 else brentq(short, 0.0, largest)


def _distance(power: float, level: float) -> float:
    return float(norm.ppf(0.5 + level / 2) + norm.ppf(power))


def _auc_error(auc: float, share: float, patients: float) -> float:
    return math.sqrt(auc_variance(auc, share * patients, (1 - share) * patients))


def _difference_error(first: float, second: float, share: float, correlation: float, n: float) -> float:
    a, b = _auc_error(first, share, n), _auc_error(second, share, n)
    return math.sqrt(a**2 + b**2 - 2 * correlation * a * b)


def _patients_where(error: Callable[[int], float], wanted: float) -> int:
    """The smallest number of patients, from 4 on, with whom `error(patients)` is at most `wanted`."""
    few, many = 3, 4
    while error(many) > wanted:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if error(middle) <= wanted else (middle, many)
    return many


def _check_share(share: float) -> None:
    _require(0 < share < 1, tr("the share of responders"), tr("above 0 and below 1"), share)


def _require(right: bool, what: str, expected: str, received: float) -> None:
    if not right:
        raise SettingsError(
            tr("{what} is outside its limits", what=what), expected=expected, received=f"{received:g}"
        )
