"""One fit with the combinations that make probabilities of its scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable

from .combination import Combination, combine
from .fold_models import FoldModels


@dataclass(frozen=True)
class CalibratedFit:
    """models: of one fit. combinations: name -> calibration or fusion that belongs to it."""

    models: FoldModels
    combinations: Mapping[str, Combination]

    def probabilities(self, table: PatientTable) -> dict[str, np.ndarray]:
        """Name -> (n,) probability of response, for every combination whose models can answer."""
        return combine(self.combinations, self.models.scores(table))

    def only(self, names: set[str]) -> "CalibratedFit":
        """Without the models that are not named, and the combinations that would need them."""
        kept = {name: c for name, c in self.combinations.items() if set(c.models) <= names}
        return CalibratedFit(self.models.only(names), kept)
