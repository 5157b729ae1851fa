"""What a model keeps of its training patients to compare a case with, and in which numbers it does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.measuring.case import SCAN
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.fold_models import FoldModels

from .similarity import FEATURES, NETWORK, TrainingSpread

#: Features that are compared where the models look at all of them: the most important ones.
MOST_COMPARED = 30
#: Enough for an average over patients; few enough to stay small in a bundle.
BACKGROUND_PATIENTS = 100


@dataclass(frozen=True)
class Compared:
    """training_range: feature that some fit looks at (and `diameter_mm`) -> smallest and largest value.

    background: some training patients without their names, as the models of features see them. spread:
    how the training patients lie in every measure, for `similarity`.
    """

    training_range: dict[str, tuple[float, float]]
    background: PatientTable
    spread: TrainingSpread


def to_compare_with(
    table: PatientTable, models: FoldModels, of_folds: Sequence[FoldModels], seed: int
) -> Compared:
    """What is kept of the training patients (n); models: the final fit, of_folds: those of the folds."""
    measures, seen = compared(table, models), models.transformed(table)
    of_training = TrainingSpread.of(measures, seed, table.phases)
    names = tuple(dict.fromkeys(name for fitted in (models, *of_folds) for name in fitted.features))
    columns = dict(zip(names, table.columns(names).features.T, strict=True))
    if table.diameters_mm is not None:
        columns["diameter_mm"] = table.diameters_mm
    rows = np.random.default_rng(seed).permutation(len(table))[:BACKGROUND_PATIENTS]
    names = models.features if table.feature_names else ()
    features = seen.columns(names).features[rows]
    return Compared(
        {name: (float(values.min()), float(values.max())) for name, values in columns.items()},
        PatientTable(tuple(map(str, range(len(rows)))), names, features),
        of_training,
    )


def compared_features(models: FoldModels) -> tuple[str, ...]:
    """Names of the features that are compared: the selected ones, else the most important ones."""
    if models.selected:
        return models.selected
    ranked = [model.by_importance for model in models.models.values() if model.features]
    return ranked[0][:MOST_COMPARED] if ranked else ()


def compared(table: PatientTable, models: FoldModels) -> dict[str, np.ndarray]:
    """Measure -> (n, k) numbers, or (n,) for a single one; only what was measured."""
    found, names = {}, compared_features(models)
    if names and table.feature_names:
        found[FEATURES] = models.transformed(table).columns(names).features
    if "cnn" in models.models and table.pixels is not None:
        network = models.models["cnn"].network
        maps = len(network.blocks[-1].bias)
        # Where on the slice a map answers is of no interest here, how strongly it does is.
        seen = network.penultimate(table.pixels)
        found[NETWORK] = seen.reshape(len(table), -1, maps).mean(axis=1)
    if table.diameters_mm is not None:
        found["diameter_mm"] = table.diameters_mm
    if table.scans is not None:
        found |= dict(zip(SCAN, table.scans.T, strict=True))
    return found
