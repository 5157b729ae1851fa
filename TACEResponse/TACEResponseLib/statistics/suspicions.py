"""What is too good to be true in a table: copied rows, outcomes among the features, unusable columns.

Every function takes a table, patients by columns, and returns what it found as a tuple of Problems:
`error` for what makes every figure wrong, `warning` for what a person has to judge. Nothing is
removed or repaired here.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from math import comb

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist
from scipy.stats import norm, rankdata

from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import tr

#: A finding is reported when fewer than this many are expected by chance in the whole table.
CHANCE = 1e-3
#: An AUC of one feature alone, or 1 minus it, that no measurement of a tumour has reached.
STARTLING_AUC = 0.95
#: Trees and networks count in float32; a larger value becomes infinite there.
LARGEST = float(np.finfo(np.float32).max)

#: Short words of an outcome, with or without a unit behind them (`OS`, `OS_weeks`, `TTPdays`).
_OUTCOME = re.compile(
    r"(os|pfs|ttp|dfs|rfs|efs|css|ttup|fu|event|easl)(days?|weeks?|months?|years?|time|status)?"
)
#: Beginnings of longer ones, in any case (`Survival`, `responder`, `1_mRECIST`, `Censored_0`).
_OUTCOME_BEGINS = (
    *("alive", "censor", "dead", "death", "deceas", "died", "followup", "label", "mortal", "mrecist"),
    *("outcome", "progress", "recist", "recurr", "relaps", "respon", "surviv"),
)
#: With one of these beside it, an outcome's word is a measurement before treatment (`mRECIST_BL`).
_BEFORE = frozenset({"baseline", "before", "bl", "pre", "pretreatment"})
#: Words of a clinical value or of how a patient came into the cohort.
_CLINICAL = frozenset(
    {
        *("afp", "age", "agegp", "alcohol", "albi", "albumin", "bclc", "bilirubin", "bmi", "chemotherapy"),
        *("child", "cirrhosis", "clip", "cps", "diabetes", "ecog", "female", "gender", "hbv", "hcv"),
        *("hepatitis", "male", "okuda", "sex", "smoking", "tnm"),
        *("center", "centre", "cohort", "date", "hospital", "manufacturer", "scanner"),
    }
)
#: Fewer rows have no usual distance; with more, the distances of all pairs fill the memory.
FEWEST_ROWS, MOST_ROWS = 20, 6000
#: A column in which more of the pairs are equal is a category and tells no patients apart.
MOST_EQUAL_PAIRS = 0.2
#: Near and further pairs, as shares of all, between which the growth of distances is measured.
NEAR, FURTHER = 0.1, 0.25
#: A copy is never further away than this part of the distance of near pairs.
FURTHEST_COPY = 0.25
#: Rows and columns that a sentence lists by name; the rest is counted.
LISTED = 5


def outcome_columns(names: Sequence[str]) -> tuple[Problem, ...]:
    """Columns whose name is that of an outcome or of a clinical value.

    An outcome is an error, and a warning when the name says `baseline` or `BL`; a clinical value
    is a warning.
    """
    problems = []
    for name in names:
        words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
        if _says_outcome(words):
            problems.append(_outcome(name, before=not _BEFORE.isdisjoint(words)))
        elif not _CLINICAL.isdisjoint(words):
            problems.append(
                Problem(
                    "clinical_column",
                    tr("a clinical column is among the image features"),
                    field=name,
                    remedy=tr("move it to the cohort's table, where clinical values stand beside the model"),
                    severity="warning",
                )
            )
    return tuple(problems)


def _says_outcome(words: Sequence[str]) -> bool:
    return ("follow", "up") in pairwise(words) or any(
        _OUTCOME.fullmatch(word.rstrip("0123456789")) or word.startswith(_OUTCOME_BEGINS) for word in words
    )


def _outcome(name: str, before: bool) -> Problem:
    return Problem(
        "outcome_column",
        tr("a column named like an outcome is among the features"),
        field=name,
        expected=tr("only what is known before treatment"),
        remedy=tr("make sure that it was measured before treatment")
        if before
        else tr("remove the column, or rename it if it was measured before treatment"),
        severity="warning" if before else "error",
    )


def unusable_columns(names: Sequence[str], values: np.ndarray) -> tuple[Problem, ...]:
    """Columns of values (n, m) that are empty, or hold a number that is infinite in float32; errors."""
    values = np.asarray(values, dtype=float)
    empty = np.isnan(values).all(axis=0)
    too_large = (np.abs(values) > LARGEST).any(axis=0)
    return tuple(
        Problem(
            "empty_column", tr("a column has no value at all"), field=name, remedy=tr("remove the column")
        )
        if empty[k]
        else Problem(
            "magnitude",
            tr("a value is too large to be computed with"),
            field=name,
            expected=tr("numbers up to {largest:.1e}", largest=LARGEST),
            received=f"{values[np.nanargmax(np.abs(values[:, k])), k]:g}",
            remedy=tr("correct the value, or leave its place empty"),
        )
        for k, name in enumerate(names)
        if empty[k] or too_large[k]
    )


def telling_columns(names: Sequence[str], values: np.ndarray, labels: np.ndarray) -> tuple[Problem, ...]:
    """Columns of values (n, m) that alone rank the labels (n,) without error, or nearly so.

    An AUC of 1 or 0 is an error, one beyond 0.95 a warning, each only when chance does not do the
    same: among m columns without any information fewer than 0.001 such would be expected. A column
    that is filled for one class only is an error, too. Missing values are left out.
    """
    values, labels = np.asarray(values, dtype=float), np.asarray(labels).astype(int)
    missing = np.isnan(values)
    aucs, of_chance = _aucs(values, labels)
    filled, by_pattern = _aucs(missing.astype(float), labels)
    problems = []
    for k, name in enumerate(names):
        if max(filled[k], 1 - filled[k]) >= 1 - 1e-9 and by_pattern[k] < CHANCE:
            problems.append(_tells(name, tr("a column is filled for one class only"), "error"))
        elif np.isfinite(aucs[k]) and max(aucs[k], 1 - aucs[k]) >= STARTLING_AUC and of_chance[k] < CHANCE:
            perfect = max(aucs[k], 1 - aucs[k]) >= 1 - 1e-9
            message = (
                tr("a column alone ranks every patient")
                if perfect
                else tr("a column alone ranks nearly every patient")
            )
            problems.append(_tells(name, message, "error" if perfect else "warning", f"AUC {aucs[k]:.3f}"))
    return tuple(problems)


def _tells(name: str, message: str, severity: str, received: str = "") -> Problem:
    return Problem(
        "telling_column",
        message,
        field=name,
        received=received,
        remedy=tr("make sure that the column was measured before treatment and without knowing the response"),
        severity=severity,
    )


def _aucs(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each column (m,), NaN without both classes; and how many of m random columns reach 0.95 or 1.

    By the exact number of orders for 1 and by the normal limit of Mann and Whitney for 0.95.
    """
    present = ~np.isnan(values)
    ranks = rankdata(values, axis=0, nan_policy="omit")
    responders = (present & (labels == 1)[:, None]).sum(axis=0)
    others = present.sum(axis=0) - responders
    pairs = np.where(responders * others > 0, responders * others, np.nan)
    sums = np.where(present & (labels == 1)[:, None], ranks, 0).sum(axis=0)
    aucs = (sums - responders * (responders + 1) / 2) / pairs
    perfect = np.array([2 / comb(int(a + b), int(a)) for a, b in zip(responders, others, strict=True)])
    spread = np.sqrt((responders + others + 1) / (12 * pairs))
    startling = 2 * norm.sf((STARTLING_AUC - 0.5) / spread)
    reached = np.where(np.abs(aucs - 0.5) >= 0.5 - 1e-9, perfect, startling)
    return aucs, values.shape[1] * reached


