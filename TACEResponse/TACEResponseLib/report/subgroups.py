"""For whom the headline model works: by sex, age, centre, size and phase, where the table has them."""

from collections.abc import Sequence

import numpy as np

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.statistics.intervals import FEWEST_FOR_AUC, AucInterval
from TACEResponseLib.statistics.subgroups import MISSING, Subgroup, subgroup_performance

from .added_value import ages
from .performance import PART_OF_PATIENTS
from .study import Scored, Study
from .table import Table

#: The paper's cuts: below 60 years, and above 5 cm.
AGE_YEARS, SIZE_MM = 60, 50
SEX_COLUMNS = ("sex", "gender")
#: How sex is written, and in words.
SEXES = {"m": "male", "male": "male", "f": "female", "w": "female", "female": "female"}
AGES = (mark("below 60 years"), mark("60 years or more"))
SIZES = (mark("up to 5 cm"), mark("above 5 cm"))
#: Variables and their groups as a reader meets them; centres and phases of a table are its own words.
NAMES = {
    "sex": (mark("sex"), (mark("male"), mark("female"), mark("missing"))),
    "age": (mark("age"), (*AGES, mark("missing"))),
    "size": (mark("size"), (*SIZES, mark("missing"))),
    "centre": (mark("centre"), (mark("missing"),)),
    "phase": (mark("phase"), (mark("missing"),)),
}
CAPTION = mark("For whom the headline model works")
NOTE = mark(
    "Right is in the large 0 and observed over expected 1. Out of fold: every patient by models that had not "
    "seen the patient, intervals of the AUC count the variance of training. Groups are small, and of several "
    "one is the best by chance: the figures describe, they do not test. A group with fewer than "
    "{fewest} responders or others is named without any figure. A centre out of fold was also "
    "among the patients trained on; another hospital is the table of centres held out. {part}"
)


def subgroup_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    rows = [row for group in study.with_auc for row in _rows(study, group)]
    absent = "" if rows else tr("the table parts the patients by nothing")
    note = tr(NOTE, fewest=FEWEST_FOR_AUC, part=tr(PART_OF_PATIENTS))
    return (Table("subgroups", tr(CAPTION), rows, note, absent),)


def variables(table: PatientTable) -> dict[str, tuple[list[str], tuple[str, ...]]]:
    """Variable -> the group of each of n patients ("" where unknown), and the order of the groups."""
    found = {
        "sex": ([_sex(row) for row in table.clinical], ("male", "female")),
        "age": _cut(ages(table), AGE_YEARS, AGES, below=True),
        "centre": (list(table.centers), ()),
        "phase": (list(table.phases), ()),
    }
    if table.diameters_mm is not None:
        found["size"] = _cut(table.diameters_mm, SIZE_MM, SIZES, below=False)
    return {name: of for name, of in found.items() if len(set(of[0]) - {""}) > 1}


def _sex(row) -> str:
    for column, text in row.items():
        if column.strip().casefold() in SEX_COLUMNS:
            return SEXES.get(text.strip().casefold(), text.strip())
    return ""


def _cut(values: np.ndarray, edge: float, names: tuple[str, str], below: bool):
    """The lower group of values up to the edge, without the edge itself where `below`."""
    low = values < edge if below else values <= edge
    texts = np.where(np.isfinite(values), np.where(low, *names), "")
    return texts.tolist(), names


def _rows(study: Study, group: Scored) -> list[dict]:
    name = study.model.headline
    return [
        _row(group, found, _auc(group, name, of, found))
        for variable, (of, order) in variables(group.patients.table).items()
        for found in subgroup_performance(
            variable, of, group.labels, group.ranking[name], group.probabilities[name], order=order
        )
    ]


def _auc(group: Scored, name: str, of: Sequence[str], found: Subgroup) -> AucInterval | None:
    """The AUC as the estimate asks for: out of fold the scores of several models are compared."""
    if found.suppressed:
        return None
    wanted = "" if found.group == MISSING else found.group
    return group.auc(name, np.array([text == wanted for text in of]))


def _row(group: Scored, found: Subgroup, auc: AucInterval | None) -> dict:
    ratio = found.observed_expected
    large = found.in_the_large_ci or (None, None)
    variable, groups = NAMES[found.variable]
    return {
        "estimate": group.estimate,
        "variable": tr(variable),
        "group": tr(found.group) if found.group in groups else found.group,
        # Counts of a few patients could tell who they are.
        "n": None if found.suppressed else found.patients,
        "responders": None if found.suppressed else found.responders,
        "auc": None if auc is None else auc.auc,
        "auc_ci_low": None if auc is None else auc.ci_low,
        "auc_ci_high": None if auc is None else auc.ci_high,
        "in_the_large": found.in_the_large,
        "in_the_large_ci_low": large[0],
        "in_the_large_ci_high": large[1],
        "observed_expected": None if ratio is None else ratio.ratio,
        "observed_expected_ci_low": None if ratio is None else ratio.ci_low,
        "observed_expected_ci_high": None if ratio is None else ratio.ci_high,
        "remark": tr("fewer than {fewest} of a class", fewest=FEWEST_FOR_AUC) if found.suppressed else "",
    }
