"""Two finished models on the same patients, whom neither has seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.cohorts.table import Cohort
from TACEResponseLib.messages.errors import Problem, SettingsError, TrainingError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.statistics.discrimination import AucDifference
from TACEResponseLib.statistics.intervals import (
    AucInterval,
    ObservedExpected,
    auc_newcombe,
    observed_expected,
)
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.statistics.small_classes import paired_comparison

from .external import external_patients


@dataclass(frozen=True)
class Answers:
    """One model's headline on the n patients.

    probabilities, ranking: (n,). called: (n,) whether above the model's cut-off.
    """

    bundle_id: str
    headline: str
    probabilities: np.ndarray = field(repr=False)
    ranking: np.ndarray = field(repr=False)
    called: np.ndarray = field(repr=False)
    auc: AucInterval | None
    observed_expected: ObservedExpected
    brier: float


@dataclass(frozen=True)
class BundleComparison:
    """Two models on the same patients. difference: AUC of the first minus the second, None where a class is
    too small. left_out: patient -> why one of the models has no answer."""

    patient_ids: tuple[str, ...]
    outcome: Outcome
    first: Answers
    second: Answers
    difference: AucDifference | None
    left_out: dict[str, Problem]

    @property
    def changed(self) -> np.ndarray:
        """(n,) whether the models put the patient on different sides of their cut-offs."""
        return self.first.called != self.second.called


def compare_models(
    models: Sequence[ResponseModel], cohort: Cohort, *, jobs: int = 1, progress: Progress = silent
) -> BundleComparison:
    """The headlines of two models on a cohort's patients; each model measures as it was trained.

    Raises SettingsError for models of different readings of the response, TrainingError for a patient
    that one of them was trained on, or when no patient is left.
    """
    if len({model.settings.outcome for model in models}) > 1:
        raise SettingsError(
            tr("the two models predict different readings of the response"),
            field="outcome",
            received=tr(" and ").join(model.settings.outcome for model in models),
        )
    found, left_out = [], {}
    for model in models:
        patients, unusable = external_patients(model, cohort, jobs=jobs, progress=progress)
        found.append(patients)
        left_out |= unusable
    ids = [name for name in found[0].table.patient_ids if name in found[1].table.patient_ids]
    if not ids:
        received = tr("{n} left out", n=len(left_out))
        raise TrainingError(tr("no patient has an answer of both models"), received=received)
    rows = [[patients.table.patient_ids.index(name) for name in ids] for patients in found]
    outcome = found[0].outcome.rows(np.array(rows[0]))
    one, other = (
        _on(model, patients.table.rows(np.array(of)), outcome.labels)
        for model, patients, of in zip(models, found, rows, strict=True)
    )
    pair = paired_comparison(outcome.labels, one.ranking, other.ranking, (one.bundle_id, other.bundle_id))
    return BundleComparison(tuple(ids), outcome, one, other, pair, left_out)


def _on(model: ResponseModel, table, labels: np.ndarray) -> Answers:
    """The headline of a model on the (n,) patients of a table."""
    name = model.headline
    probabilities = model.probabilities(table)[name]
    ranking = model.ranking(table)[name]
    both = 0 < labels.sum() < len(labels)
    return Answers(
        bundle_id=model.identity,
        headline=name,
        probabilities=probabilities,
        ranking=ranking,
        called=probabilities > model.thresholds[name],
        auc=auc_newcombe(labels, ranking) if both else None,
        observed_expected=observed_expected(labels, probabilities),
        brier=float(((probabilities - labels) ** 2).mean()),
    )
