"""How far readers agree on response, and the label that several of them make together.

A reading is a number for each patient (n,) and reader (n, r); NaN is a missing one. `labels` are 1
for a responder and 0 otherwise; `grades` are ordered so that higher means more response, for
example 4 minus the code of CR, PR, SD, PD as 1 to 4. What one reader's label can be told from the
others' readings is the frame in which the AUC of a model against that label has to be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import tr

from .intervals import AucInterval, auc_newcombe


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance: 1 perfect, 0 as by chance.

    observed, expected: share of agreement found, and by chance. ci_low, ci_high: of `level`, cut to
    -1 to 1. patients: with all the readings that are compared. kappa, error and bounds are None when
    the readers gave everybody the same reading, since chance alone agrees perfectly then.
    """

    kappa: float | None
    error: float | None
    ci_low: float | None
    ci_high: float | None
    observed: float
    expected: float
    patients: int


def cohen_kappa(
    first: np.ndarray,
    second: np.ndarray,
    weights: Literal["none", "linear", "quadratic"] = "none",
    level: float = 0.95,
) -> Kappa:
    """Cohen's kappa of two readers' readings (n,), with the large-sample error of Fleiss, Cohen & Everitt.

    weights: how much a disagreement counts by its distance in the order of the readings (Cohen,
    Psychol Bull 1968;70:213). The error is that of Psychol Bull 1969;72:323, which does not suppose
    that kappa is 0. Raises TrainingError when no patient has both readings.
    """
    shares, n = _cross_table(first, second)
    step = np.abs(np.subtract.outer(np.arange(len(shares)), np.arange(len(shares)))) / max(len(shares) - 1, 1)
    agreement = {"none": 1.0 * (step == 0), "linear": 1 - step, "quadratic": 1 - step**2}[weights]
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, expected = float((agreement * shares).sum()), float(rows @ agreement @ columns)
    if expected >= 1 - 1e-12:
        return Kappa(None, None, None, None, observed, expected, n)
    kappa = (observed - expected) / (1 - expected)
    by_chance = np.add.outer(agreement @ columns, rows @ agreement)
    spread = (shares * (agreement - by_chance * (1 - kappa)) ** 2).sum() - (
        kappa - expected * (1 - kappa)
    ) ** 2
    error = np.sqrt(max(0.0, spread) / n) / (1 - expected)
    return _with_bounds(kappa, error, observed, expected, n, level)


def _cross_table(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, int]:
    """Shares (k, k) of the pairs of readings, in the order of the values; and the patients with both."""
    pairs = _complete(np.column_stack([first, second]))
    values, place = np.unique(pairs, return_inverse=True)
    shares = np.zeros((len(values), len(values)))
    np.add.at(shares, tuple(place.reshape(pairs.shape).T), 1 / len(pairs))
    return shares, len(pairs)


def _complete(readings: np.ndarray) -> np.ndarray:
    readings = np.asarray(readings, dtype=float)
    if readings.ndim != 2 or readings.shape[1] < 2:
        raise TrainingError(
            tr("agreement needs two readers"), received=tr("readings of shape {shape}", shape=readings.shape)
        )
    complete = readings[np.isfinite(readings).all(axis=1)]
    if not len(complete):
        raise TrainingError(tr("no patient has the readings of all readers"), field="readings")
    return complete


def _with_bounds(kappa: float, error: float, observed: float, expected: float, n: int, level: float) -> Kappa:
    margin = norm.ppf(0.5 + level / 2) * error
    low, high = max(-1.0, kappa - margin), min(1.0, kappa + margin)
    return Kappa(float(kappa), float(error), float(low), float(high), observed, expected, n)


def fleiss_kappa(readings: np.ndarray, level: float = 0.95) -> Kappa:
    """Fleiss' kappa of readings (n, r) of r readers (Psychol Bull 1971;76:378), error by jackknife.

    Only patients with all readings count. The jackknife leaves out one patient after another
    (Efron & Stein, Ann Stat 1981;9:586) and needs three patients; the error is None with fewer.
    """
    readings = _complete(readings)
    values = np.unique(readings)
    counts = (readings[:, :, None] == values).sum(axis=1)
    kappa, observed, expected = _fleiss(counts)
    if kappa is None or len(counts) < 3:
        return Kappa(kappa, None, None, None, observed, expected, len(counts))
    left = [_fleiss(np.delete(counts, k, axis=0))[0] for k in range(len(counts))]
    if None in left:
        return Kappa(kappa, None, None, None, observed, expected, len(counts))
    error = np.sqrt((len(left) - 1) * np.var(left))
    return _with_bounds(kappa, error, observed, expected, len(counts), level)


def _fleiss(counts: np.ndarray) -> tuple[float | None, float, float]:
    """kappa, observed and expected agreement of counts (n, k): readers who gave each of k readings."""
    readers = counts[0].sum()
    observed = float((counts * (counts - 1)).sum() / (len(counts) * readers * (readers - 1)))
    expected = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (None if expected >= 1 - 1e-12 else (observed - expected) / (1 - expected)), observed, expected


def majority_labels(labels: np.ndarray) -> np.ndarray:
    """(n, r) labels -> (n,) what more than half of the readers say; NaN where one is missing or they tie."""
    share = np.asarray(labels, dtype=float).mean(axis=1)
    return np.where(np.isnan(share) | (share == 0.5), np.nan, share > 0.5)


def soft_labels(labels: np.ndarray) -> np.ndarray:
    """(n, r) labels -> (n,) share of the readings present that say responder; NaN where there is none."""
    labels = np.asarray(labels, dtype=float)
    present = np.isfinite(labels)
    count = present.sum(axis=1)
    total = np.where(present, labels, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class ReaderAuc:
    """How well the readings of others rank one reader's label.

    reader: whose label; by: whose readings, averaged when there are several (positions from 0).
    """

    reader: int
    by: tuple[int, ...]
    auc: AucInterval


def reader_aucs(labels: np.ndarray, grades: np.ndarray, level: float = 0.95) -> tuple[ReaderAuc, ...]:
    """Each reader's label (n, r) ranked by each other reader's grade (n, r), and by the mean of all others.

    Only patients with all readings count, so that the figures belong to the same patients. With the
    labels themselves as grades the others' votes are counted. A model that is trained and judged on
    one reader's label is hardly to be expected above what other readers reach with both images
    before them; it is no bound that cannot be passed, since a mean of readers is more reliable than one.
    """
    labels, grades = np.asarray(labels, dtype=float), np.asarray(grades, dtype=float)
    if labels.shape != grades.shape:
        raise TrainingError(
            tr("labels and grades do not belong together"),
            expected=tr("one of each a patient and reader"),
            received=tr("{first} and {second}", first=labels.shape, second=grades.shape),
        )
    both = _complete(np.concatenate([labels, grades], axis=1))
    labels, grades = np.hsplit(both, 2)
    answers = []
    for reader in range(labels.shape[1]):
        others = tuple(other for other in range(labels.shape[1]) if other != reader)
        for by in (*((other,) for other in others), *([others] if len(others) > 1 else [])):
            answers.append(ReaderAuc(reader, by, _ranked(labels[:, reader], grades, by, level)))
    return tuple(answers)


def _ranked(label: np.ndarray, grades: np.ndarray, by: Sequence[int], level: float) -> AucInterval:
    return auc_newcombe(label, grades[:, list(by)].mean(axis=1), level)
