"""The step that leaves the models a few features: recursive elimination inside the fold."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import BundleError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import SelectionSettings, TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .elimination import Selection, eliminate
from .step import FittedStep, Step


@dataclass(frozen=True)
class Selected(FittedStep):
    """chosen: names of the features, most important first. selection: how they were chosen; not saved."""

    chosen: tuple[str, ...]
    selection: Selection | None = field(default=None, compare=False)
    selects: ClassVar[bool] = True

    def transform(self, table: PatientTable) -> PatientTable:
        """The chosen columns alone."""
        return table.columns(self.chosen)

    def to_json(self) -> dict:
        """`chosen`."""
        return {"chosen": list(self.chosen)}


@dataclass(frozen=True)
class Select(Step):
    """settings: of the elimination; see `elimination`."""

    name: str = "select"
    selects: ClassVar[bool] = True
    settings: SelectionSettings = field(default_factory=SelectionSettings)

    def configured(self, settings: TrainingSettings) -> "Select":
        """With the elimination that these settings describe."""
        return replace(self, settings=settings.selection)

    def fit(
        self, table: PatientTable, outcome: Outcome, seed: int, jobs: int = 1, progress: Progress = silent
    ) -> Selected:
        """Choose among the table's features; see `elimination.eliminate`."""
        selection = eliminate(
            table.features,
            table.feature_names,
            outcome.labels,
            self.settings,
            seed=seed,
            groups=table.groups,
            jobs=jobs,
            progress=progress,
        )
        return Selected(selection.chosen, selection)

    def from_json(self, content: Mapping) -> Selected:
        """What `Selected.to_json` gave."""
        try:
            return Selected(tuple(map(str, content["chosen"])))
        except (KeyError, TypeError) as error:
            raise BundleError(tr("the selected features cannot be read"), received=repr(error)) from None
