"""Whether a cohort has enough patients to train on, said in the same words before any work and by it."""

from dataclasses import replace

import numpy as np

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.statistics.outcome import Outcome

from .table import Cohort


def require_enough(cohort: Cohort, folds: int) -> None:
    """Raise TrainingError when the patients for training are too few for so many folds, 3 or more.

    It names which rows count where not all do. A cohort without any label passes: why is said elsewhere.
    """
    training = cohort.part(training=True)
    labels = [p.label for p in training if p.label is not None]
    try:
        if labels:
            Outcome(np.array(labels)).check(folds)
    except TrainingError as error:
        said = error.problem
        if len(training) == len(cohort.patients):
            raise
        which = tr(
            "{n} of {all} patients are for training (column cohort empty or training)",
            n=len(training),
            all=len(cohort.patients),
        )
        received = tr("; ").join((said.received, which))
        raise TrainingError.from_problem(replace(said, received=received)) from None
