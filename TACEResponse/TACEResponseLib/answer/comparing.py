"""What a model keeps of its training patients to compare a case with, and in which numbers it does."""

from collections.abc import Sequence

import numpy as np

from TACEResponseLib.measuring.case import SCAN
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.fold_models import FoldModels

from .similarity import FEATURES, NETWORK, TrainingSpread

#: Features that are compared where the models look at all of them: the most important ones.
MOST_COMPARED = 30
#: Enough for an average over patients; few enough to stay small in a bundle.
BACKGROUND_PATIENTS = 100


def spread(table: PatientTable, models: FoldModels, seed: int) -> TrainingSpread:
    """How the training patients lie in every measure, for `similarity`."""
    return TrainingSpread.of(compared(table, models), seed, table.phases)


def background(table: PatientTable, models: FoldModels, seed: int) -> PatientTable:
    """Some training patients without their names, as the models of features see them."""
    rows = np.random.default_rng(seed).permutation(len(table))[:BACKGROUND_PATIENTS]
    names = models.features if table.feature_names else ()
    seen = models.transformed(table).columns(names)
    return PatientTable(tuple(map(str, range(len(rows)))), names, seen.features[rows])


def training_range(table: PatientTable, fits: Sequence[FoldModels]) -> dict[str, tuple[float, float]]:
    """Feature that some fit looks at (and `diameter_mm`) -> smallest and largest training value."""
    names = tuple(dict.fromkeys(name for fitted in fits for name in fitted.features))
    columns = dict(zip(names, table.columns(names).features.T, strict=True))
    if table.diameters_mm is not None:
        columns["diameter_mm"] = table.diameters_mm
    return {name: (float(values.min()), float(values.max())) for name, values in columns.items()}


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
