"""The paper's CNN as a model: the picture of the largest slice in, a probability of response out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import mark
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.settings import NetworkSettings, TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .contract import FittedModel, Learner, Need
from .network.inference import NumpyNetwork

FILE = "network.keras"


@dataclass(frozen=True)
class FittedCnn(FittedModel):
    """network: in numpy, which needs no framework. history: of the fit, one value an epoch; not saved."""

    network: NumpyNetwork
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    def score(self, table: PatientTable) -> np.ndarray:
        """(n,) softmax probabilities of response."""
        return self.network.probability(table.pixels)

    def save(self, folder: Path) -> None:
        """Write `network.keras`."""
        (folder / FILE).write_bytes(self.network.keras_file)


@dataclass(frozen=True)
class Cnn(Learner):
    """settings: of the network and its training; None leaves the network out."""

    name: str = "cnn"
    title: str = mark("CNN")
    needs: Need = "pixels"
    sourced: str = mark("a convolutional neural network (CNN) after Peng et al. [@peng2021]")
    settings: NetworkSettings | None = field(default_factory=NetworkSettings)

    def configured(self, settings: TrainingSettings) -> "Cnn":
        """With the network that these settings ask for."""
        return Cnn(settings=settings.network)

    def can_learn_from(self, table: PatientTable) -> bool:
        """With pictures, and where a network is asked for."""
        return self.settings is not None and self.can_score(table)

    def fit(self, table: PatientTable, outcome: Outcome, seed: int, progress: Progress = silent) -> FittedCnn:
        """See `network.train_network`; imports the framework, which is never done in an application."""
        from .network import train_network
        from .network.keras_file import read_keras_file

        trained = train_network(table.pixels, outcome.labels, self.settings, seed=seed, progress=progress)
        return FittedCnn(read_keras_file(trained.keras_file), trained.history, trained.warnings)

    def load(self, folder: Path, features: tuple[str, ...]) -> FittedCnn | None:
        """From `network.keras`, read as data."""
        path = folder / FILE
        if not path.is_file():
            return None
        from .network.keras_file import read_keras_file  # h5py is needed to read, not to compute

        return FittedCnn(read_keras_file(path.read_bytes()))
