"""Extremely randomised trees on all reliable features: many weak cuts, and no selection.

Geurts, Ernst & Wehenkel, Machine Learning 2006;63:3. With more features than patients a selection is
unstable; averaging over trees that each look at a random few leaves it out. With several readers the
trees are fitted to the share of readers who saw a response.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.language import mark
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import ExtraTreesSettings, TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .contract import FittedModel, Learner, Need

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor

FILE = "extra_trees.skops"


@dataclass(frozen=True)
class FittedExtraTrees(FittedModel):
    """The trees, and the columns that they look at, in their order."""

    trees: "ExtraTreesRegressor"
    features: tuple[str, ...]

    @property
    def by_importance(self) -> tuple[str, ...]:
        """The columns, those first that lower the trees' squared error most."""
        return tuple(self.features[n] for n in np.argsort(-self.trees.feature_importances_, kind="stable"))

    def score(self, table: PatientTable) -> np.ndarray:
        """(n,) mean of the trees, between 0 and 1."""
        return self.trees.predict(table.columns(self.features).features)

    def save(self, folder: Path) -> None:
        """Write `extra_trees.skops`."""
        from .skops_file import write_skops

        write_skops(self.trees, folder / FILE)


@dataclass(frozen=True)
class ExtraTrees(Learner):
    """settings: how many trees, and how small their leaves may be."""

    name: str = "extra_trees"
    title: str = mark("extremely randomised trees")
    needs: Need = "features"
    sourced: str = mark("extremely randomised trees [@geurts2006]")
    settings: ExtraTreesSettings = field(default_factory=ExtraTreesSettings)

    def configured(self, settings: TrainingSettings) -> "ExtraTrees":
        """As these settings ask for."""
        return replace(self, settings=settings.extra_trees)

    def fit(
        self, table: PatientTable, outcome: Outcome, seed: int, progress: Progress = silent
    ) -> FittedExtraTrees:
        """Regression on the share of readers who saw a response, which for one reader is the label."""
        from sklearn.ensemble import ExtraTreesRegressor

        trees = ExtraTreesRegressor(
            self.settings.trees,
            min_samples_leaf=self.settings.smallest_leaf,
            max_features="sqrt",
            random_state=seed,
        )
        return FittedExtraTrees(trees.fit(table.features, outcome.soft), table.feature_names)

    def load(self, folder: Path, features: tuple[str, ...]) -> FittedExtraTrees | None:
        """From `extra_trees.skops`."""
        path = folder / FILE
        if not path.is_file():
            return None
        from .skops_file import read_skops

        return FittedExtraTrees(read_skops(path), features)
