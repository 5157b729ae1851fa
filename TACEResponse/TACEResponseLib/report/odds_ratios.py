"""Each clinical variable's own association with response: odds ratios per a unit that patients differ by."""

from collections.abc import Sequence

import numpy as np

from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.statistics.associations import Association, univariable

from .columns import IMPRECISE, STATUSES
from .patients import NO_CLINICAL_COLUMN, clinical_columns, level_in_words
from .study import Study
from .table import Table

#: Units that readers know; others follow from the spread of the values.
UNITS = {"Age (years)": 10.0, "INR": 0.1, "Albumin (g/L)": 5.0, "Largest diameter (mm)": 10.0}  # not a text
#: An interval whose ends differ by more than this factor tells nothing.
MOST_IMPRECISE = 100
NOTE = mark(
    "Odds ratio for so much more as the column 'per' says, or for the level named; categories of three "
    "levels and more are in Table 1 only. Imprecise: the ends of the interval differ by more than a factor "
    "of {most}, the patients are too few. Separated: the classes are perfectly separated, no "
    "odds ratio exists."
)


def odds_ratio_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    return (association_table(study),)


def association_table(study: Study) -> Table:
    """One logistic model a variable, a row each."""
    group = study.training or study.external
    columns, units = {}, {}
    for name, column in clinical_columns(group).items():
        for variable, values, unit in () if name == "Response" else _as_numbers(name, column):
            columns[variable], units[variable] = values / (unit or 1), unit
    found = univariable(group.outcome.labels, columns)
    rows = [_row(of, units[of.variable]) for of in found]
    absent = "" if rows else tr(NO_CLINICAL_COLUMN)
    caption = tr(
        "Univariable association with response, {cohort} patients",
        cohort=study.first,
    )
    return Table("univariable", caption, rows, tr(NOTE, most=MOST_IMPRECISE), absent)


def _row(found: Association, unit: float | None) -> dict:
    return {
        "variable": found.variable,
        "per": "" if unit is None else f"{unit:g}",
        "odds_ratio": found.odds_ratio,
        "odds_ratio_ci_low": found.ci_low,
        "odds_ratio_ci_high": found.ci_high,
        "p": found.p,
        "n": found.n,
        "missing": found.missing,
        "status": tr(IMPRECISE) if _is_imprecise(found) else tr(STATUSES[found.status]),
    }


def _is_imprecise(found: Association) -> bool:
    if found.odds_ratio is None:
        return False
    return not 0 < found.ci_high <= MOST_IMPRECISE * found.ci_low


def _as_numbers(name: str, column: Sequence) -> list[tuple[str, np.ndarray, float | None]]:
    """Variable, (n,) numbers and unit of a column of numbers, or of two levels without unit; [] else."""
    present = [value for value in column if value is not None]
    if present and all(isinstance(value, float) for value in present):
        values = np.array([np.nan if value is None else value for value in column])
        return [(tr(name), values, UNITS.get(name) or sensible_unit(values))]
    levels = sorted(set(present))
    if len(levels) != 2:
        return []
    coded = [np.nan if value is None else float(value == levels[1]) for value in column]
    level = level_in_words(name, levels[1])
    return [(tr("{variable}: {level}", variable=tr(name), level=level), np.array(coded), None)]


def sensible_unit(values: np.ndarray) -> float:
    """The largest of 1, 2 and 5 times a power of ten within the standard deviation; 1 for 0 and 1 alone.

    values: (n,), NaN where unknown. Patients differ by about so much; by one unit of INR none do.
    """
    known = values[np.isfinite(values)]
    spread = float(known.std())
    if spread <= 1e-12 * max(1.0, float(np.abs(known).max())) or set(known.tolist()) <= {0.0, 1.0}:
        return 1.0
    power = 10.0 ** np.floor(np.log10(spread))
    return float(f"{max(step for step in (1, 2, 5) if step * power <= spread * (1 + 1e-9)) * power:g}")
