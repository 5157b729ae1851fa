"""How sure is the answer? An interval, a conformal set and the agreement of the models, in words.

The interval shows the model's own instability: the models of the folds, each trained without one
part of the patients, answer too, and their spread on the log-odds scale gives the delete-a-group
jackknife's standard error (Kott, J Off Stat 2001;17:521). The conformal set holds every answer that
cannot be excluded at the stated coverage, class by class (Vovk et al., Algorithmic Learning in a
Random World, 2005, section 4.5), from the out-of-fold probabilities of the training patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student

from .words import percent

#: Share of intervals and of sets that are meant to hold the truth.
LEVEL, COVERAGE = 0.95, 0.9
RESPONSE, NO_RESPONSE = "response", "no response"
#: Probabilities are moved this far away from 0 and 1 before their logit is taken.
EDGE = 1e-6


@dataclass(frozen=True)
class Certainty:
    """How sure one answer is.

    low, high: interval of the probability at `level`, None without the models of the folds.
    conformal: the answers that cannot be excluded at `coverage`. agreement: of the models.
    """

    low: float | None
    high: float | None
    conformal: tuple[str, ...]
    agreement: str
    level: float = LEVEL
    coverage: float = COVERAGE

    def sentence(self) -> str:
        """What the conformal set means, in words."""
        sure = f"at {100 * self.coverage:.0f} % coverage"
        if len(self.conformal) == 2:
            return f"Neither response nor no response can be excluded {sure}"
        if not self.conformal:
            return f"Unlike patients of either kind {sure}"
        return f"{self.conformal[0].capitalize()} is the only answer left {sure}"

    def to_json(self) -> dict:
        """JSON types."""
        return {
            "interval": None if self.low is None else [self.low, self.high],
            "level": self.level,
            "conformal_set": list(self.conformal),
            "coverage": self.coverage,
            "agreement": self.agreement,
        }


def jackknife_interval(probability: float, of_folds: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Interval around `probability` from the (k,) answers of models that each lack one of k folds.

    Around the answer of the model of all patients, on the log-odds scale, with Student's t on k - 1
    degrees of freedom. The chance in training (forest, network) widens it: it is on the safe side.
    """
    odds = logit(np.clip(of_folds, EDGE, 1 - EDGE))
    folds = len(odds)
    error = np.sqrt((folds - 1) / folds * ((odds - odds.mean()) ** 2).sum())
    half = student.ppf((1 + level) / 2, folds - 1) * error
    middle = logit(np.clip(probability, EDGE, 1 - EDGE))
    return float(expit(middle - half)), float(expit(middle + half))


def conformal_set(
    probability: float, out_of_fold: np.ndarray, labels: np.ndarray, coverage: float = COVERAGE
) -> tuple[str, ...]:
    """The answers whose p-value among the (n,) training patients of that answer exceeds 1 - coverage.

    out_of_fold: (n,) probabilities of response of patients that the model had not seen; labels: (n,).
    """
    answers = []
    for answer, strange, strangeness in (
        (RESPONSE, 1 - probability, 1 - out_of_fold[labels == 1]),
        (NO_RESPONSE, probability, out_of_fold[labels == 0]),
    ):
        # A tie counts in full: the set may be too large, never too small.
        p_value = (np.sum(strangeness >= strange - 1e-12) + 1) / (len(strangeness) + 1)
        if p_value > 1 - coverage + 1e-12:  # 1 - 0.9 is below 0.1
            answers.append(answer)
    return tuple(answers)


def agreement(
    probabilities: Mapping[str, float],
    thresholds: Mapping[str, float],
    responder: bool,
    titles: Mapping[str, str],
) -> str:
    """How many of the single models stand on the side of the answer, and which do not."""
    above = {name: probabilities[name] > thresholds[name] for name in probabilities}
    against = [name for name, is_above in above.items() if is_above != responder]
    side = "above" if responder else "not above"
    count = f"{len(above) - len(against)} of {len(above)} models lie {side} their thresholds"
    if not against:
        return f"All {len(above)} models agree" if len(above) > 1 else "One model answers"
    named = ", ".join(f"{titles.get(n, n)} ({percent(probabilities[n])})" for n in against)
    return f"{count}; on the other side: {named}"
