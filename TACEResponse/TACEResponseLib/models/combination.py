"""One model calibrated, or several fused: from the scores of models to a probability of response."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.settings import FusionSettings
from TACEResponseLib.statistics.outcome import Outcome

from .fusion import Fusion, fit_fusion
from .isotonic import Isotonic, better_isotonic
from .learners import LEARNERS, in_order

#: The model that the paper fuses with each of the others, and the fusion of every model there is.
WITH_EACH, ALL = "cnn", "all"


def fusions_of(models: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The fusions that can be made of `models`: the CNN with each other one, and all of two or more."""
    others = tuple(name for name in in_order(models) if name != WITH_EACH)
    first = (WITH_EACH,) if WITH_EACH in models else ()
    pairs = {f"{WITH_EACH}+{name}": (WITH_EACH, name) for name in others} if first else {}
    everyone = (*first, *others)
    return {**pairs, ALL: everyone} if len(everyone) > 1 else pairs


def title(name: str) -> str:
    """A model or fusion in words: `cnn+random_forest` is "CNN + random forest"."""
    if name == ALL:
        return "all models"
    return " + ".join(LEARNERS[part].title if part in LEARNERS else part for part in name.split("+"))


@dataclass(frozen=True)
class Combination:
    """One model calibrated, or several fused: which models, and the fitted fusion of their scores.

    isotonic: bends the fusion's probability, where the data preferred that to the logistic curve.
    """

    models: tuple[str, ...]
    fusion: Fusion
    isotonic: Isotonic | None = None

    @property
    def is_fusion(self) -> bool:
        """Whether several models go into it."""
        return len(self.models) > 1

    def probability(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n,) probabilities of response from (n,) scores a model."""
        fused = self.fusion.probability(np.column_stack([scores[model] for model in self.models]))
        return fused if self.isotonic is None else self.isotonic(fused)

    @property
    def calibration(self) -> str:
        """Which of the two calibrations the data preferred."""
        return "Platt (logistic)" if self.isotonic is None else "isotonic"

    def to_json(self) -> dict:
        """A dictionary of JSON types."""
        curve = {} if self.isotonic is None else {"isotonic": self.isotonic.to_json()}
        return {"models": list(self.models), **self.fusion.to_json(), **curve}

    @classmethod
    def from_json(cls, content: dict) -> "Combination":
        """The combination that `to_json` wrote; BundleError when it is none."""
        curve = Isotonic.from_json(content["isotonic"]) if "isotonic" in content else None
        return cls(tuple(map(str, content["models"])), Fusion.from_json(content), curve)


def fit_combinations(
    scores: Mapping[str, np.ndarray], outcome: Outcome, settings: FusionSettings, seed: int
) -> dict[str, Combination]:
    """Calibrate each model, and fit each fusion whose models are all there, on scores (n,) each.

    The scores are of patients whom the models had not seen.
    """
    models_of = {name: (name,) for name in scores} | fusions_of(scores)
    return {
        name: _fit_combination(models, np.column_stack([scores[m] for m in models]), outcome, settings, seed)
        for name, models in models_of.items()
    }


def _fit_combination(
    models: tuple[str, ...], scores: np.ndarray, outcome: Outcome, settings: FusionSettings, seed: int
) -> Combination:
    """The fusion of (n, m) scores, bent by an isotonic curve where that is better out of sample."""
    method = settings.method if len(models) > 1 else "stacking"
    labels = outcome.labels

    def fit_logistic(patients: np.ndarray):
        fusion = fit_fusion(scores[patients], labels[patients], method)
        return lambda others: fusion.probability(scores[others])

    curve = better_isotonic(fit_logistic, labels, seed)
    return Combination(models, fit_fusion(scores, labels, method), curve)


def combine(
    combinations: Mapping[str, Combination], scores: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Name -> (n,) probability of response, for the combinations whose models all have scores."""
    return {
        name: combination.probability(scores)
        for name, combination in combinations.items()
        if set(combination.models) <= set(scores)
    }
