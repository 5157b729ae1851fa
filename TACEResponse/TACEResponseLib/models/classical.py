"""The paper's five classical models as learners; `recipes` says how each is built."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .contract import FittedModel, Learner
from .recipes import CLASSIFIERS, Variant

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

#: Trees of a forest that stand beside the shipped one, of its five hundred: enough for a spread.
FOLD_TREES = 200


@dataclass(frozen=True)
class FittedClassical(FittedModel):
    """A fitted pipeline of scaler and model, and the columns that it looks at, in its order."""

    name: str
    pipeline: "Pipeline"
    features: tuple[str, ...]

    def score(self, table: PatientTable) -> np.ndarray:
        """(n,) scores, see `fitting.score`."""
        from .fitting import score

        return score(self.pipeline, table.columns(self.features).features)

    def save(self, folder: Path) -> None:
        """Write `NAME.skops`."""
        from .skops_file import write_skops

        write_skops(self.pipeline, folder / f"{self.name}.skops")

    def thinned(self) -> "FittedClassical":
        """With the first FOLD_TREES trees of a forest, in a copy; any other model as it is."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import Pipeline

        name, forest = self.pipeline.steps[-1]
        if not isinstance(forest, RandomForestClassifier) or len(forest.estimators_) <= FOLD_TREES:
            return self
        few = copy.copy(forest)
        few.estimators_, few.n_estimators = forest.estimators_[:FOLD_TREES], FOLD_TREES
        return replace(self, pipeline=Pipeline([*self.pipeline.steps[:-1], (name, few)]))


@dataclass(frozen=True)
class Classical(Learner):
    """One of CLASSIFIERS. variant: the paper's, or tuned inside the patients that it is given."""

    variant: Variant = "paper"

    @classmethod
    def of(cls, name: str) -> "Classical":
        """The learner of a line of CLASSIFIERS."""
        return cls(name, CLASSIFIERS[name].title, "selected", CLASSIFIERS[name].sourced)

    def configured(self, settings: TrainingSettings) -> "Classical":
        """In the variant that these settings ask for."""
        return replace(self, variant=settings.classifiers)

    def fit(
        self, table: PatientTable, outcome: Outcome, seed: int, progress: Progress = silent
    ) -> FittedClassical:
        """See `fitting.fit_classifier`."""
        from .fitting import fit_classifier

        pipeline = fit_classifier(
            self.name,
            table.features,
            outcome.labels,
            variant=self.variant,
            seed=seed,
            groups=table.groups,
        )
        return FittedClassical(self.name, pipeline, table.feature_names)

    def load(self, folder: Path, features: tuple[str, ...]) -> FittedClassical | None:
        """From `NAME.skops`."""
        path = folder / f"{self.name}.skops"
        if not path.is_file():
            return None
        from .skops_file import read_skops

        return FittedClassical(self.name, read_skops(path), features)
