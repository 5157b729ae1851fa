"""The one contract of learning: what a model says of itself, and what it has fitted.

A learner knows how a model is fitted; `Learner.fit` gives a `FittedModel`, which scores patients and
can be saved. `learners.LEARNERS` is the one table of them. Whoever calls `fit` decides which patients
are in the table; a learner looks at nothing else.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

#: What a learner looks at: the features that the selection chose, all of them, the picture of the
#: largest slice, or the largest diameter.
Need = Literal["selected", "features", "pixels", "size"]


class FittedModel(ABC):
    """What one fit yields.

    features: names of the columns that `score` looks at, in the model's order; () for a model of
    pictures or size. warnings: what went otherwise than asked.
    """

    features: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def by_importance(self) -> tuple[str, ...]:
        """`features`, the most important ones first where the model knows that."""
        return self.features

    def thinned(self) -> "FittedModel":
        """A smaller copy for the spread of the folds' answers; the model itself where it is small."""
        return self

    @abstractmethod
    def score(self, table: PatientTable) -> np.ndarray:
        """(n,) float64, higher means response more likely; the unit is the model's own."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the file that the learner's `load` reads, into a folder that exists."""


@dataclass(frozen=True)
class Learner(ABC):
    """How one model is fitted; an instance holds its settings.

    name: in files and settings. title: in English words, within a sentence; `combination.title` says it in
    the reader's language. needs: see `Need`. sourced: as the
    methods of a paper name it, with `[@key]` of its source (`report.sources`), "" for the title.
    """

    name: str
    title: str
    needs: Need
    sourced: str = ""

    def configured(self, settings: TrainingSettings) -> "Learner":
        """The learner as these settings ask for it."""
        return self

    def can_learn_from(self, table: PatientTable) -> bool:
        """Whether the table holds what the learner needs, in a form from which something can be learned."""
        return self.can_score(table)

    def can_score(self, table: PatientTable) -> bool:
        """Whether the table holds what a fitted model looks at."""
        if self.needs == "pixels":
            return table.pixels is not None
        if self.needs == "size":
            return table.diameters_mm is not None
        return bool(table.feature_names)

    @abstractmethod
    def fit(
        self, table: PatientTable, outcome: Outcome, seed: int, progress: Progress = silent
    ) -> FittedModel:
        """Fit on these patients, and on these only; the same seed gives the same model.

        Raises TrainingError when the table or the outcome cannot be used.
        """

    @abstractmethod
    def load(self, folder: Path, features: tuple[str, ...]) -> FittedModel | None:
        """What `FittedModel.save` wrote into the folder, None where there is no such file.

        features: of the model. Runs no code from the file. Raises BundleError.
        """
