"""Tumour size as a model of its own: a logistic model of the largest axial diameter."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.language import mark
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.statistics.fusion import Fusion, fit_falling_curve
from TACEResponseLib.statistics.outcome import Outcome

from .contract import FittedModel, Learner, Need

FILE = "size.json"


@dataclass(frozen=True)
class FittedSize(FittedModel):
    """curve: the logistic model of one number, the diameter in mm, which falls with it."""

    curve: Fusion

    def score(self, table: PatientTable) -> np.ndarray:
        """(n,) probabilities of response."""
        return self.curve.probability(table.diameters_mm[:, None])

    def save(self, folder: Path) -> None:
        """Write `size.json`."""
        text = json.dumps(self.curve.to_json(), indent=1, allow_nan=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8", newline="\n")


@dataclass(frozen=True)
class Size(Learner):
    """The diameter; that a larger tumour responds less is taken as known, how much is learned."""

    name: str = "size"
    title: str = mark("tumour size")
    needs: Need = "size"
    sourced: str = mark("the largest axial diameter alone")

    def can_learn_from(self, table: PatientTable) -> bool:
        """A diameter that all patients share teaches nothing."""
        return self.can_score(table) and np.ptp(table.diameters_mm) > 0

    def fit(
        self, table: PatientTable, outcome: Outcome, seed: int, progress: Progress = silent
    ) -> FittedSize:
        """Nothing is drawn, so the seed has no effect."""
        return FittedSize(fit_falling_curve(table.diameters_mm, outcome.labels))

    def load(self, folder: Path, features: tuple[str, ...]) -> FittedSize | None:
        """From `size.json`."""
        path = folder / FILE
        if not path.is_file():
            return None
        return FittedSize(Fusion.from_json(json.loads(path.read_text(encoding="utf-8"))))
