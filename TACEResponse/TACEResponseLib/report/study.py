"""What a report is made of: one training run, or one external validation of a finished model.

Both give the same `Study`, in which a part that does not exist is None; the rooms of the report
say of an absent part why it is absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from TACEResponseLib.answer.prediction import DEMONSTRATION, RESEARCH_USE
from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.statistics.crossvalidation import (
    WithinFolds,
    auc_difference,
    auc_interval,
    comparable_scores,
    fixed_score,
    mean_roc,
    subgroup_bounds,
    within_folds,
)
from TACEResponseLib.statistics.discrimination import (
    AucDifference,
    Operating,
    at_threshold,
    roc_curve,
    when_called,
)
from TACEResponseLib.statistics.intervals import FEWEST_FOR_AUC, AucInterval, auc_newcombe
from TACEResponseLib.statistics.outcome import NON_RESPONDER, OBJECTIVE_RESPONSE, RESPONDER
from TACEResponseLib.statistics.small_classes import FEWEST_FOR_TEST, paired_comparison

from .rivals import rivals

if TYPE_CHECKING:
    from TACEResponseLib.bundle import BundleManifest
    from TACEResponseLib.selection.reliability import ReliabilityTable
    from TACEResponseLib.training.centers import HeldOutCenter
    from TACEResponseLib.training.controls import Controls
    from TACEResponseLib.training.inputs import Labelled
    from TACEResponseLib.training.model import TrainingRecord
    from TACEResponseLib.training.out_of_fold import OutOfFold
    from TACEResponseLib.training.outlines import TwoOutlines
    from TACEResponseLib.training.run import Trained
    from TACEResponseLib.training.stability import Refits

#: Of every interval that is stated.
LEVEL = 0.95
ESTIMATES = {
    "out_of_fold": mark("out of fold"),
    "external": mark("external"),
    "resubstitution": mark("resubstitution (optimistic)"),
}
#: Parts of a study.
TRAINING, VALIDATION = "training", "validation"
COHORTS = {TRAINING: mark("training"), VALIDATION: mark("validation")}
OUTCOMES = {RESPONDER: mark("responder"), NON_RESPONDER: mark("non-responder")}
OTHER_OUTCOME = mark(
    "The outcome here is {outcome}, not objective response: the model was not developed to predict it, and "
    "these figures are not pooled with those of response."
)
FITTED = mark(
    "{fitted} of {patients} patients evaluated here were used to train the model: these figures are "
    "optimistic and show nothing about new patients."
)


@dataclass(frozen=True)
class Scored:
    """Patients with what every model said of them; one estimate, never mixed with another.

    cohort: the part of the study they belong to. probabilities: model or fusion -> (n,). ranking:
    the same, what curves are drawn from. out_of_fold: where the estimate comes from folds, whose
    scores are compared within a fold and whose intervals count the variance of training.
    """

    estimate: Literal["out_of_fold", "external", "resubstitution"]
    cohort: Literal["training", "validation"]
    patients: "Labelled"
    probabilities: Mapping[str, np.ndarray]
    ranking: Mapping[str, np.ndarray]
    out_of_fold: "OutOfFold | None" = None

    @property
    def labels(self) -> np.ndarray:
        """(n,) 1 responder, 0 not."""
        return self.patients.outcome.labels

    @property
    def title(self) -> str:
        """The estimate in words, as every table and figure names it."""
        return tr(ESTIMATES[self.estimate])

    @property
    def part(self) -> str:
        """The cohort in words."""
        return tr(COHORTS[self.cohort])

    @property
    def where(self) -> str:
        """Estimate and cohort in words: "external, validation"."""
        return tr("{estimate}, {cohort}", estimate=self.title, cohort=self.part)

    @property
    def has_auc(self) -> bool:
        """Whether both classes are there."""
        return has_auc(self.labels)

    @cached_property
    def rivals(self) -> dict[str, np.ndarray]:
        """Tumour size as measured: name -> (n,) score, see `rivals`."""
        return rivals(self.patients.table)

    def auc(self, name: str, chosen: np.ndarray | None = None) -> AucInterval:
        """AUC of a model, a fusion or a rival with its interval; chosen: (n,) bool, a part of the patients.

        Out of fold after `crossvalidation`, the mean over repeats; elsewhere, and for a rival that nobody
        trained, after Newcombe.
        """
        everybody = np.ones(len(self.labels), dtype=bool) if chosen is None else chosen
        if name in self.rivals or self.out_of_fold is None:
            scores = self.rivals.get(name, self.ranking.get(name))
            return auc_newcombe(self.labels[everybody], scores[everybody])
        trained = auc_interval(self.out_of_fold.aucs[name])
        responders, others = (int((self.labels[everybody] == label).sum()) for label in (1, 0))
        if chosen is None:
            bounds = trained.auc, trained.ci_low, trained.ci_high
            return AucInterval(*bounds, responders, others, LEVEL)
        comparable = comparable_scores(self.ranking[name], self.out_of_fold.folds[0])
        part = auc_newcombe(self.labels[everybody], comparable[everybody])
        if part.ci_low is None:
            return part
        share = everybody.mean()
        low, high = subgroup_bounds(part.auc, responders, others, share, trained.design_effect)
        return replace(part, ci_low=low, ci_high=high)

    def roc(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(m,) 1 - specificity and (m,) sensitivity, whose area is the AUC that `auc` states."""
        if self.out_of_fold is None:
            curve = roc_curve(self.labels, self.ranking[name])
            return 1 - curve.specificity, curve.sensitivity
        held_out = self.out_of_fold
        return mean_roc(self.labels, held_out.folds, held_out.scores.get(name, held_out.calibrated[name]))

    def difference(self, first: str, second: str) -> AucDifference | None:
        """AUC of the first minus that of the second, models, fusions or rivals, on the same patients.

        None where a class is too small for any test.
        """
        if self.out_of_fold is None:
            scores = {**self.ranking, **self.rivals}
            return paired_comparison(self.labels, scores[first], scores[second], (first, second))
        found = auc_difference(self._within(first), self._within(second))
        bounds = (found.difference, found.ci_low, found.ci_high, found.z, found.p, found.p)
        return AucDifference(first, second, *bounds)

    def compared_auc(self, name: str) -> float:
        """The AUC that `difference` compares: out of fold that within the folds, of a rival too."""
        return self.auc(name).auc if self.out_of_fold is None else self._within(name).auc

    @property
    def testable(self) -> bool:
        """Whether there are enough patients of each class for a test that compares two AUCs."""
        return self.out_of_fold is not None or fewest_of_a_class(self.labels) >= FEWEST_FOR_TEST

    def operating(self, name: str, threshold: float, chosen: np.ndarray | None = None) -> Operating:
        """Sensitivity and the like of a model at the threshold that training fixed; chosen: as for `auc`.

        Out of fold each fold has a threshold that was chosen without it: the shipped one, which is the
        best on these very patients, would flatter them.
        """
        part = slice(None) if chosen is None else chosen
        if self.out_of_fold is not None:
            called = self.out_of_fold.thresholds[name].called
            return when_called(self.labels[part], called[part], threshold)
        return at_threshold(self.labels[part], self.probabilities[name][part], threshold)

    def _within(self, name: str) -> WithinFolds:
        if name not in self.rivals:
            return self.out_of_fold.aucs[name]
        folds = self.out_of_fold.folds
        return within_folds(self.labels, folds, *fixed_score(self.rivals[name], folds))

    def by_center(self) -> dict[str, np.ndarray]:
        """Centre -> (n,) bool; everybody under "" first, centres only where there are several."""
        names = sorted({name for name in self.patients.table.centers if name})
        of = np.array(self.patients.table.centers)
        names = names if len(names) > 1 else []
        return {"": np.ones(len(of), dtype=bool)} | {name: of == name for name in names}


