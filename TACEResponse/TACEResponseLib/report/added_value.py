"""What the model adds to tumour size and to clinical values that are known before treatment."""

import numpy as np
from scipy.special import logit

from TACEResponseLib.clinical.items import MEASURED, read_values
from TACEResponseLib.clinical.values import Measured, parse_clinical, quantity_of
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import TACEResponseError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.statistics.added_value import RESAMPLES, AddedValue, added_value
from TACEResponseLib.statistics.calibration import EDGE

from .study import Scored, Study, has_auc
from .table import Table

#: Share of the patients in whom a value has to be known, and patients of the smaller class a value needs.
KNOWN, PATIENTS_A_VALUE = 0.9, 10
#: Values after size in the order in which they are taken; those of liver function and of the tumour first.
ORDER = ("lesions", "afp_ng_ml", "albumin_g_l", "bilirubin_umol_l", "age", "inr", "crp_mg_dl")
#: Values that differ by orders of magnitude.
LOGARITHMIC = ("size", "afp_ng_ml", "bilirubin_umol_l", "crp_mg_dl")
#: Values as a reader meets them; those that are not here are called like their columns.
BESIDE = {"size": mark("size"), "lesions": mark("lesions"), "age": mark("age")}
CAPTION = mark("What the headline model adds to tumour size and clinical values")
NOTE = mark(
    "A logistic model of the values, and one with the model's log-odds beside them. Coefficient: of the "
    "log-odds, 0 when the model adds nothing. p: likelihood ratio test, one-sided, not adjusted. Net "
    "benefit: gain at the share of responders as threshold, of logistic models that left the patient out, "
    "in true positives a patient; interval from {resamples} resamples of the patients. Limits: out of "
    "fold the log-odds come from several models, each trained with most of the other patients; test and "
    "intervals take them as given and are approximate. Few patients allow few values: one for every ten "
    "patients of the smaller class, in a fixed order. Patients without one of the values are left out."
)


def added_value_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    rows = [row for group in study.with_auc for row in _rows(study, group)]
    absent = "" if rows else tr("no tumour size and no clinical value is known")
    return (Table("added_value", tr(CAPTION), rows, tr(NOTE, resamples=RESAMPLES), absent),)


def _rows(study: Study, group: Scored) -> list[dict]:
    """Gain over size alone, and over size and the clinical values that there are."""
    values = known_values(group)
    most = max(1, min(group.labels.sum(), (group.labels == 0).sum()) // PATIENTS_A_VALUE)
    names = list(values)[:most]
    chosen = [["size"]] if "size" in names else []
    chosen += [names] if len(names) > 1 or not chosen else []
    return [row for of in chosen if of and (row := _row(study, group, values, of)) is not None]


def known_values(group: Scored) -> dict[str, np.ndarray]:
    """Value -> (n,) numbers, NaN where unknown: size first, then those that are known in most patients."""
    table = group.patients.table
    found = {name: _clinical(table, name) for name in ORDER}
    found = {"size": -next(iter(group.rivals.values()))} | found if group.rivals else found
    usable = {}
    for name, column in found.items():
        known = np.isfinite(column)
        if known.mean() >= KNOWN and np.ptp(column[known]) > 0:
            usable[name] = np.log(np.maximum(column, 1e-3)) if name in LOGARITHMIC else column
    return usable


def _clinical(table: PatientTable, name: str) -> np.ndarray:
    if name == "lesions":
        return np.array(
            [np.nan if burden is None else burden.number for burden in table.burdens], dtype=float
        )
    if name in MEASURED:
        return np.array([_number(getattr(read_values(row)[0], name)) for row in table.clinical], dtype=float)
    return ages(table)


def ages(table: PatientTable) -> np.ndarray:
    """(n,) ages in years, NaN where none is known or it cannot be read."""
    return np.array([_age(row) for row in table.clinical], dtype=float)


def _age(row) -> float:
    for column, text in row.items():
        if (quantity_of(column) or ("",))[0] == "age":
            try:
                return _number(parse_clinical(text, column))
            except TACEResponseError:
                return np.nan
    return np.nan


def _number(value: Measured | None) -> float:
    """A value, a bound taken as the value itself; NaN where there is none."""
    return np.nan if value is None else value.value


def _row(study: Study, group: Scored, values: dict[str, np.ndarray], names: list[str]) -> dict | None:
    measures = np.column_stack([values[name] for name in names])
    there = np.isfinite(measures).all(axis=1)
    if not has_auc(group.labels[there]):
        return None
    name = study.model.headline
    probabilities = np.clip(group.probabilities[name], EDGE, 1 - EDGE)
    labels = group.labels[there]
    found = added_value(labels, measures[there], logit(probabilities)[there], float(labels.mean()))
    return None if found is None else _cells(group, name, names, found)


def _cells(group: Scored, model: str, names: list[str], found: AddedValue) -> dict:
    return {
        "model": model,
        "estimate": group.estimate,
        "beside": listed(tr(BESIDE.get(name, name)) for name in names),
        "n": found.patients,
        "responders": found.responders,
        "coefficient": found.coefficient,
        "coefficient_ci_low": found.coefficient - 1.959964 * found.error,
        "coefficient_ci_high": found.coefficient + 1.959964 * found.error,
        "chi2": found.chi2,
        "p": found.p,
        "threshold": found.threshold,
        "net_benefit_gain": found.net_benefit,
        "net_benefit_gain_ci_low": found.ci_low,
        "net_benefit_gain_ci_high": found.ci_high,
    }
