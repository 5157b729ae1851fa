"""One fit: steps and learners on some patients; nothing outside them is looked at."""

import dataclasses

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import listed, tr
from TACEResponseLib.messages.progress import Progress
from TACEResponseLib.models.fold_models import FoldModels, views
from TACEResponseLib.models.learners import LEARNERS, configured
from TACEResponseLib.selection import steps as selection_steps
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome


def fit_models(
    table: PatientTable,
    outcome: Outcome,
    settings: TrainingSettings,
    seed: int,
    jobs: int,
    progress: Progress,
) -> FoldModels:
    """Fit the steps, then every learner that the settings name and that can learn from the table.

    Whoever calls decides which patients are in the table. jobs: threads. Raises TrainingError.
    """
    learners = [learner for learner in configured(settings) if learner.can_learn_from(table)]
    steps, seen = {}, table
    for step in selection_steps.configured(settings) if table.feature_names else ():
        if step.selects and not any(learner.needs == "selected" for learner in learners):
            continue
        steps[step.name] = step.fit(seen, outcome, seed, jobs, progress)
        seen = steps[step.name].transform(seen)
    tables = views(steps, table)
    models = {
        learner.name: learner.fit(tables[learner.needs], outcome, seed, progress) for learner in learners
    }
    return FoldModels(steps, models)


def without_pictures(settings: TrainingSettings) -> TrainingSettings:
    """The recipe without the models of pictures, whose many fits would take days.

    Raises TrainingError when nothing is left of it.
    """
    models = tuple(name for name in settings.models if LEARNERS[name].needs != "pixels")
    if not models:
        raise TrainingError(
            tr("the recipe has no model that can be fitted many times"),
            field="models",
            expected=tr("a model of features or of tumour size"),
            received=listed(settings.models),
        )
    return dataclasses.replace(settings, models=models, network=None)
