"""How many patients the planned training needs, said before anything is computed."""

import numpy as np

from TACEResponseLib.cohorts.table import Cohort
from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.sample_size import ANTICIPATED_C, DevelopmentSize, development_size


def planned_size(cohort: Cohort, settings: TrainingSettings) -> DevelopmentSize | None:
    """Riley's criteria for the recipe and the training part of the cohort; None without both classes."""
    labels = np.array([p.label for p in cohort.part(training=True) if p.label is not None])
    if len(np.unique(labels)) < 2:
        return None
    return development_size(
        settings.predictors, float(labels.mean()), c_statistic=ANTICIPATED_C, patients=len(labels)
    )


def size_text(size: DevelopmentSize) -> str:
    """The answer as sentences for a terminal."""
    return tr(
        "Sample size: {predictors} predictors, an AUC of {auc:g} and {percent:.0f} "
        "% responders need {needed} patients (Riley's criteria); there are {patients}. "
        "Expected shrinkage {shrinkage:.2f}, where 0.90 is wanted.",
        predictors=size.parameters,
        auc=ANTICIPATED_C,
        percent=100 * size.responder_share,
        needed=size.needed,
        patients=size.patients,
        shrinkage=size.expected_shrinkage,
    )


def size_json(size: DevelopmentSize) -> dict:
    """The same for programs: the keys of the field `sample_size` of `check --json`."""
    return {
        "predictors": size.parameters,
        "anticipated_auc": ANTICIPATED_C,
        "responder_share": size.responder_share,
        "needed": size.needed,
        "responders_needed": size.responders_needed,
        "patients": size.patients,
        "expected_shrinkage": size.expected_shrinkage,
    }
