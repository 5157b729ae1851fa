"""A step between measuring and models: it is fitted on a fold's patients and changes the table.

STEPS is the one table of them, in their order. A new step is a file of its own and a line there.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome


class FittedStep(ABC):
    """What one fit yields; `transform` treats any table as the fitted patients were treated.

    selects: whether `transform` leaves columns out; models that look at all features skip it.
    """

    selects: ClassVar[bool] = False

    @abstractmethod
    def transform(self, table: PatientTable) -> PatientTable:
        """The same patients, changed."""

    @abstractmethod
    def to_json(self) -> dict:
        """JSON types; `Step.from_json` turns them back."""


@dataclass(frozen=True)
class Step(ABC):
    """How one step is fitted; an instance holds its settings.

    name: in files and settings. selects: whether it leaves columns out.
    """

    name: str
    selects: ClassVar[bool] = False

    @abstractmethod
    def configured(self, settings: TrainingSettings) -> "Step | None":
        """The step as these settings ask for it, None when they do not."""

    @abstractmethod
    def fit(
        self, table: PatientTable, outcome: Outcome, seed: int, jobs: int = 1, progress: Progress = silent
    ) -> FittedStep:
        """Fit on these patients, and on these only. Raises TrainingError."""

    @abstractmethod
    def from_json(self, content: Mapping) -> FittedStep:
        """What `FittedStep.to_json` gave; BundleError when it is none."""
