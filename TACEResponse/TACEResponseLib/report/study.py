"""What a report is made of: one training run, or one external validation of a finished model.

Both give the same `Study`, in which a part that does not exist is None; the rooms of the report
say of an absent part why it is absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from TACEResponseLib.answer.prediction import DEMONSTRATION
from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.errors import Problem

if TYPE_CHECKING:
    from TACEResponseLib.bundle import BundleManifest
    from TACEResponseLib.selection.reliability import ReliabilityTable
    from TACEResponseLib.training.inputs import Labelled
    from TACEResponseLib.training.model import TrainingRecord
    from TACEResponseLib.training.run import Trained

#: An AUC and its variance need this many patients of each class.
FEWEST_FOR_AUC = 2
ESTIMATES = {
    "out_of_fold": "out of fold",
    "external": "external",
    "resubstitution": "resubstitution (optimistic)",
}


@dataclass(frozen=True)
class Scored:
    """Patients with what every model said of them; one estimate, never mixed with another.

    cohort: the part of the study they belong to. probabilities: model or fusion -> (n,). ranking:
    the same, what AUCs are computed from (see `OutOfFold.ranking`).
    """

    estimate: Literal["out_of_fold", "external", "resubstitution"]
    cohort: Literal["training", "validation"]
    patients: "Labelled"
    probabilities: Mapping[str, np.ndarray]
    ranking: Mapping[str, np.ndarray]

    @property
    def labels(self) -> np.ndarray:
        """(n,) 1 responder, 0 not."""
        return self.patients.outcome.labels

    @property
    def title(self) -> str:
        """The estimate in words, as every table and figure names it."""
        return ESTIMATES[self.estimate]

    @property
    def has_auc(self) -> bool:
        """Whether both classes are there."""
        return has_auc(self.labels)

    def by_center(self) -> dict[str, np.ndarray]:
        """Centre -> (n,) bool; everybody under "" first, centres only where there are several."""
        names = sorted({name for name in self.patients.table.centers if name})
        of = np.array(self.patients.table.centers)
        several = names if len(names) > 1 else []
        return {"": np.ones(len(of), dtype=bool)} | {name: of == name for name in several}


def has_auc(labels: np.ndarray) -> bool:
    """Whether labels (n,) hold enough patients of each class for an AUC with its interval."""
    return bool(np.bincount(labels.astype(int), minlength=2).min() >= FEWEST_FOR_AUC)


@dataclass(frozen=True)
class Study:
    """A model with the patients it was trained on, those it was tried on, or both.

    record, training, reliability, stability: of the training, None or empty in a validation.
    sources: name of each table that was read -> sha256. manifest: of the saved bundle. warnings: what
    went otherwise than asked, without costing a patient.
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
            answers = (held_out.probabilities, held_out.ranking)
            groups.append(Scored("out_of_fold", "training", self.training, *answers))
        if self.external is not None:
            estimate = "resubstitution" if self.fitted else "external"
            answers = self.model.probabilities(self.external.table)
            groups.append(Scored(estimate, "validation", self.external, answers, answers))
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
    def marks(self) -> tuple[str, ...]:
        """Sentences that every page of this study begins and ends with."""
        marks = [DEMONSTRATION] if self.model.demonstration else []
        if self.fitted:
            marks.append(
                f"{len(self.fitted)} of {len(self.external)} patients evaluated here were used to "
                "train the model: these figures are optimistic and show nothing about new patients."
            )
        return tuple(marks)

    @property
    def statements(self) -> tuple[str, ...]:
        """The marks, or the sentence that stands where there are none."""
        return self.marks or ("For research use only; not a medical device.",)

    @property
    def no_external(self) -> str:
        """Why there are no figures of a validation cohort; empty when there are."""
        if self.external is None:
            return "no patient of the cohort is marked for validation"
        if not has_auc(self.external.outcome.labels):
            responders = self.external.outcome.responders
            return f"{responders} of {len(self.external)} validation patients respond: no AUC exists"
        return ""
