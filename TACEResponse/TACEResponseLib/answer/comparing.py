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
#: As many of every feature where no patient's row is kept.
BACKGROUND_QUANTILES = 40


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
    table: PatientTable,
    models: FoldModels,
    of_folds: Sequence[FoldModels],
    seed: int,
    background: str = "patients",
) -> Compared:
    """What is kept of the training patients (n); models: the final fit, of_folds: those of the folds.

    background: "patients", or "quantiles" where no row of the table may be kept.
    """
    measures, seen = compared(table, models), models.transformed(table)
    of_training = TrainingSpread.of(measures, seed, table.phases)
    names = tuple(dict.fromkeys(name for fitted in (models, *of_folds) for name in fitted.features))
    columns = dict(zip(names, table.columns(names).features.T, strict=True))
    if table.diameters_mm is not None:
        columns["diameter_mm"] = table.diameters_mm
    names = models.features if table.feature_names else ()
    keep = _quantiles if background == "quantiles" else _some_rows
    features = keep(seen.columns(names).features, np.random.default_rng(seed))
    return Compared(
        {name: (float(values.min()), float(values.max())) for name, values in columns.items()},
        PatientTable(tuple(map(str, range(len(features)))), names, features),
        of_training,
    )


def _some_rows(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some of the (n, p) rows, in no order of patients."""
    return features[rng.permutation(len(features))[:BACKGROUND_PATIENTS]]


def _quantiles(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(BACKGROUND_QUANTILES, p) quantiles of every column, each column in an order of its own.

    What belongs together in a patient is taken apart: no row of the table can be read from it. A
    feature by itself is spread as in the (n, p) patients.
    """
    levels = (np.arange(BACKGROUND_QUANTILES) + 0.5) / BACKGROUND_QUANTILES
    return rng.permuted(np.quantile(features, levels, axis=0), axis=0).astype(np.float32)


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
        told = zip(SCAN, table.scans.T, strict=True)  # a feature table does not tell everything
        found |= {name: values for name, values in told if np.isfinite(values).all()}
    return found