def has_auc(labels: np.ndarray) -> bool:
    """Whether labels (n,) hold enough patients of each class for an AUC with its interval."""
    return fewest_of_a_class(labels) >= FEWEST_FOR_AUC


def fewest_of_a_class(labels: np.ndarray) -> int:
    """Patients of the smaller class of labels (n,)."""
    return int(np.bincount(labels.astype(int), minlength=2).min())


@dataclass(frozen=True)
class Study:
    """A model with the patients it was trained on, those it was tried on, or both.

    record, training, reliability, stability: of the training, None or empty in a validation.
    sources: name of each table that was read -> sha256. manifest: of the saved bundle. warnings: what
    went otherwise than asked, without costing a patient. refits, controls, by_center: of `Trained`.
    outcome: what the labels of the external patients say. outlines: the same patients with a second outline.
    """

    model: ResponseModel
    external: "Labelled | None"
    left_out: Mapping[str, Problem]
    training: "Labelled | None" = None
    record: "TrainingRecord | None" = None
    reliability: "ReliabilityTable | None" = None
    stability: Mapping[str, float] = field(default_factory=dict)
    manifest: "BundleManifest | None" = None
    sources: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    refits: "Refits | None" = None
    controls: "Controls | None" = None
    by_center: "tuple[HeldOutCenter, ...]" = ()
    outcome: str = OBJECTIVE_RESPONSE
    outlines: "TwoOutlines | None" = None

    @classmethod
    def of_training(
        cls,
        trained: "Trained",
        manifest: "BundleManifest | None" = None,
        sources: Mapping[str, str] | None = None,
    ) -> "Study":
        """The study of a training run with, where there is one, its validation cohort."""
        return cls(
            model=trained.model,
            external=trained.external,
            left_out=trained.left_out,
            training=trained.training,
            record=trained.record,
            reliability=trained.reliability,
            stability=trained.stability,
            manifest=manifest,
            sources=sources or {},
            warnings=trained.warnings,
            refits=trained.refits,
            controls=trained.controls,
            by_center=trained.by_center,
        )

    @cached_property
    def fitted(self) -> tuple[str, ...]:
        """External patients that the model was trained on; empty in an honest validation."""
        if self.external is None:
            return ()
        table = self.external.table
        return self.model.training.among(table.patient_ids, table.image_hashes)

    @cached_property
    def scored(self) -> tuple[Scored, ...]:
        """The estimates that figures and tables show: out of fold, then the validation cohort."""
        groups = []
        if self.record is not None:
            held_out = self.record.out_of_fold
            ranking = {n: held_out.scores.get(n, v)[0] for n, v in held_out.calibrated.items()}
            answers = (held_out.probabilities, ranking, held_out)
            groups.append(Scored("out_of_fold", "training", self.training, *answers))
        if self.external is not None:
            estimate = "resubstitution" if self.fitted else "external"
            table = self.external.table
            answers = (self.model.probabilities(table), self.model.ranking(table))
            groups.append(Scored(estimate, "validation", self.external, *answers))
        return tuple(groups)

    @cached_property
    def with_auc(self) -> tuple[Scored, ...]:
        """Those of `scored` that hold both classes."""
        return tuple(group for group in self.scored if group.has_auc)

    @property
    def models(self) -> tuple[str, ...]:
        """Single models and fusions, in the order of the paper."""
        return tuple(self.scored[0].probabilities) if self.scored else ()

    @property
    def singles(self) -> tuple[str, ...]:
        """The models that are no fusion."""
        return tuple(name for name in self.models if not self.model.combinations[name].is_fusion)

    @property
    def rival(self) -> str | None:
        """The measure of tumour size that the headline is compared with; None where none is known."""
        return next((name for group in self.scored for name in group.rivals), None)

    @property
    def other_outcome(self) -> bool:
        """Whether the external patients have another outcome than the model was developed to predict."""
        return self.outcome != OBJECTIVE_RESPONSE

    @property
    def marks(self) -> tuple[str, ...]:
        """Sentences that every page of this study begins and ends with."""
        marks = [tr(DEMONSTRATION)] if self.model.demonstration else []
        if self.other_outcome:
            marks.append(tr(OTHER_OUTCOME, outcome=self.outcome))
        if self.fitted:
            marks.append(tr(FITTED, fitted=len(self.fitted), patients=len(self.external)))
        return tuple(marks)

    @property
    def statements(self) -> tuple[str, ...]:
        """The marks, or the sentence that stands where there are none."""
        return self.marks or (tr(RESEARCH_USE),)

    @property
    def first(self) -> str:
        """The part of the study that tables of one cohort show, in words: the training where it is known."""
        return tr(COHORTS[TRAINING if self.training is not None else VALIDATION])

    @property
    def no_external(self) -> str:
        """Why there are no figures of a validation cohort; empty when there are."""
        if self.external is None:
            return tr("no patient of the cohort is marked for validation")
        if not has_auc(self.external.outcome.labels):
            responders = self.external.outcome.responders
            return tr(
                "{responders} of {patients} validation patients respond: no AUC exists",
                responders=responders,
                patients=len(self.external),
            )
        return ""