def copied_rows(
    patient_ids: Sequence[str], values: np.ndarray, groups: Sequence | None = None
) -> tuple[Problem, ...]:
    """Rows of values (n, m) that are copies (error) or near-copies (warning) of each other.

    groups: (n,) rows of one group may resemble each other, and are not named. Columns are
    standardised by median and interquartile range and cut at 5; a missing value counts as the
    median; rows with less than half of the values are left out.

    A pair is a near-copy when it is so close that chance explains no such pair: within a small
    neighbourhood the number of pairs grows as a power of their distance, whose exponent is read from
    the table itself (the correlation dimension, Grassberger & Procaccia, Physica D 1983;9:189). So a
    table of two columns, in which neighbours are close by chance, gives no alarm.
    """
    values = np.asarray(values, dtype=float)
    rows = np.flatnonzero(np.isfinite(values).mean(axis=1) >= 0.5)
    if len(rows) > MOST_ROWS:
        return (_too_many(len(rows)),)
    if len(rows) < FEWEST_ROWS:
        return ()
    table, resolution = _standardised(values[rows])
    if not table.shape[1]:
        return ()
    distances = pdist(table) / np.sqrt(table.shape[1])
    first, second = np.triu_indices(len(rows), 1)
    close = np.hypot(distances, resolution) < _copy_distance(distances)
    if groups is not None:
        named = np.asarray(groups)[rows]
        close &= named[first] != named[second]
    ids = [str(patient_ids[k]) for k in rows]
    exact = close & (distances == 0)
    return (
        *_copies(ids, first[exact], second[exact], exact=True),
        *_copies(ids, first[close & ~exact], second[close & ~exact], exact=False),
    )


