"""`FoldModels`: the steps and models that one fit on some patients yields, and what they say of others."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.selection.step import FittedStep

from .contract import FittedModel, Need
from .learners import LEARNERS


@dataclass(frozen=True)
class FoldModels:
    """steps: by name, in their order. models: by name; one that could not be fitted is absent."""

    steps: Mapping[str, FittedStep]
    models: Mapping[str, FittedModel]

    @property
    def selected(self) -> tuple[str, ...]:
        """Features that the selection chose, the most important ones first; () without a selection."""
        return self.steps["select"].chosen if "select" in self.steps else ()

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature that some model looks at, each once: what has to be measured."""
        return tuple(dict.fromkeys(name for model in self.models.values() for name in model.features))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What went otherwise than asked in the fit."""
        return tuple(warning for model in self.models.values() for warning in model.warnings)

    def scores(self, table: PatientTable) -> dict[str, np.ndarray]:
        """Model -> (n,) scores, higher means responder; only models whose inputs are in the table."""
        seen = views(self.steps, table)
        return {
            name: model.score(seen[LEARNERS[name].needs])
            for name, model in self.models.items()
            if LEARNERS[name].can_score(table)
        }

    def transformed(self, table: PatientTable) -> PatientTable:
        """The patients as a model of all features sees them: harmonised where that was asked for."""
        return views(self.steps, table)["features"]

    def only(self, names: Collection[str]) -> "FoldModels":
        """These fits without the models that are not named, and those that are left made small."""
        return replace(self, models={n: m.thinned() for n, m in self.models.items() if n in names})

    def without(self, names: Collection[str]) -> "FoldModels":
        """These fits without the models that are named."""
        return replace(self, models={n: m for n, m in self.models.items() if n not in names})


def views(steps: Mapping[str, FittedStep], table: PatientTable) -> dict[Need, PatientTable]:
    """The table as each kind of learner sees it; a table without features passes no step."""
    features = selected = table
    for step in steps.values() if table.feature_names else ():
        if not step.selects:
            features = step.transform(features)
        selected = step.transform(selected)
    return {"pixels": table, "size": table, "features": features, "selected": selected}
