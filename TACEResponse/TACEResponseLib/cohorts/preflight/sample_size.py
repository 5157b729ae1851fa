"""How many patients the planned training needs, said before anything is computed."""

import numpy as np

from TACEResponseLib.cohorts.table import Cohort
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
    return (
        f"Sample size: {size.parameters} predictors, an AUC of {ANTICIPATED_C:g} and "
        f"{100 * size.responder_share:.0f} % responders need {size.needed} patients (Riley's criteria); "
        f"there are {size.patients}. Expected shrinkage {size.expected_shrinkage:.2f}, where 0.90 is wanted."
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
