"""Paired comparison of two AUCs where a class is too small for DeLong's normal approximation.

Under the null the two scores of a patient may be exchanged, once both are ranks (Bandos, Rockette
and Gur, Stat Med 2005;24:2873). The p-value is the share of random exchanges with a difference at
least as large, the observed one counted.
"""

from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from .discrimination import AucDifference, paired_delong

#: Below the first number of the smaller class there is no test; below the second this one replaces
#: DeLong's, which is then too bold near an AUC of 0.5 and too timid near 0.9.
FEWEST_FOR_TEST, FEW = 10, 20
EXCHANGES, SEED = 9999, 1


def paired_comparison(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, names: tuple[str, str]
) -> AucDifference | None:
    """Compare two scores (n,) of the same new patients, with the test that fits their number.

    None with fewer than FEWEST_FOR_TEST patients of a class: no test holds its size there.
    """
    fewest = int(np.bincount(np.asarray(labels).astype(int), minlength=2).min())
    if fewest < FEWEST_FOR_TEST:
        return None
    found = paired_delong(labels, first, second, names)
    if fewest >= FEW:
        return found
    p = exchange_test(labels, first, second, SEED)
    return replace(found, p=p, p_adjusted=p)


def exchange_test(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int, exchanges: int = EXCHANGES
) -> float:
    """Two-sided p of equal AUCs of two scores (n,) of the same patients, labels (n,) 0/1."""
    ranks = np.stack([rankdata(first), rankdata(second)])
    observed = abs(_difference(labels, ranks[0], ranks[1]))
    exchanged = np.random.default_rng(seed).random((exchanges, len(labels))) < 0.5
    one = np.where(exchanged, ranks[1], ranks[0])
    other = np.where(exchanged, ranks[0], ranks[1])
    reached = np.abs(_difference(labels, one, other)) >= observed - 1e-9
    return float((reached.sum() + 1) / (exchanges + 1))


def _difference(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """AUC of the first less that of the second, from scores (..., n) by midranks."""
    gap = rankdata(first, axis=-1) - rankdata(second, axis=-1)
    responder = labels == 1
    return gap[..., responder].sum(axis=-1) / (responder.sum() * (~responder).sum())
