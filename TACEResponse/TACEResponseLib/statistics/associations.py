"""How variables go together: correlations, the cohort table's tests, univariable association.

Arrays in, frozen dataclasses out; equal to R's `cor.test`, `chisq.test`, `fisher.test`, `t.test`,
`wilcox.test` and `glm`. A missing value (NaN, None) is left out and counted, never imputed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import listed, mark, tr

from .logistic import fit_logistic

#: An expected count below this in a 2 x 2 table calls for Fisher's exact test (Cochran's rule).
SMALLEST_EXPECTED = 5
#: A numeric variable with at most this many values is a category in the cohort table.
MOST_CATEGORIES = 5


@dataclass(frozen=True)
class Correlations:
    """Correlation matrix of m variables over the same patients.

    names: m. r, p: (m, m), two-sided p, 0 on the diagonal; NaN in the rows and columns of a
    variable that does not vary, all of which are listed in `constant`. n: patients.
    """

    method: str
    names: tuple[str, ...]
    r: np.ndarray
    p: np.ndarray
    n: int
    constant: tuple[str, ...]


def correlations(
    columns: Mapping[str, np.ndarray], method: Literal["pearson", "spearman"] = "pearson"
) -> Correlations:
    """Pearson or Spearman correlations of named columns (n,), with p-values from t with n - 2 df.

    Raises TrainingError for fewer than three patients or a value that is not a finite number.
    """
    names = tuple(columns)
    values = np.array([np.asarray(columns[name], dtype=float) for name in names])
    n = values.shape[1]
    if n < 3 or not np.isfinite(values).all():
        raise TrainingError(
            tr("correlations need at least three patients with finite values"),
            received=tr(
                "{n} patients, {missing} values missing", n=n, missing=int((~np.isfinite(values)).sum())
            ),
        )
    constant = np.ptp(values, axis=1) == 0
    if method == "spearman":
        values = stats.rankdata(values, axis=1)
    r, p = np.full((2, len(names), len(names)), np.nan)
    varying = np.ix_(~constant, ~constant)
    if not constant.all():
        r[varying] = np.clip(np.corrcoef(values[~constant]), -1, 1)
    with np.errstate(divide="ignore"):
        t = r * np.sqrt((n - 2) / (1 - r**2))
    p[varying] = 2 * stats.t.sf(np.abs(t[varying]), n - 2)
    for diagonal, exact in ((r, 1.0), (p, 0.0)):
        np.fill_diagonal(diagonal, np.where(constant, np.nan, exact))
    return Correlations(
        method, names, r, p, n, tuple(name for name, c in zip(names, constant, strict=True) if c)
    )


@dataclass(frozen=True)
class Comparison:
    """One row of the cohort table: a variable in several groups, and whether the groups differ.

    kind: `category` or `number`. levels: category names, empty for a number. summary: one text a
    group, or for a category one tuple of texts a group, `n (%)` each; `mean ± SD` for a number that
    is compared by t, `median (IQR)` by ranks. test: its name, in English, for `tr`; p: None when nothing
    can be tested, and then `test` says why. missing: patients without a value, for each group.
    """

    variable: str
    kind: Literal["category", "number"]
    groups: tuple[str, ...]
    levels: tuple[str, ...]
    summary: tuple
    test: str
    p: float | None
    missing: tuple[int, ...]


def table_one(
    columns: Mapping[str, Sequence], groups: Sequence, kinds: Mapping[str, str] | None = None
) -> tuple[Comparison, ...]:
    """The cohort table: each column (n,) compared between the groups (n,).

    kinds: variable -> `category` or `number` where the guess would be wrong; text and numbers with
    at most five values are categories. Raises TrainingError for fewer than two groups.
    """
    groups = np.asarray(groups).astype(str)
    names = tuple(dict.fromkeys(groups.tolist()))
    if len(names) < 2:
        raise TrainingError(
            tr("a comparison needs two groups"), field="groups", received=listed(names) or tr("none")
        )
    return tuple(
        _compare(name, np.asarray(column, dtype=object), groups, names, (kinds or {}).get(name))
        for name, column in columns.items()
    )


def _compare(name: str, column: np.ndarray, groups: np.ndarray, names: tuple, kind: str | None) -> Comparison:
    import pandas as pd

    present = ~pd.isna(column)
    missing = tuple(int((~present & (groups == g)).sum()) for g in names)
    numeric = all(isinstance(v, int | float | np.number | np.bool_) for v in column[present])
    values = set(column[present].tolist())
    kind = kind or ("number" if numeric and len(values) > MOST_CATEGORIES else "category")
    if kind == "number":
        samples = [column[present & (groups == g)].astype(float) for g in names]
        summary, (test, p) = compare_numbers(samples)
        return Comparison(name, kind, names, (), summary, test, p, missing)
    levels = sorted(values, key=lambda v: (isinstance(v, str), v))
    counts = np.array([[np.sum(column[present & (groups == g)] == v) for g in names] for v in levels])
    counts = counts.reshape(len(levels), len(names)).astype(int)
    totals = np.maximum(counts.sum(axis=0), 1)
    summary = tuple(
        tuple(f"{c} ({100 * c / total:.1f} %)" for c in column_counts)
        for column_counts, total in zip(counts.T, totals, strict=True)
    )
    test, p = compare_counts(counts)
    return Comparison(name, kind, names, tuple(map(str, levels)), summary, test, p, missing)


def compare_counts(counts: np.ndarray) -> tuple[str, float | None]:
    """Test and p of a table of counts (levels, groups).

    Chi-squared, with Yates' correction for 2 x 2 as in R; Fisher's exact test for a 2 x 2 table
    with an expected count below 5. Empty rows and columns are left out first.
    """
    counts = np.asarray(counts)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape, default=0) < 2:
        return mark("not tested: one level or one group only"), None
    expected = stats.contingency.expected_freq(counts)
    if counts.shape == (2, 2) and expected.min() < SMALLEST_EXPECTED:
        return "Fisher", float(stats.fisher_exact(counts).pvalue)
    yates = counts.shape == (2, 2)
    test = stats.chi2_contingency(counts, correction=yates)
    names = (mark("chi-squared"), mark("chi-squared (Yates)"))
    if expected.min() < SMALLEST_EXPECTED:
        names = (
            mark("chi-squared, small expected counts"),
            mark("chi-squared (Yates), small expected counts"),
        )
    return names[yates], float(test.pvalue)


def compare_numbers(samples: Sequence[np.ndarray]) -> tuple[tuple[str, ...], tuple[str, float | None]]:
    """Summary of each sample, and the test with its p.

    Welch's t when every sample looks normal (Shapiro-Wilk p > 0.05), else Mann-Whitney; with more
    than two samples Kruskal-Wallis.
    """
    if any(len(s) < 3 for s in samples):
        return _medians(samples), (mark("not tested: fewer than three values in a group"), None)
    if np.ptp(np.concatenate(samples)) == 0:
        return _medians(samples), (mark("not tested: constant"), None)
    if len(samples) > 2:
        return _medians(samples), ("Kruskal-Wallis", float(stats.kruskal(*samples).pvalue))
    if all(np.ptp(s) > 0 and len(s) <= 5000 and stats.shapiro(s).pvalue > 0.05 for s in samples):
        means = tuple(f"{s.mean():.1f} ± {s.std(ddof=1):.1f}" for s in samples)
        return means, ("Welch's t", float(stats.ttest_ind(*samples, equal_var=False).pvalue))
    test = stats.mannwhitneyu(*samples, use_continuity=True, method="asymptotic")
    return _medians(samples), ("Mann-Whitney", float(test.pvalue))


def _medians(samples: Sequence[np.ndarray]) -> tuple[str, ...]:
    texts = []
    for sample in samples:
        if len(sample) == 0:
            texts.append(tr("none"))
            continue
        low, middle, high = np.quantile(sample, (0.25, 0.5, 0.75))
        told = {"middle": middle, "low": low, "high": high}
        texts.append(tr("{middle:.1f} ({low:.1f} to {high:.1f})", **told))
    return tuple(texts)


@dataclass(frozen=True)
class Association:
    """A variable's univariable association with response.

    odds_ratio, ci_low, ci_high: per unit, from a logistic model of this variable alone; p: Wald's.
    status: `ok`; `separated` when the variable parts the classes (then p is of the likelihood-ratio
    test, and the odds ratio and bounds are None, since they would be infinite); `constant` or
    `one class` when there is nothing to estimate (all None). n: patients with a value.
    """

    variable: str
    odds_ratio: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n: int
    missing: int
    status: str


def univariable(
    labels: np.ndarray, columns: Mapping[str, np.ndarray], level: float = 0.95
) -> tuple[Association, ...]:
    """Association of each numeric column (n,) with labels (n,), one logistic model a column."""
    labels = np.asarray(labels)
    return tuple(
        _associate(name, labels, np.asarray(column, dtype=float), level) for name, column in columns.items()
    )


def _associate(name: str, labels: np.ndarray, values: np.ndarray, level: float) -> Association:
    present = np.isfinite(values)
    y, x = labels[present], values[present]
    n, missing = len(x), int((~present).sum())

    def nothing(status: str, p: float | None = None) -> Association:
        return Association(name, None, None, None, p, n, missing, status)

    if len(np.unique(y)) < 2:
        return nothing("one class")  # not a text: a code
    spread = x.std()
    if spread <= 1e-12 * max(1.0, np.abs(x).max()):
        return nothing("constant")
    ones = np.ones(n)
    # Standardised inside, so that the unit of the variable cannot spoil the arithmetic.
    fit = fit_logistic(np.column_stack([ones, (x - x.mean()) / spread]), y)
    if fit.separated:
        null = fit_logistic(ones[:, None], y)
        return nothing("separated", float(stats.chi2.sf(null.deviance - fit.deviance, 1)))
    slope, error = fit.coefficients[1] / spread, fit.errors[1] / spread
    margin = stats.norm.ppf(0.5 + level / 2) * error
    low, middle, high = (float(np.exp(b)) for b in (slope - margin, slope, slope + margin))
    return Association(
        name, middle, low, high, float(2 * stats.norm.sf(abs(slope / error))), n, missing, "ok"
    )
