"""How sure is the answer? The answers of the folds' models, a conformal set, and who agrees, in words.

The models of the folds, each trained without one part of the patients, answer too. How far they are
apart is the instability of the answer (Riley & Collins, Biom J 2023;65:2200302): what other patients
would have done to it. It is no interval that holds the truth with a stated probability.

The conformal set holds every answer that cannot be excluded at the stated coverage, class by class
(Vovk et al., Algorithmic Learning in a Random World, 2005, section 4.5), by the probabilities of the
training patients by models that had not seen them. Those are the models of the folds and not the one
that answers, so no theorem holds; `Docs/statistics.md` says how often the sets held the truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.models.combination import title

from .numbers import percent

#: Share of sets that are meant to hold the truth.
COVERAGE = 0.9
RESPONSE, NO_RESPONSE = "response", "no response"  # not a text: codes of the set
#: Stored probabilities are rounded to six decimals.
ROUNDING = 5e-7


@dataclass(frozen=True)
class Certainty:
    """How sure one answer is.

    of_folds: (K,) probabilities by the models of the folds; () where they are not known. conformal: the
    answers that cannot be excluded at `coverage`. agreement: of the single models, in words.
    """

    of_folds: tuple[float, ...]
    conformal: tuple[str, ...]
    agreement: str
    coverage: float = COVERAGE

    @property
    def instability(self) -> tuple[float, float] | None:
        """The lowest and the highest answer of the folds' models, None where they are not known."""
        return (min(self.of_folds), max(self.of_folds)) if self.of_folds else None

    def sentence(self) -> str:
        """What the conformal set means, in words."""
        sure = 100 * self.coverage
        if len(self.conformal) == 2:
            return tr("Undecided: both outcomes are plausible ({sure:.0f} % conformal)", sure=sure)
        if not self.conformal:
            return tr("Unlike patients of either kind ({sure:.0f} % conformal)", sure=sure)
        if self.conformal[0] == RESPONSE:
            return tr("Non-response is excluded ({sure:.0f} % conformal)", sure=sure)
        return tr("Response is excluded ({sure:.0f} % conformal)", sure=sure)

    def to_json(self) -> dict:
        """JSON types."""
        return {
            "instability": None if self.instability is None else list(self.instability),
            "fold_answers": list(self.of_folds),
            "conformal_set": list(self.conformal),
            "coverage": self.coverage,
            "agreement": self.agreement,
        }


def conformal_set(
    probability: float, out_of_fold: np.ndarray, labels: np.ndarray, coverage: float = COVERAGE
) -> tuple[str, ...]:
    """The answers whose p-value among the (n,) training patients of that answer exceeds 1 - coverage.

    probability: of the new patient, by the shipped model. out_of_fold: (n,) of the training patients by
    models that had not seen them, calibrated as the shipped one. labels: (n,).
    """
    answers = []
    for answer, label, stranger in (
        (RESPONSE, 1, out_of_fold <= probability + ROUNDING),
        (NO_RESPONSE, 0, out_of_fold >= probability - ROUNDING),
    ):
        of_class = labels == label
        # A tie counts in full: the set may be too large, never too small.
        p_value = (np.sum(stranger[of_class]) + 1) / (of_class.sum() + 1)
        if p_value > 1 - coverage + 1e-12:  # 1 - 0.9 is below 0.1
            answers.append(answer)
    return tuple(answers)


def agreement(probabilities: Mapping[str, float], thresholds: Mapping[str, float], responder: bool) -> str:
    """How many of the single models are on the answer's side of their cut-off, and which are not."""
    above = {name: probabilities[name] > thresholds[name] for name in probabilities}
    against = [name for name, is_above in above.items() if is_above != responder]
    if not against:
        if len(above) == 2:
            return tr("Both single models agree")
        return several(len(above), "One model answers", "All {n} single models agree")
    others = listed(
        tr("{model} ({probability})", model=title(n), probability=percent(probabilities[n])) for n in against
    )
    agreeing, told = len(above) - len(against), {"total": len(above), "others": others}
    if responder:
        return several(
            agreeing,
            "{n} of {total} models is above their cut-off; below it: {others}",
            "{n} of {total} models are above their cut-off; below it: {others}",
            **told,
        )
    return several(
        agreeing,
        "{n} of {total} models is below their cut-off; above it: {others}",
        "{n} of {total} models are below their cut-off; above it: {others}",
        **told,
    )
