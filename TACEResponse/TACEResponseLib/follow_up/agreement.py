"""How the probabilities of one model met the responses of some patients, and what can be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from TACEResponseLib.messages.language import tr
from TACEResponseLib.statistics.calibration import Calibration, calibration
from TACEResponseLib.statistics.discrimination import (
    Auc,
    Operating,
    Proportion,
    at_threshold,
    auc_delong,
    proportion,
)

from .register import Recorded

#: An AUC and its variance need this many patients of each class.
FEWEST_FOR_AUC = 2
#: Patients of each class from which calibration can be judged (Collins et al., Stat Med 2016;35:214).
ENOUGH = 100


@dataclass(frozen=True)
class Agreement:
    """How the probabilities of one model met the responses of some patients.

    labels: (n,) 1 for CR and PR, 0 for SD and PD. probabilities: (n,). threshold: above it a response
    was predicted. n may be 0; figures that do not exist are None.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    threshold: float

    @classmethod
    def of(cls, recorded: Sequence[Recorded], threshold: float) -> "Agreement":
        """The agreement of predictions whose responses are known."""
        labels = np.array([one.label for one in recorded], dtype=int)
        return cls(labels, np.array([one.probability for one in recorded], dtype=float), threshold)

    @property
    def n(self) -> int:
        """Patients."""
        return len(self.labels)

    @property
    def responders(self) -> int:
        """Patients with CR or PR."""
        return int(self.labels.sum())

    @property
    def expected(self) -> float:
        """Responders that the probabilities let one expect: their sum."""
        return float(self.probabilities.sum())

    @property
    def observed_to_expected(self) -> Proportion | None:
        """Responders over expected ones; the interval is Wilson's of the observed share."""
        if self.n == 0 or self.expected == 0:
            return None
        share, mean = proportion(self.responders, self.n), self.expected / self.n
        bounds = (float(bound / mean) for bound in (share.estimate, share.ci_low, share.ci_high))
        return Proportion(*bounds, self.responders, self.n)

    @property
    def brier(self) -> float | None:
        """Mean squared error of the probabilities."""
        return float(np.mean((self.probabilities - self.labels) ** 2)) if self.n else None

    @property
    def of_each_class(self) -> int:
        """Patients of the class that has fewer."""
        return int(np.bincount(self.labels, minlength=2).min())

    @cached_property
    def auc(self) -> Auc | None:
        """With DeLong's interval."""
        enough = self.of_each_class >= FEWEST_FOR_AUC
        return auc_delong(self.labels, self.probabilities) if enough else None

    @cached_property
    def calibration(self) -> Calibration | None:
        """Needs both classes; slope and intercept may be None within."""
        return calibration(self.labels, self.probabilities) if self.of_each_class else None

    @property
    def operating(self) -> Operating | None:
        """Sensitivity, specificity and the rest at the model's threshold."""
        return at_threshold(self.labels, self.probabilities, self.threshold) if self.n else None

    def cautions(self) -> tuple[str, ...]:
        """What does not exist and why, and what is too uncertain to lean on, in sentences."""
        if not self.n:
            return (tr("No response counts yet, so nothing can be said of how well the model does."),)
        classes = tr(
            "{responders} with response and {others} without",
            responders=self.responders,
            others=self.n - self.responders,
        )
        found = []
        if self.auc is None:
            found.append(
                tr(
                    "There is no AUC: it needs two patients of each class, and there are {classes}.",
                    classes=classes,
                )
            )
        elif self.auc.constant:
            found.append(tr("Every patient has the same probability, so the AUC of 0.5 says nothing."))
        elif self.auc.variance == 0:
            found.append(
                tr(
                    "The patients are ranked without an exception, so DeLong's interval has no width: a "
                    "limit of the method with few patients, and no certainty."
                )
            )
        if self.calibration is None:
            found.append(
                tr(
                    "There is no calibration slope: it needs both classes, and there are {classes}.",
                    classes=classes,
                )
            )
        elif self.calibration.status == "separated":
            found.append(tr("There is no calibration slope: the classes are perfectly separated."))
        elif self.calibration.status == "constant":
            found.append(tr("There is no calibration slope: every patient has the same probability."))
        if self.of_each_class < ENOUGH:
            found.append(
                tr(
                    "These are few patients ({classes}): calibration can be judged from about {enough} "
                    "of each (Collins et al., Stat Med 2016;35:214), and the intervals say how little is "
                    "known before.",
                    classes=classes,
                    enough=ENOUGH,
                )
            )
        return tuple(found)

    def to_json(self) -> dict:
        """JSON types; None where a figure does not exist."""
        auc, fit, ratio, point = self.auc, self.calibration, self.observed_to_expected, self.operating
        return {
            "n": self.n,
            "responders": self.responders,
            "expected": self.expected,
            "observed_to_expected": None if ratio is None else _interval(ratio, "estimate"),
            "auc": None if auc is None else _interval(auc, "auc"),
            "calibration": None
            if fit is None
            else {
                "slope": fit.slope,
                "slope_ci": None if fit.slope_ci is None else list(fit.slope_ci),
                "intercept": fit.intercept,
                "in_the_large": fit.in_the_large,
                "status": fit.status,
            },
            "brier": self.brier,
            "sensitivity": None if point is None else point.sensitivity.estimate,
            "specificity": None if point is None else point.specificity.estimate,
        }


def _interval(found: Auc | Proportion, name: str) -> dict:
    return {"estimate": getattr(found, name), "ci_low": found.ci_low, "ci_high": found.ci_high}
