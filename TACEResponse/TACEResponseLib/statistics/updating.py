"""A model at another hospital: its intercept, or intercept and slope, estimated again, and never more.

The ranking of patients stays the model's own; only the probabilities move (Janssen et al., J Clin
Epidemiol 2008;61:76). How much is estimated again is chosen by closed testing (Vergouwe et al., Stat
Med 2017;36:4529), and what was estimated is shrunk towards the original by van Houwelingen and le
Cessie's heuristic factor (Stat Med 1990;9:1303; for updating Steyerberg et al., Stat Med
2004;23:2567), so that a small cohort changes little.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2

from TACEResponseLib.messages.errors import BundleError, TrainingError
from TACEResponseLib.messages.language import tr

from .calibration import EDGE
from .discrimination import checked
from .logistic import LogisticFit, fit_logistic

#: With fewer patients of a class than this nothing is estimated again.
FEWEST_TO_UPDATE = 5
Method = Literal["none", "intercept", "slope"]
DEGREES = {"none": 0, "intercept": 1, "slope": 2}


@dataclass(frozen=True)
class UpdateTest:
    """Likelihood-ratio test of a simpler update against the fuller one: chi2, degrees of freedom, p."""

    simpler: Method
    fuller: Method
    chi2: float
    degrees: int
    p: float


@dataclass(frozen=True)
class Update:
    """New probability = expit(intercept + slope * logit(old probability)); 0 and 1 change nothing.

    method: `none`, `intercept`, or `slope` (intercept and slope). intercept, slope: after shrinkage;
    estimated_intercept, estimated_slope: by maximum likelihood, before it. shrinkage: 1 nothing,
    0 everything taken back. tests: of the closed procedure, in their order. reason: why this method.
    patients, responders: of the new cohort.
    """

    method: Method
    intercept: float
    slope: float
    estimated_intercept: float
    estimated_slope: float
    shrinkage: float
    tests: tuple[UpdateTest, ...]
    reason: str
    patients: int
    responders: int

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities (n,) of the original model -> (n,) updated, in the same order of patients."""
        return expit(self.intercept + self.slope * _linear(probabilities))

    def to_json(self) -> dict:
        """A dictionary of JSON types that `from_json` turns back into an equal object."""
        return {**asdict(self), "tests": [asdict(test) for test in self.tests]}

    @classmethod
    def from_json(cls, content: Mapping) -> "Update":
        """What `to_json` gave; BundleError when a part is missing, or the ranking would not be kept."""
        try:
            tests = tuple(
                UpdateTest(
                    str(of["simpler"]),
                    str(of["fuller"]),
                    float(of["chi2"]),
                    int(of["degrees"]),
                    float(of["p"]),
                )
                for of in content["tests"]
            )
            numbers = {name: float(content[name]) for name in _NUMBERS}
            counts = {name: int(content[name]) for name in ("patients", "responders")}
            texts = {name: str(content[name]) for name in ("method", "reason")}
            update = cls(**texts, **numbers, **counts, tests=tests)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                tr("an update cannot be read"), file="fusion.json", received=repr(error)
            ) from None
        finite = np.isfinite([getattr(update, name) for name in _NUMBERS]).all()
        if update.method not in DEGREES or not finite or not update.slope > 0:
            raise BundleError(tr("an update would not keep the ranking of patients"), file="fusion.json")
        return update


_NUMBERS = ("intercept", "slope", "estimated_intercept", "estimated_slope", "shrinkage")


def update_model(
    probabilities: np.ndarray,
    labels: np.ndarray,
    method: Method | Literal["closed"] = "closed",
    significance: float = 0.05,
) -> Update:
    """Update a model's probabilities (n,) to a new cohort with labels (n,).

    method: `closed` chooses by closed testing; a name asks for that one, which is still shrunk and
    still refused where it cannot be estimated. A slope that is not above 0 is never taken, since it
    would turn the ranking round. Raises TrainingError for arrays that do not belong together.
    """
    labels, probabilities = checked(labels, probabilities, each_class=0)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise TrainingError(tr("a probability is outside 0 to 1"), field="probabilities")
    responders = int(labels.sum())
    if min(responders, len(labels) - responders) < FEWEST_TO_UPDATE:
        reason = tr("fewer than {n} patients of a class", n=FEWEST_TO_UPDATE)
        return Update("none", 0.0, 1.0, 0.0, 1.0, 1.0, (), reason, len(labels), responders)
    linear = _linear(probabilities)
    fits = _fits(linear, labels)
    tests = _tests(fits)
    reason = tr("{method} was asked for", method=method)
    if method not in fits:
        method, reason = _closed(tests, significance)
    if "slope" not in fits:
        reason = tr("; ").join((_no_slope(linear, labels), reason))
    return _shrunk(method, fits, tests, reason, labels)


