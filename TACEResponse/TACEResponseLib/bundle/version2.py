"""Bundles of format version 2 (written before December 2026) as fits; they are read, never written.

There the selected features stood in `features.json`, the size models in `fusion.json`, and the
classifiers in a folder of their own beside the network.
"""

from collections.abc import Mapping
from pathlib import Path

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.calibrated import CalibratedFit
from TACEResponseLib.models.combination import Combination
from TACEResponseLib.models.fold_models import FoldModels
from TACEResponseLib.models.learners import LEARNERS
from TACEResponseLib.models.size import FittedSize
from TACEResponseLib.selection.select import Selected
from TACEResponseLib.statistics.fusion import Fusion

from .reading import read_arrays


def read_final(folder: Path, features: Mapping, fusion: Mapping) -> FoldModels:
    """The fit on all patients. features, fusion: content of the two JSON files."""
    return _fit(folder, tuple(features["selected"]), fusion["size"])


def read_folds(folder: Path, features: Mapping, fusion: Mapping) -> tuple[CalibratedFit, ...]:
    """The fits of the folds, which had the shipped calibration."""
    of_folds = zip(features["fold_selected"], fusion["fold_sizes"], strict=True)
    combinations = {name: Combination.from_json(of) for name, of in fusion["combinations"].items()}
    fits = [
        _fit(folder / "folds" / str(number), tuple(selected), size)
        for number, (selected, size) in enumerate(of_folds)
    ]
    return tuple(
        CalibratedFit(fit, {n: c for n, c in combinations.items() if set(c.models) <= set(fit.models)})
        for fit in fits
    )


def read_background(folder: Path, features: Mapping) -> PatientTable:
    """The background patients, whose columns were the selected features."""
    rows = read_arrays(folder / "background.npz")["features"]
    return PatientTable(tuple(map(str, range(len(rows)))), tuple(features["selected"]), rows)


def selftest_names(features: Mapping) -> tuple[str, ...]:
    """Columns of the self-test: the selected features of all fits, each once."""
    everyone = (features["selected"], *features["fold_selected"])
    return tuple(dict.fromkeys(name for selected in everyone for name in selected))


def _fit(folder: Path, selected: tuple[str, ...], size: Mapping | None) -> FoldModels:
    loaded = {
        name: learner.load(folder / "classifiers" if learner.needs == "selected" else folder, selected)
        for name, learner in LEARNERS.items()
        if name != "size"
    }
    models = {name: model for name, model in loaded.items() if model is not None}
    if size is not None:
        models["size"] = FittedSize(Fusion.from_json(size))
    in_order = {name: models[name] for name in LEARNERS if name in models}
    return FoldModels({"select": Selected(selected)} if selected else {}, in_order)
