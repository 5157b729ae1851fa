"""For whom a model works: discrimination and calibration by sex, age, centre, size or phase.

Arrays in, frozen dataclasses out. Subgroups are small, and of several one is the best by chance:
the figures describe, they do not test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import logit
from scipy.stats import norm

from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.messages.language import tr

from .calibration import EDGE
from .discrimination import checked
from .intervals import (
    FEWEST_FOR_AUC,
    AucInterval,
    ObservedExpected,
    auc_newcombe,
    observed_expected,
)
from .logistic import fit_logistic

#: What a patient without a value belongs to.
MISSING = "missing"


@dataclass(frozen=True)
class Subgroup:
    """Performance in the patients who share a value of one variable.

    patients, responders: counts. suppressed: fewer than five responders or others, so that the
    counts are not for publication and every figure is None. That one group alone is suppressed does
    not hide it where the total is printed beside it. auc: of the scores. in_the_large: intercept of
    the outcome with the logit's slope held at 1, 0 when the probabilities are right on average;
    in_the_large_ci: its interval. observed_expected: None like in_the_large without probabilities.
    """

    variable: str
    group: str
    patients: int
    responders: int
    suppressed: bool
    auc: AucInterval | None = None
    in_the_large: float | None = None
    in_the_large_ci: tuple[float, float] | None = None
    observed_expected: ObservedExpected | None = None


def subgroup_performance(
    variable: str,
    groups: Sequence[str],
    labels: np.ndarray,
    scores: np.ndarray,
    probabilities: np.ndarray | None = None,
    *,
    order: Sequence[str] = (),
    level: float = 0.95,
) -> tuple[Subgroup, ...]:
    """Performance in each group of (n,) groups; empty, None and NaN are the group `missing`, the last one.

    scores (n,) rank and may be anything; probabilities (n,) are judged for calibration where given.
    order: names of groups that come first, in this order; the others follow as sorted texts.
    """
    labels, scores = checked(labels, scores, each_class=0)
    names = np.array([_name(group) for group in groups], dtype=object)
    if len(names) != len(labels):
        raise TrainingError(
            tr("groups and labels do not belong together"),
            field=variable,
            received=tr("{groups} groups, {labels} labels", groups=len(names), labels=len(labels)),
        )
    present = set(names)
    others = sorted(present - {*order, MISSING})
    answers = []
    for name in (*(name for name in order if name in present), *others, *({MISSING} & present)):
        of_group = names == name
        mine = None if probabilities is None else np.asarray(probabilities, dtype=float)[of_group]
        answers.append(_subgroup(variable, name, labels[of_group], scores[of_group], mine, level))
    return tuple(answers)


def _name(group: object) -> str:
    # NaN is what pandas makes of an empty cell, and the only value that is not itself.
    return MISSING if group is None or group == "" or group != group else str(group)


def _subgroup(
    variable: str,
    name: str,
    labels: np.ndarray,
    scores: np.ndarray,
    probabilities: np.ndarray | None,
    level: float,
) -> Subgroup:
    n, responders = len(labels), int(labels.sum())
    if min(responders, n - responders) < FEWEST_FOR_AUC:
        return Subgroup(variable, name, n, responders, suppressed=True)
    auc = auc_newcombe(labels, scores, level)
    if probabilities is None:
        return Subgroup(variable, name, n, responders, False, auc)
    ratio = observed_expected(labels, probabilities, level)
    linear = logit(np.clip(probabilities, EDGE, 1 - EDGE))
    fit = fit_logistic(np.ones((n, 1)), labels, offset=linear)
    middle, margin = float(fit.coefficients[0]), float(norm.ppf(0.5 + level / 2) * fit.errors[0])
    return Subgroup(
        variable, name, n, responders, False, auc, middle, (middle - margin, middle + margin), ratio
    )


def cut(values: np.ndarray, parts: int = 2, unit: str = "") -> tuple[np.ndarray, tuple[str, ...]]:
    """A numeric column (n,) cut at its median (2 parts) or terciles (3), into groups of about equal size.

    Returns the group's name of each patient (n,) and the names in ascending order. A value on a cut
    belongs below it; equal values stay together, so that there may be fewer groups; NaN is `missing`.
    """
    values = np.asarray(values, dtype=float)
    present = np.isfinite(values)
    if not present.any():
        return np.full(len(values), MISSING, dtype=object), ()
    edges = np.unique(np.quantile(values[present], np.arange(1, parts) / parts))
    edges = edges[edges < values[present].max()]
    names = _names(edges, unit)
    groups = np.full(len(values), MISSING, dtype=object)
    groups[present] = np.array(names, dtype=object)[np.searchsorted(edges, values[present], side="left")]
    return groups, names


def _names(edges: np.ndarray, unit: str) -> tuple[str, ...]:
    if not len(edges):
        return (tr("all"),)
    texts = [f"{edge:.4g}" + (f" {unit}" if unit else "") for edge in edges]
    between = [tr("above {low} to {high}", low=low, high=high) for low, high in pairwise(texts)]
    return (tr("up to {limit}", limit=texts[0]), *between, tr("above {limit}", limit=texts[-1]))
