"""What a threshold is worth that was chosen by data: sensitivity and specificity out of fold.

A threshold that is best on some patients looks better on them than on others. Here the threshold of
fold k is chosen on the inner probabilities of the other folds' patients (scored by models that saw
neither the patient nor fold k) and applied to fold k. Youden, Cancer 1950;3:32; on the optimism of a
threshold chosen on the same patients: Leeflang et al., Clin Chem 2008;54:729.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NestedThresholds:
    """thresholds: (K,) of the folds. called: (n,) whether a held-out patient is called a responder."""

    thresholds: np.ndarray
    called: np.ndarray
    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int

    @property
    def shipped(self) -> float:
        """The median of the folds' thresholds: steadier than one search on all patients."""
        return float(np.median(self.thresholds))

    @property
    def sensitivity(self) -> float:
        """Share of responders that are called responders."""
        return self.true_positive / (self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        """Share of the others that are not."""
        return self.true_negative / (self.true_negative + self.false_positive)

    @property
    def youden_index(self) -> float:
        """Sensitivity + specificity - 1."""
        return self.sensitivity + self.specificity - 1


def nested_thresholds(
    labels: np.ndarray,
    folds: np.ndarray,
    out: np.ndarray,
    inner: np.ndarray,
    choose: Callable[[np.ndarray, np.ndarray], float],
) -> NestedThresholds:
    """Choose a threshold for each fold without its labels, and call the patients of the fold.

    labels, folds: (n,). out: (n,) probability of a patient of fold k by C_k of S_k. inner: (K, n),
    [k, i] the probability of patient i of another fold j by C_k of P_jk, NaN in fold k. choose:
    labels and probabilities to a threshold; a patient above it is called a responder.
    """
    thresholds, called = np.empty(len(inner)), np.zeros(len(labels), dtype=bool)
    for fold, probabilities in enumerate(inner):
        rest = folds != fold
        thresholds[fold] = choose(labels[rest], probabilities[rest])
        called[~rest] = out[~rest] > thresholds[fold]
    counts = [
        int((called_as & (labels == label)).sum())
        for called_as, label in ((called, 1), (~called, 1), (~called, 0), (called, 0))
    ]
    return NestedThresholds(thresholds, called, *counts)
