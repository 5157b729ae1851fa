"""The audit: how the predictions that a register keeps met what became of the patients.

Each model by itself. What counts is the first prediction of a patient, made before the response was
known; everything else is counted and said. Nothing is computed from too few patients: an absent figure
is None with a sentence beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from TACEResponseLib.answer.prediction import DEMONSTRATION, RESEARCH_USE
from TACEResponseLib.messages.errors import RegisterError
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
from .register_schema import NOT_ASSESSED

#: An AUC and its variance need this many patients of each class.
FEWEST_FOR_AUC = 2
#: Patients of each class from which calibration can be judged (Collins et al., Stat Med 2016;35:214).
ENOUGH = 100
VERDICTS = ("inside", "at the edge", "outside", NOT_ASSESSED)
PERIODS = ("month", "quarter", "year")


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
            return ("No response counts yet, so nothing can be said of how well the model does.",)
        classes = f"{self.responders} with response and {self.n - self.responders} without"
        found = []
        if self.auc is None:
            found.append(f"There is no AUC: it needs two patients of each class, and there are {classes}.")
        elif self.auc.constant:
            found.append("Every patient has the same probability, so the AUC of 0.5 says nothing.")
        elif self.auc.variance == 0:
            found.append(
                "The patients are ranked without an exception, so DeLong's interval has no width: a limit of "
                "the method with few patients, and no certainty."
            )
        if self.calibration is None:
            found.append(f"There is no calibration slope: it needs both classes, and there are {classes}.")
        elif self.calibration.status == "separated":
            found.append("There is no calibration slope: the classes are perfectly separated.")
        elif self.calibration.status == "constant":
            found.append("There is no calibration slope: every patient has the same probability.")
        if self.of_each_class < ENOUGH:
            found.append(
                f"These are few patients ({classes}): calibration can be judged from about {ENOUGH} of each "
                "(Collins et al., Stat Med 2016;35:214), and the intervals say how little is known before."
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


@dataclass(frozen=True)
class Period:
    """A month, quarter or year. own: agreement within it; so_far: from the beginning to its end."""

    name: str
    predictions: int
    own: Agreement
    so_far: Agreement


@dataclass(frozen=True)
class ModelAudit:
    """One model on the patients of the register.

    predictions: patients that it predicted. awaiting: those without a response yet. known_before:
    those whose response was known or recorded before the prediction, which do not count. repeats:
    later predictions of the same patients, which do not count either. agreement: of the rest.
    first_day, last_day: ISO. by_similarity: verdict -> agreement of the counted patients with it.
    """

    bundle_id: str
    demonstration: bool
    model: str
    threshold: float
    predictions: int
    awaiting: int
    known_before: int
    repeats: int
    first_day: str
    last_day: str
    agreement: Agreement
    periods: tuple[Period, ...]
    by_similarity: dict[str, Agreement]

    @property
    def statement(self) -> str:
        """The sentence that must stand wherever this audit is shown."""
        return DEMONSTRATION if self.demonstration else RESEARCH_USE

    def cautions(self) -> tuple[str, ...]:
        """What a reader must know before the figures, in sentences."""
        found = []
        if self.awaiting:
            found.append(f"{_of(self.awaiting, self.predictions)} no response recorded.")
            if self.agreement.n:
                found[-1] += " If those are the ones who did badly, or well, the figures mislead."
        if self.known_before:
            found.append(
                f"{_of(self.known_before, self.predictions)} a response that was known before the "
                "prediction, and do not count: a model is tested by what is not known yet."
            )
        if self.repeats:
            times = "1 later prediction" if self.repeats == 1 else f"{self.repeats} later predictions"
            found.append(f"{times} of the same patients do not count: the first one does.")
        return (*found, *self.agreement.cautions())

    def to_json(self) -> dict:
        """JSON types, keys stable across versions of the format; no patient is named."""
        return {
            "bundle_id": self.bundle_id,
            "demonstration": self.demonstration,
            "statement": self.statement,
            "model": self.model,
            "threshold": self.threshold,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "predictions": self.predictions,
            "awaiting": self.awaiting,
            "known_before": self.known_before,
            "repeats": self.repeats,
            **self.agreement.to_json(),
            "cautions": list(self.cautions()),
            "similarity": [{"verdict": v, **found.to_json()} for v, found in self.by_similarity.items()],
            "periods": [
                {
                    "period": p.name,
                    "predictions": p.predictions,
                    "own": p.own.to_json(),
                    "so_far": p.so_far.to_json(),
                }
                for p in self.periods
            ],
        }


def audit_register(
    recorded: Sequence[Recorded], *, bundle_id: str | None = None, period: str = "quarter"
) -> tuple[ModelAudit, ...]:
    """Every model of the register, or the one named, in the order of their first predictions.

    recorded: as `Register.recorded` gives them. period: month, quarter or year, by the day of the scan
    or prediction. Raises RegisterError when there is nothing to audit.
    """
    if period not in PERIODS:
        raise RegisterError("there is no such period", expected=", ".join(PERIODS), received=period)
    bundles = list(dict.fromkeys(one.bundle_id for one in recorded))
    wanted = bundles if bundle_id is None else [name for name in bundles if name == bundle_id]
    if not wanted:
        raise RegisterError(
            "the register holds no prediction" + (" of this model" if bundles else ""),
            field="bundle" if bundles else "register",
            expected=", ".join(bundles) if bundles else "patients predicted with --register",
            received=bundle_id or "none",
        )
    return tuple(_audit([one for one in recorded if one.bundle_id == name], period) for name in wanted)


def _audit(recorded: Sequence[Recorded], period: str) -> ModelAudit:
    """The audit of one bundle's predictions."""
    first, days = recorded[0], sorted(one.day for one in recorded)
    asked_in_time = [one for one in recorded if not one.known_before]
    counted = [one for one in asked_in_time if one.response is not None]
    verdicts = [v for v in VERDICTS if any(one.similarity == v for one in counted)]
    return ModelAudit(
        bundle_id=first.bundle_id,
        demonstration=any(one.demonstration for one in recorded),
        model=first.model,
        threshold=first.threshold,
        predictions=len(recorded),
        awaiting=len(asked_in_time) - len(counted),
        known_before=len(recorded) - len(asked_in_time),
        repeats=sum(one.repeats for one in recorded),
        first_day=days[0],
        last_day=days[-1],
        agreement=Agreement.of(counted, first.threshold),
        periods=_periods(asked_in_time, period, first.threshold),
        by_similarity={
            v: Agreement.of([one for one in counted if one.similarity == v], first.threshold)
            for v in verdicts
        },
    )


def _periods(recorded: Sequence[Recorded], period: str, threshold: float) -> tuple[Period, ...]:
    """The periods in which somebody was predicted, in order."""
    periods, so_far = [], []
    for name in sorted({period_of(one.day, period) for one in recorded}):
        inside = [one for one in recorded if period_of(one.day, period) == name]
        known = [one for one in inside if one.response is not None]
        so_far = [*so_far, *known]
        agreements = (Agreement.of(known, threshold), Agreement.of(so_far, threshold))
        periods.append(Period(name, len(inside), *agreements))
    return tuple(periods)


def period_of(day: str, period: str) -> str:
    """The period that an ISO day lies in: "2025-03", "2025 Q1" or "2025"; names sort in time."""
    year, month, _ = day.split("-")
    return {"month": f"{year}-{month}", "quarter": f"{year} Q{(int(month) + 2) // 3}", "year": year}[period]


def _of(count: int, total: int) -> str:
    """How a sentence about some of the patients begins."""
    return f"{count} of {total} patient{'' if total == 1 else 's'} {'has' if count == 1 else 'have'}"


def _interval(found: Auc | Proportion, name: str) -> dict:
    return {"estimate": getattr(found, name), "ci_low": found.ci_low, "ci_high": found.ci_high}
