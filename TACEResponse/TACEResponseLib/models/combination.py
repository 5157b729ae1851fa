"""One model calibrated, or several fused: from the scores of models to a probability of response."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.messages.language import tr
from TACEResponseLib.settings import FusionSettings
from TACEResponseLib.statistics.fusion import Fusion, fit_fusion
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.statistics.updating import Update

from .isotonic import Isotonic
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
    """A model or fusion in the reader's words: `cnn+random_forest` is "CNN + random forest"."""
    if name == ALL:
        return tr("all models")
    return " + ".join(tr(LEARNERS[part].title) if part in LEARNERS else part for part in name.split("+"))


@dataclass(frozen=True)
class Combination:
    """One model calibrated, or several fused: which models, and the fitted fusion of their scores.

    isotonic: bends the probability further; only bundles of format 2 hold such a curve. update: what
    another hospital's patients changed in the probability, None in a model as it was trained.
    """

    models: tuple[str, ...]
    fusion: Fusion
    isotonic: Isotonic | None = None
    update: Update | None = None

    @property
    def is_fusion(self) -> bool:
        """Whether several models go into it."""
        return len(self.models) > 1

    def probability(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n,) probabilities of response from (n,) scores a model."""
        fused = self.fusion.probability(np.column_stack([scores[model] for model in self.models]))
        for change in (self.isotonic, self.update):
            fused = fused if change is None else change(fused)
        return fused

    def to_json(self) -> dict:
        """A dictionary of JSON types."""
        curve = {} if self.isotonic is None else {"isotonic": self.isotonic.to_json()}
        update = {} if self.update is None else {"update": self.update.to_json()}
        return {"models": list(self.models), **self.fusion.to_json(), **curve, **update}

    @classmethod
    def from_json(cls, content: dict) -> "Combination":
        """The combination that `to_json` wrote; BundleError when it is none."""
        curve = Isotonic.from_json(content["isotonic"]) if "isotonic" in content else None
        update = Update.from_json(content["update"]) if "update" in content else None
        return cls(tuple(map(str, content["models"])), Fusion.from_json(content), curve, update)


def fit_combinations(
    scores: Mapping[str, np.ndarray],
    outcome: Outcome,
    settings: FusionSettings,
    groups: np.ndarray | None = None,
    only: Collection[str] | None = None,
) -> dict[str, Combination]:
    """Calibrate each model, and fit each fusion whose models are all there, on scores (n,) each.

    The scores are of patients whom the models had not seen. groups: (n,) which fit scored a patient,
    its fold. only: names of combinations, all of them when None.
    """
    models_of = {name: (name,) for name in scores} | fusions_of(scores)
    return {
        name: Combination(
            models,
            fit_fusion(np.column_stack([scores[m] for m in models]), outcome.labels, settings.method, groups),
        )
        for name, models in models_of.items()
        if only is None or name in only
    }


def combine(
    combinations: Mapping[str, Combination], scores: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Name -> (n,) probability of response, for the combinations whose models all have scores."""
    return {
        name: combination.probability(scores)
        for name, combination in combinations.items()
        if set(combination.models) <= set(scores)
    }
