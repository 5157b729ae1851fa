"""What hospitals found, put together: random-effects meta-analysis of a model's performance.

Each hospital gives counts and figures, no patient. The AUC is pooled on the logit scale and observed
over expected on the log scale, since they are closer to normal there (Debray et al., BMJ
2017;356:i6460; Snell et al., Stat Methods Med Res 2018;27:3505). The interval of the mean is
Hartung and Knapp's (Stat Med 2001;20:3875), which keeps its promise with few hospitals. The
prediction interval, what another hospital may expect, is that of `prediction_interval`. Means,
variances and errors equal R's metafor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import chi2, norm, t

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import tr

from .intervals import auc_variance
from .prediction_interval import next_hospital

#: Variances between hospitals at which the restricted likelihood is looked at first.
GRID = 200
#: With fewer hospitals than this nothing is said about another one.
FEWEST_TO_PREDICT = 3


@dataclass(frozen=True)
class Pooled:
    """Mean of k hospitals with its interval, and the interval in which another hospital is expected.

    estimate, ci_low, ci_high, prediction_low, prediction_high: on the scale of the figure itself;
    error, tau2: standard error of the mean (Hartung and Knapp's, where theirs is the method) and
    variance between hospitals, on the scale on which they were pooled (`identity`, `logit` or
    `log`). q, q_p: Cochran's test of equal hospitals; i2: share of the scatter that is between them.
    values, weights: (k,) figure of each hospital, and its share of the mean, sum 1. moved: hospitals
    (positions) whose AUC of 0 or 1 was moved inwards. With one hospital its own interval is given;
    tau2, q, q_p and i2 are None then, and the prediction interval is None with fewer than three.
    """

    estimate: float
    ci_low: float
    ci_high: float
    prediction_low: float | None
    prediction_high: float | None
    error: float
    tau2: float | None
    q: float | None
    q_p: float | None
    i2: float | None
    values: np.ndarray
    weights: np.ndarray
    scale: str
    method: str
    level: float
    moved: tuple[int, ...] = ()


def pool(
    estimates: Sequence[float],
    variances: Sequence[float],
    method: Literal["REML", "DL"] = "REML",
    *,
    hartung_knapp: bool = True,
    at_least_normal: bool = False,
    level: float = 0.95,
) -> Pooled:
    """Random-effects mean of k estimates with known variances.

    method: of the variance between hospitals, restricted maximum likelihood or DerSimonian and
    Laird (Control Clin Trials 1986;7:177). hartung_knapp: False gives the intervals of old, normal
    for the mean and Higgins' for another hospital, which hold too rarely with few hospitals.
    at_least_normal: True gives an interval of the mean that is nowhere narrower than the normal one.
    Without it two hospitals that happen to agree have a very short interval, as one in eight pairs
    does; with it two hospitals are held in 99 instead of 95 % (Jackson et al., Stat Med
    2017;36:3923). Raises TrainingError for no estimates, or a variance that is not above 0.
    """
    y, v = _checked(estimates, variances)
    k = len(y)
    if k == 1:
        margin = norm.ppf(0.5 + level / 2) * np.sqrt(v[0])
        bounds = (float(y[0] - margin), float(y[0] + margin), None, None, float(np.sqrt(v[0])))
        return Pooled(float(y[0]), *bounds, *4 * (None,), y, np.ones(1), "identity", method, level)
    tau2 = {"REML": _reml, "DL": _dersimonian_laird}[method](y, v)
    weights = 1 / (v + tau2)
    mean, squares = _weighted(y, weights)
    error = 1 / np.sqrt(weights.sum())
    margin = norm.ppf(0.5 + level / 2) * error
    ends = _higgins(mean, tau2 + error**2, k, level)
    if hartung_knapp:
        error *= np.sqrt(squares / (k - 1))
        theirs = t.ppf(0.5 + level / 2, k - 1) * error
        # Estimates that are equal to the last digit have no scatter from which a width could come.
        margin = max(margin, theirs) if at_least_normal or error <= 1e-9 * margin else theirs
        ends = _of_next(y, v, (mean - margin, mean + margin), level)
    q = _weighted(y, 1 / v)[1]
    return Pooled(
        estimate=mean,
        ci_low=float(mean - margin),
        ci_high=float(mean + margin),
        prediction_low=ends[0],
        prediction_high=ends[1],
        error=float(error),
        tau2=tau2,
        q=q,
        q_p=float(chi2.sf(q, k - 1)),
        i2=tau2 / (tau2 + _typical_variance(v)),
        values=y,
        weights=weights / weights.sum(),
        scale="identity",
        method=method + (", Hartung-Knapp" if hartung_knapp else ""),
        level=level,
    )


def _checked(estimates: Sequence[float], variances: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    y, v = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if y.ndim != 1 or y.shape != v.shape or not y.size:
        raise TrainingError(
            tr("estimates and variances do not belong together"),
            expected=tr("one of each a hospital"),
            received=tr("{estimates} estimates, {variances} variances", estimates=y.size, variances=v.size),
        )
    if not (np.isfinite(y) & np.isfinite(v) & (v > 0)).all():
        raise TrainingError(
            tr("an estimate or its variance cannot be pooled"), expected=tr("variances above 0")
        )
    return y, v


def _weighted(y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted mean of y and weighted squares about it."""
    mean = float(np.average(y, weights=weights))
    return mean, float(weights @ (y - mean) ** 2)


def _dersimonian_laird(y: np.ndarray, v: np.ndarray) -> float:
    weights = 1 / v
    excess = _weighted(y, weights)[1] - (len(y) - 1)
    return max(0.0, float(excess / (weights.sum() - (weights**2).sum() / weights.sum())))


def _reml(y: np.ndarray, v: np.ndarray) -> float:
    """The variance at which the restricted likelihood is highest.

    (Viechtbauer, J Educ Behav Stat 2005;30:261.) It may have a second, lower top; so a grid comes
    first, and then the root of the slope beside its highest point.
    """

    def slope(tau2: float) -> float:
        weights = 1 / (v + tau2)
        squares = weights**2 @ (y - _weighted(y, weights)[0]) ** 2
        return float(squares - weights.sum() + (weights**2).sum() / weights.sum())

    grid = np.r_[0.0, (v.max() + np.var(y)) * np.logspace(-6, 2, GRID)]
    weights = 1 / (v + grid[:, None])
    totals = weights.sum(axis=1)
    squares = (weights * (y - (weights @ y / totals)[:, None]) ** 2).sum(axis=1)
    best = int(np.argmin(squares + np.log(totals) - np.log(weights).sum(axis=1)))
    low, high = grid[max(0, best - 1)], grid[min(GRID, best + 1)]
    if best == 0 and slope(0.0) <= 0:
        return 0.0
    return float(brentq(slope, low, high, xtol=1e-15, rtol=1e-13))


def _typical_variance(v: np.ndarray) -> float:
    """The variance within a hospital that i2 compares with (Higgins & Thompson, Stat Med 2002;21:1539)."""
    weights = 1 / v
    return float((len(v) - 1) * weights.sum() / (weights.sum() ** 2 - (weights**2).sum()))


def _higgins(mean: float, variance: float, k: int, level: float) -> tuple[float, float] | tuple[None, None]:
    """Prediction interval with Student's t of k - 2 degrees of freedom."""
    if k < FEWEST_TO_PREDICT:
        return None, None
    margin = float(t.ppf(0.5 + level / 2, k - 2) * np.sqrt(variance))
    return mean - margin, mean + margin


def _of_next(
    y: np.ndarray, v: np.ndarray, ci: tuple[float, float], level: float
) -> tuple[float, float] | tuple[None, None]:
    """Another hospital is never more certain than the mean of all."""
    if len(y) < FEWEST_TO_PREDICT:
        return None, None
    low, high = next_hospital(y, v, level)
    return float(min(low, ci[0])), float(max(high, ci[1]))


def pool_auc(
    aucs: Sequence[float],
    responders: Sequence[int],
    others: Sequence[int],
    variances: Sequence[float] | None = None,
    **how,
) -> Pooled:
    """Mean AUC of hospitals; variances by default Newcombe's of the AUC and the patients of each class.

    An AUC of 0 or 1 has no logit: it is moved inwards by half a pair of patients, takes Newcombe's
    variance there, and is named in `moved`. how: as in `pool`. Raises TrainingError for an AUC
    outside 0 to 1 and a class without patients.
    """
    aucs, m, n = (np.asarray(values, dtype=float) for values in (aucs, responders, others))
    if not (aucs.shape == m.shape == n.shape) or not ((aucs >= 0) & (aucs <= 1) & (m >= 1) & (n >= 1)).all():
        raise TrainingError(
            tr("an AUC cannot be pooled"),
            field="auc",
            expected=tr("AUCs from 0 to 1, patients of both classes"),
        )
    at_end = (aucs == 0) | (aucs == 1)
    inside = np.where(at_end, (m * n * aucs + 0.5) / (m * n + 1), aucs)
    own = np.array([auc_variance(*values) for values in zip(inside, m, n, strict=True)])
    v = own if variances is None else np.where(at_end, own, variances)
    pooled = pool(logit(inside), v / (inside * (1 - inside)) ** 2, **how)
    return replace(_turned(pooled, expit, "logit"), moved=tuple(np.flatnonzero(at_end).tolist()))


def pool_observed_expected(
    observed: Sequence[int], expected: Sequence[float], patients: Sequence[int], **how
) -> Pooled:
    """Mean of observed over expected responders of hospitals, with (1 - share) / observed as variance.

    how: as in `pool`. Raises TrainingError for a hospital without observed responders, or with
    nothing but those, since neither has a logarithm with a variance.
    """
    o, e, n = (np.asarray(values, dtype=float) for values in (observed, expected, patients))
    if not (o.shape == e.shape == n.shape) or not ((o > 0) & (o < n) & (e > 0)).all():
        raise TrainingError(
            tr("observed over expected cannot be pooled"),
            expected=tr("responders and others observed, and responders expected, in every hospital"),
        )
    return _turned(pool(np.log(o / e), (1 - o / n) / o, **how), np.exp, "log")


def _turned(pooled: Pooled, back: Callable, scale: str) -> Pooled:
    """The figures turned back from the scale on which they were pooled."""
    names = ("estimate", "ci_low", "ci_high", "prediction_low", "prediction_high")
    figures = {name: getattr(pooled, name) for name in names}
    turned = {name: None if value is None else float(back(value)) for name, value in figures.items()}
    return replace(pooled, **turned, values=back(pooled.values), scale=scale)
