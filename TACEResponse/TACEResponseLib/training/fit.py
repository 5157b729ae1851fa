"""Members: every single model that one fit on some patients yields.

Whoever calls `fit_members` decides which patients those are; nothing outside them is looked at.
"""

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from TACEResponseLib.errors import Problem
from TACEResponseLib.measuring.case import ModelInputs
from TACEResponseLib.models.classical import CLASSIFIERS, fit_classifier, score
from TACEResponseLib.models.fusion import Fusion, fit_fusion
from TACEResponseLib.models.network.inference import NumpyNetwork
from TACEResponseLib.models.network.keras_file import read_keras_file
from TACEResponseLib.progress import Progress
from TACEResponseLib.selection.elimination import Selection, eliminate
from TACEResponseLib.settings import TrainingSettings

#: Trees that a fold's forest keeps of its five hundred.
FOLD_TREES = 200


@dataclass(frozen=True)
class Members:
    """The models that one fit on some patients yields; a missing one is None or absent.

    selected: names of the features that the classical models use, in their order.
    """

    selected: tuple[str, ...]
    classifiers: Mapping[str, object]
    size: Fusion | None
    network: NumpyNetwork | None

    def scores(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """Model name -> (n,) scores, higher means responder; only models whose inputs are there."""
        scores = {}
        if self.size is not None and inputs.diameters_mm is not None:
            scores["size"] = self.size.probability(inputs.diameters_mm[:, None])
        if self.classifiers and inputs.features.size:
            chosen = inputs.columns(self.selected)
            scores |= {name: score(fitted, chosen) for name, fitted in self.classifiers.items()}
        if self.network is not None and inputs.pixels is not None:
            scores["cnn"] = self.network.probability(inputs.pixels)
        return scores

    def only(self, models: Collection[str]) -> "Members":
        """These members without the models that are not named; the selected features stay.

        A forest keeps its first FOLD_TREES trees: enough for a spread, small in a bundle.
        """
        return Members(
            selected=self.selected,
            classifiers={
                name: _thinned(fitted) for name, fitted in self.classifiers.items() if name in models
            },
            size=self.size if "size" in models else None,
            network=self.network if "cnn" in models else None,
        )


@dataclass(frozen=True)
class Fitted:
    """What one fit yields: the members, how features and network came about, and what went otherwise.

    learning_curve: the network's histories, empty without one.
    """

    members: Members
    selection: Selection | None
    learning_curve: Mapping[str, tuple[float, ...]]
    warnings: tuple[Problem, ...] = ()


def _thinned(fitted: Pipeline) -> Pipeline:
    """A pipeline whose forest has its first trees, in a copy; any other model as it is."""
    name, forest = fitted.steps[-1]
    if not isinstance(forest, RandomForestClassifier) or len(forest.estimators_) <= FOLD_TREES:
        return fitted
    thinned = copy.copy(forest)
    thinned.estimators_, thinned.n_estimators = forest.estimators_[:FOLD_TREES], FOLD_TREES
    return Pipeline([*fitted.steps[:-1], (name, thinned)])


def fit_members(
    inputs: ModelInputs,
    labels: np.ndarray,
    names: tuple[str, ...],
    settings: TrainingSettings,
    seed: int,
    jobs: int,
    progress: Progress,
) -> Fitted:
    """Fit every model on these patients; nothing outside them is looked at."""
    selection, classifiers, size, network, learning_curve, warnings = None, {}, None, None, {}, ()
    if names:
        features = inputs.columns(names)
        selection = eliminate(
            features, names, labels, settings.selection, seed=seed, jobs=jobs, progress=progress
        )
        chosen = inputs.columns(selection.chosen)
        classifiers = {
            name: fit_classifier(name, chosen, labels, variant=settings.classifiers, seed=seed)
            for name in CLASSIFIERS
        }
    if inputs.diameters_mm is not None and np.ptp(inputs.diameters_mm) > 0:
        size = fit_fusion(inputs.diameters_mm[:, None], labels, any_direction=True)
    if settings.network is not None and inputs.pixels is not None:
        from TACEResponseLib.models.network import train_network

        trained = train_network(inputs.pixels, labels, settings.network, seed=seed, progress=progress)
        network, learning_curve = read_keras_file(trained.keras_file), trained.history
        warnings = trained.warnings
    members = Members(selection.chosen if selection else (), classifiers, size, network)
    return Fitted(members, selection, learning_curve, warnings)