def _standardised(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Columns that tell patients apart, standardised; and the distance that rounding alone may hide."""
    values = np.where(np.isfinite(values), values, np.nan)
    values = values[:, ~np.isnan(values).all(axis=0)]
    low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75), axis=0)
    varying = high > low
    table = (values[:, varying] - middle[varying]) / (high - low)[varying]
    table = np.nan_to_num(np.clip(table, -5, 5), nan=0.0)
    steps = [_equal_pairs_and_step(column) for column in table.T]
    kept = np.array([share <= MOST_EQUAL_PAIRS for share, _ in steps], dtype=bool)
    halves = np.array([step / 2 for _, step in steps])[kept]
    return table[:, kept], float(np.sqrt(np.mean(halves**2))) if kept.any() else 0.0


def _equal_pairs_and_step(column: np.ndarray) -> tuple[float, float]:
    distinct, counts = np.unique(column, return_counts=True)
    n = len(column)
    step = np.diff(distinct).min() if len(distinct) > 1 else 0.0
    return float((counts * (counts - 1)).sum() / (n * (n - 1))), float(step)


def _copy_distance(distances: np.ndarray) -> float:
    """The distance below which fewer than CHANCE of these pairs are expected."""
    apart = distances[distances > 0]
    near, further = np.quantile(apart, (NEAR, FURTHER)) if len(apart) else (0.0, 0.0)
    if further <= near:
        return 0.0
    dimension = np.log(FURTHER / NEAR) / np.log(further / near)
    part = (CHANCE / (NEAR * len(distances))) ** (1 / dimension)
    return float(near * min(part, FURTHEST_COPY))


def _too_many(rows: int) -> Problem:
    return Problem(
        "copied_rows",
        tr("copies were not looked for among so many rows"),
        expected=tr("up to {limit}", limit=MOST_ROWS),
        received=str(rows),
        severity="warning",
    )


def _copies(ids: Sequence[str], first: np.ndarray, second: np.ndarray, exact: bool) -> tuple[Problem, ...]:
    """The pairs as sets of rows: copies are errors, near-copies warnings."""
    if not len(first):
        return ()
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(ids), len(ids)))
    _, member_of = connected_components(links, directed=False)
    sets = [np.flatnonzero(member_of == k) for k in np.flatnonzero(np.bincount(member_of) > 1)]
    shown = [" = ".join(ids[k] for k in rows[:LISTED]) for rows in sets[:LISTED]]
    if len(sets) > LISTED:
        shown.append(tr("and {n} more", n=len(sets) - LISTED))
    return (
        Problem(
            "copied_rows",
            tr(
                "rows of different patients are copies of each other"
                if exact
                else "rows of different patients are nearly copies of each other"
            ),
            received=tr("{n} rows: {rows}", n=sum(map(len, sets)), rows=tr("; ").join(shown)),
            remedy=tr("remove the copies, or name the rows of one patient in the column `group`"),
            severity="error" if exact else "warning",
        ),
    )