def _linear(probabilities: np.ndarray) -> np.ndarray:
    return logit(np.clip(np.asarray(probabilities, dtype=float), EDGE, 1 - EDGE))


@dataclass(frozen=True)
class _Fit:
    """Intercept and slope of one method, and the deviance with them."""

    intercept: float
    slope: float
    deviance: float


def _fits(linear: np.ndarray, labels: np.ndarray) -> dict[Method, _Fit]:
    """The methods that can be estimated, each by maximum likelihood."""
    deviance = 2 * np.logaddexp(0, np.where(labels == 1, -linear, linear)).sum()
    by_intercept = fit_logistic(np.ones((len(labels), 1)), labels, offset=linear)
    fits = {
        "none": _Fit(0.0, 1.0, float(deviance)),
        "intercept": _Fit(float(by_intercept.coefficients[0]), 1.0, by_intercept.deviance),
    }
    both = _both(linear, labels)
    if both is not None and not both.separated and both.coefficients[1] > 0:
        intercept, slope = (float(c) for c in both.coefficients)
        fits["slope"] = _Fit(intercept, slope, both.deviance)
    return fits


def _both(linear: np.ndarray, labels: np.ndarray) -> LogisticFit | None:
    if np.ptp(linear) <= 1e-12:
        return None
    return fit_logistic(np.column_stack([np.ones(len(labels)), linear]), labels)


def _tests(fits: dict[Method, _Fit]) -> tuple[UpdateTest, ...]:
    """Every simpler method against the fullest one that can be estimated, the simplest first."""
    *simpler, fullest = fits
    answers = []
    for name in simpler:
        gain = max(0.0, fits[name].deviance - fits[fullest].deviance)
        degrees = DEGREES[fullest] - DEGREES[name]
        answers.append(UpdateTest(name, fullest, gain, degrees, float(chi2.sf(gain, degrees))))
    return tuple(answers)


def _closed(tests: tuple[UpdateTest, ...], significance: float) -> tuple[Method, str]:
    """The simplest method that is not rejected against the fullest."""
    for test in tests:
        compared = {"simpler": test.simpler, "fuller": test.fuller, "p": test.p}
        if test.p >= significance:
            return test.simpler, tr("{simpler} is not rejected against {fuller}, p = {p:.3f}", **compared)
    return test.fuller, tr("{simpler} is rejected against {fuller}, p = {p:.3f}", **compared)


def _no_slope(linear: np.ndarray, labels: np.ndarray) -> str:
    both = _both(linear, labels)
    if both is None:
        return tr("equal probabilities have no slope")
    if both.separated:
        return tr("the classes are perfectly separated, and no slope exists")
    return tr("a slope of {slope:.2f} would turn the ranking round", slope=both.coefficients[1])


def _shrunk(
    method: Method,
    fits: dict[Method, _Fit],
    tests: tuple[UpdateTest, ...],
    reason: str,
    labels: np.ndarray,
) -> Update:
    """Intercept and slope drawn back to 0 and 1 by (chi2 - df) / chi2 of the update against the original."""
    fit = fits[method]
    gain, degrees = fits["none"].deviance - fit.deviance, DEGREES[method]
    shrinkage = 1.0 if method == "none" else max(0.0, (gain - degrees) / gain) if gain > 0 else 0.0
    return Update(
        method,
        intercept=shrinkage * fit.intercept,
        slope=1 + shrinkage * (fit.slope - 1),
        estimated_intercept=fit.intercept,
        estimated_slope=fit.slope,
        shrinkage=float(shrinkage),
        tests=tests,
        reason=reason,
        patients=len(labels),
        responders=int(labels.sum()),
    )
