"""The numbers in which a case is compared with the training cases; see `similarity`."""

import numpy as np

from TACEResponseLib.measuring.case import SCAN
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.fold_models import FoldModels

from .similarity import FEATURES, NETWORK

#: Features that are compared where the models look at all of them: the most important ones.
MOST_COMPARED = 30


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
