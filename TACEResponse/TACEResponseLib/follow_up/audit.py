"""The audit: how the predictions that a register keeps met what became of the patients.

Each model by itself. What counts is the first prediction of a patient, made before the response was
known; everything else is counted and said. Nothing is computed from too few patients: an absent figure
is None with a sentence beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from TACEResponseLib.answer.prediction import DEMONSTRATION, RESEARCH_USE
from TACEResponseLib.messages.errors import RegisterError
from TACEResponseLib.messages.language import listed, mark, several, tr

from .agreement import Agreement
from .register import Recorded
from .register_schema import NOT_ASSESSED

#: What similarity says of a patient, a code that `tr` says in the reader's language.
VERDICTS = (mark("inside"), mark("at the edge"), mark("outside"), NOT_ASSESSED)
PERIODS = ("month", "quarter", "year")


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
        return tr(DEMONSTRATION) if self.demonstration else tr(RESEARCH_USE)

    def cautions(self) -> tuple[str, ...]:
        """What a reader must know before the figures, in sentences."""
        found = []
        if self.awaiting:
            some = _some(self.awaiting, self.predictions)
            found.append(
                tr(
                    "{some} no response recorded. If those are the ones who did badly, or well, the figures "
                    "mislead.",
                    some=some,
                )
                if self.agreement.n
                else tr("{some} no response recorded.", some=some)
            )
        if self.known_before:
            found.append(
                tr(
                    "{some} a response that was known before the prediction, and do not count: a model is "
                    "tested by what is not known yet.",
                    some=_some(self.known_before, self.predictions),
                )
            )
        if self.repeats:
            found.append(
                several(
                    self.repeats,
                    "1 later prediction of the same patients do not count: the first one does.",
                    "{n} later predictions of the same patients do not count: the first one does.",
                )
            )
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
        raise RegisterError(tr("there is no such period"), expected=listed(PERIODS), received=period)
    bundles = list(dict.fromkeys(one.bundle_id for one in recorded))
    wanted = bundles if bundle_id is None else [name for name in bundles if name == bundle_id]
    if not wanted:
        raise RegisterError(
            tr("the register holds no prediction of this model")
            if bundles
            else tr("the register holds no prediction"),
            field="bundle" if bundles else "register",
            expected=listed(bundles) if bundles else tr("patients predicted with --register"),
            received=bundle_id or tr("none"),
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


def _some(count: int, total: int) -> str:
    """How a sentence about some of the patients begins."""
    if total == 1:
        return tr("1 of 1 patient has")
    return several(count, "1 of {total} patients has", "{n} of {total} patients have", total=total)
