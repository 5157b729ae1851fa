"""Whether the patients were enough: to develop the model, and to show elsewhere what it is worth.

The strength of the model is what was anticipated, not what was found: an AUC from the same few
patients would make a good result look like a sufficient number.
"""

from TACEResponseLib.messages.language import mark, several, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.sample_size import (
    ANTICIPATED_C,
    OPTIMISM,
    RISK_MARGIN,
    SHRINKAGE,
    DevelopmentSize,
    development_size,
    patients_for_difference,
    validation_size,
)

from .study import Study
from .table import Table

#: Gains over tumour size that an external cohort may be asked to show.
GAINS = (0.05, 0.08, 0.10)
#: AUC of tumour size, and how far two AUCs of the same patients go together: assumed, not measured.
SIZE_AUC, CORRELATION = 0.65, 0.6
NOTE = mark(
    "Criteria of Riley et al. (Stat Med 2019;38:1276; validation 2021;40:4230) at an anticipated AUC of "
    "{auc:.3f} and the share of responders of these patients. Expected shrinkage: the slope that "
    "the model's log-odds would have on new patients, {shrinkage:g} or more is wanted. Predictors that a "
    "selection looked at and dropped were candidates too, so that the row of the selected ones is the "
    "least. The criteria are for regression; forests and networks need more. Gains over tumour size: "
    "patients with whom a paired test finds them in 80 of 100 cohorts, from an assumed AUC of "
    "{size:.3f} and an assumed correlation of {correlation:g} of the two AUCs."
)
CAPTION = mark("How many patients are needed, and how many there are")
#: What the patients of a row are needed for.
PURPOSES = {
    "overfitting": mark("{model}: overfitting, shrinkage {limit:g}"),
    "optimism": mark("{model}: optimism of R2 below {limit:g}"),
    "risk": mark("{model}: overall risk within {limit:g}"),
}
GAIN = mark("{model}: gain of {gain:.3f} over tumour size")


def sample_size_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    return (sample_size_table(study),)


def sample_size_table(study: Study) -> Table:
    """Patients needed for the model and for an external cohort, beside those that there are."""
    group = study.training if study.record is not None else study.external
    if group is None or not 0 < group.outcome.responders < len(group):
        return Table("sample_size", tr(CAPTION), [], absent=tr("the patients are all of one class"))
    share = group.outcome.responders / len(group)
    rows = _development(study, share) if study.record is not None else []
    note = tr(NOTE, auc=ANTICIPATED_C, shrinkage=SHRINKAGE, size=SIZE_AUC, correlation=CORRELATION)
    return Table("sample_size", tr(CAPTION), [*rows, *_validation(study, share)], note)


def _development(study: Study, share: float) -> list[dict]:
    """A row a criterion for the predictors of the model, and one for all its candidates."""
    patients, table = len(study.training), study.training.table
    selected = len(study.model.models.selected) or len(table.feature_names) or 1
    size = development_size(selected, share, c_statistic=ANTICIPATED_C, patients=patients)
    model = several(selected, "model of 1 predictor", "model of {n} predictors")
    criteria = (
        ("overfitting", SHRINKAGE, size.for_shrinkage),
        ("optimism", OPTIMISM, size.for_optimism),
        ("risk", RISK_MARGIN, size.for_risk),
    )
    rows = [
        _row(tr("training"), tr(PURPOSES[name], model=model, limit=limit), needed, patients)
        for name, limit, needed in criteria
    ]
    rows.append(_summary(model, size))
    candidates = len(table.feature_names)
    if candidates > selected:
        everything = development_size(candidates, share, c_statistic=ANTICIPATED_C, patients=patients)
        rows.append(_summary(tr("all {n} candidate features", n=candidates), everything))
    return rows


def _summary(model: str, size: DevelopmentSize) -> dict:
    purpose = tr("{model}: all three", model=model)
    return _row(tr("training"), purpose, size.needed, size.patients, size.expected_shrinkage)


def _validation(study: Study, share: float) -> list[dict]:
    """What an external cohort of the same share of responders has to hold."""
    patients = 0 if study.external is None or study.fitted else len(study.external)
    size = validation_size(ANTICIPATED_C, share)
    name, external = title(study.model.headline), tr("external")
    rows = [
        _row(external, tr("AUC within 0.050"), size.for_auc, patients),
        _row(external, tr("observed over expected within 10 %"), size.for_observed_expected, patients),
        _row(external, tr("calibration slope within 0.1"), size.for_slope, patients),
    ]
    for gain in GAINS:
        needed = patients_for_difference(SIZE_AUC, SIZE_AUC + gain, share, CORRELATION)
        rows.append(_row(external, tr(GAIN, model=name, gain=gain), needed, patients))
    return rows


def _row(cohort: str, purpose: str, needed: int, there: int, shrinkage: float | None = None) -> dict:
    return {
        "cohort": cohort,
        "purpose": purpose,
        "patients_needed": needed,
        "patients_there": there,
        "expected_shrinkage": shrinkage,
    }
