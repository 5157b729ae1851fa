"""How well the models did, as tables: AUC, optimism, operating points, comparisons, calibration.

Every row names its estimate; out-of-fold, external and resubstitution figures never share one.
"""

from itertools import combinations

import numpy as np

from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.statistics.associations import correlations
from TACEResponseLib.statistics.calibration import calibration
from TACEResponseLib.statistics.crossvalidation import auc_interval
from TACEResponseLib.statistics.discrimination import AucDifference, Proportion, holm
from TACEResponseLib.statistics.intervals import AucInterval, auc_newcombe
from TACEResponseLib.statistics.small_classes import FEWEST_FOR_TEST

from .columns import STATUSES
from .headline import ONE_CLASS, TOO_FEW_TO_TEST, against_size, planned_rival
from .study import Scored, Study, has_auc
from .table import Table

#: Patients that a bin of the calibration needs, and the most bins.
PATIENTS_PER_BIN, MOST_BINS = 15, 10
TOO_FEW = mark("fewer than three patients, or one model")
#: Of every table whose AUC out of fold is `Scored.auc` of a part of the patients.
PART_OF_PATIENTS = mark(
    "Out of fold the AUC is not that of Table 2: it is of the first repeat and of these patients alone, who "
    "are compared across the folds by scores standardised within the fold; in Table 2 all patients are "
    "compared within a fold, mean over the repeats."
)
NO_TRAINING = mark("the training is not part of a validation")


def performance_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    parts = (
        auc_table,
        center_table,
        repeat_table,
        optimism_table,
        operating_table,
        comparison_table,
        calibration_table,
    )
    return tuple(part(study) for part in (*parts, correlation_table))


def auc_table(study: Study) -> Table:
    """One row a model or measure of size: out of fold, external, and how much resubstitution flatters."""
    rows = [
        {"model": name, **_by_estimate(study, name)}
        for name in (*study.models, *(study.scored[0].rivals if study.scored else ()))
        if study.with_auc
    ]
    note = tr(
        "Out of fold: of models trained without one fold of the patients; patients are compared within a "
        "fold, mean over the repeats, and the interval counts the variance of training. External: interval "
        "after Newcombe. Optimism: by how much the AUC of the shipped model on its own training patients "
        "lies above the out-of-fold one. Measures of size are not fitted; a larger tumour counts as less "
        "response. Their AUC here compares all patients with each other; the differences between models and "
        "the first sentence of the report compare them within a fold, as the models."
    )
    absent = "" if rows else tr(ONE_CLASS)
    return Table("table_2_auc", tr("Table 2. Area under the ROC curve"), rows, note, absent)


def _by_estimate(study: Study, name: str) -> dict:
    groups = {"out_of_fold" if g.estimate == "out_of_fold" else "external": g for g in study.with_auc}
    cells = {}
    for estimate in ("out_of_fold", "external"):
        group = groups.get(estimate)
        cells |= _auc_cells(f"auc_{estimate}", None if group is None else group.auc(name))
    own = study.record.resubstitution.get(name) if study.record is not None else None
    cells["optimism"] = None
    if own is not None and cells["auc_out_of_fold"] is not None:
        flattered = auc_newcombe(study.training.outcome.labels, own).auc
        cells["optimism"] = flattered - cells["auc_out_of_fold"]
    return cells


def _auc_cells(column: str, auc: AucInterval | None) -> dict:
    values = (None, None, None) if auc is None else (auc.auc, auc.ci_low, auc.ci_high)
    return dict(zip((column, f"{column}_ci_low", f"{column}_ci_high"), values, strict=True))


def center_table(study: Study) -> Table:
    """AUC centre by centre."""
    rows = [
        {
            "model": name,
            "estimate": group.estimate,
            "center": center,
            "n": int(chosen.sum()),
            "responders": int(group.labels[chosen].sum()),
            **_auc_cells("auc", group.auc(name, chosen)),
        }
        for group in study.with_auc
        for center, chosen in group.by_center().items()
        if center and has_auc(group.labels[chosen])
        for name in (*study.models, *group.rivals)
    ]
    note = f"{tr('A centre with fewer than five patients of a class has no AUC.')} {tr(PART_OF_PATIENTS)}"
    absent = "" if rows else tr("one centre, or no column center")
    return Table("auc_by_center", tr("Area under the ROC curve, centre by centre"), rows, note, absent)


def repeat_table(study: Study) -> Table:
    """How much the chance of the split matters: the AUC of every drawing of the folds."""
    caption = tr("Area under the ROC curve, out of fold, over the repeats")
    if study.record is None:
        return Table("auc_by_repeat", caption, [], absent=tr(NO_TRAINING))
    parts = study.record.out_of_fold.aucs
    rows = [_repeats_row(name, parts[name].aucs.mean(axis=1)) for name in study.models]
    if rows and rows[0]["repeats"] == 1:
        return Table("auc_by_repeat", caption, [], absent=tr("the folds were drawn once"))
    note = tr(
        "AUC and its interval are means over the repeats; probabilities and thresholds are of the first."
    )
    return Table("auc_by_repeat", caption, rows, note)


def _repeats_row(name: str, aucs: np.ndarray) -> dict:
    return {
        "model": name,
        "repeats": len(aucs),
        "mean": aucs.mean(),
        "sd": aucs.std(ddof=1) if len(aucs) > 1 else None,
        "lowest": aucs.min(),
        "highest": aucs.max(),
    }


def optimism_table(study: Study) -> Table:
    """Resubstitution, the only time that it is shown, beside the out-of-fold figure."""
    rows = []
    for name, fitted in (study.record.resubstitution if study.record else {}).items():
        own = auc_newcombe(study.training.outcome.labels, fitted)
        held_out = auc_interval(study.record.out_of_fold.aucs[name])
        rows.append(
            {
                "model": name,
                "auc_out_of_fold": held_out.auc,
                "auc_out_of_fold_ci_low": held_out.ci_low,
                "auc_out_of_fold_ci_high": held_out.ci_high,
                "auc_resubstitution": own.auc,
                "optimism": own.auc - held_out.auc,
            }
        )
    return Table(
        "optimism",
        tr(
            "Optimism: the model on its own training patients, beside what it says of patients it has not "
            "seen"
        ),
        rows,
        tr(
            "Resubstitution is what a model scores on the patients it was fitted to. It is not an estimate "
            "of how it will do; the difference is the optimism."
        ),
        "" if rows else tr("the training patients are not part of a validation"),
    )


def operating_table(study: Study) -> Table:
    """Sensitivity, specificity, predictive values and accuracy at the threshold fixed in training."""
    rows = []
    for group in study.scored:
        for name in study.models:
            point = group.operating(name, study.model.thresholds[name])
            row = {"model": name, "estimate": group.estimate, "threshold": point.threshold}
            for measure in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
                row |= _proportion(measure, getattr(point, measure))
            for count in ("true_positive", "false_positive", "true_negative", "false_negative"):
                row[count] = getattr(point, count)
            rows.append(row)
    return Table(
        "table_s3_operating_points",
        tr("Table S3. Operating points at the training threshold"),
        rows,
        tr(
            "Threshold: the largest Youden index of the out-of-fold probabilities, carried over unchanged to "
            "external patients. Out of fold every fold has its own, chosen on the other folds: the shipped "
            "one is the best on these very patients. Intervals after Wilson."
        ),
    )


def _proportion(name: str, share: Proportion) -> dict:
    return {name: share.estimate, f"{name}_ci_low": share.ci_low, f"{name}_ci_high": share.ci_high}


def comparison_table(study: Study) -> Table:
    """Every pair of models, p-values adjusted within an estimate; the planned comparison first."""
    rows = []
    for group in study.with_auc:
        planned = against_size(study, group)
        rows += [] if planned is None else [_pair_row(group, planned, None)]
        pairs = [pair for names in combinations(study.models, 2) if (pair := group.difference(*names))]
        adjusted = holm(np.array([pair.p for pair in pairs])) if pairs else []
        rows += [_pair_row(group, pair, float(p)) for pair, p in zip(pairs, adjusted, strict=True)]
    return Table(
        "paired_differences",
        tr("Differences in AUC between models on the same patients"),
        rows,
        tr(
            "Out of fold the test counts the variance of training (the covariance of folds); elsewhere it is "
            "DeLong's, with fewer than 20 of a class an exchange of ranks, below 10 none. The first row of "
            "an estimate is the one comparison planned beforehand. p (Holm): adjusted for all pairs of "
            "models of the same estimate. z is empty where a difference has no scatter."
        ),
        "" if rows else _no_comparison(study),
    )


def _no_comparison(study: Study) -> str:
    """Why no two models are compared."""
    if not study.with_auc:
        return tr(ONE_CLASS)
    if len(study.models) < 2 and not any(planned_rival(study, group) for group in study.with_auc):
        return tr("one model, and no tumour size to compare with")
    return tr(TOO_FEW_TO_TEST, fewest=FEWEST_FOR_TEST)


def _pair_row(group: Scored, pair: AucDifference, p_adjusted: float | None) -> dict:
    return {
        "estimate": group.estimate,
        "first": pair.first,
        "second": pair.second,
        "difference": pair.difference,
        "difference_ci_low": pair.ci_low,
        "difference_ci_high": pair.ci_high,
        "z": pair.z if np.isfinite(pair.z) else None,
        "p": pair.p,
        "p_adjusted": p_adjusted,
    }


def calibration_table(study: Study) -> Table:
    """Slope, intercept, Brier score and expected calibration error of every model."""
    rows = []
    for group in study.with_auc:
        for name in study.models:
            found = calibration(group.labels, group.probabilities[name], bins(len(group.labels)))
            low, high = found.slope_ci or (None, None)
            rows.append(
                {
                    "model": name,
                    "estimate": group.estimate,
                    "slope": found.slope,
                    "slope_ci_low": low,
                    "slope_ci_high": high,
                    "intercept": found.intercept,
                    "in_the_large": found.in_the_large,
                    "brier": found.brier,
                    "scaled_brier": found.scaled_brier,
                    "ece": found.ece,
                    "status": tr(STATUSES[found.status]),
                }
            )
    return Table(
        "calibration",
        tr("Calibration: whether a probability of 70 % means 70 of 100 patients"),
        rows,
        tr(
            "Right is slope 1 and intercept 0. Scaled Brier: 1 perfect, 0 no better than the share of "
            "responders. ECE: expected calibration error."
        ),
        "" if rows else tr(ONE_CLASS),
    )


def bins(patients: int) -> int:
    """Groups for a calibration plot of so many patients."""
    return max(2, min(MOST_BINS, patients // PATIENTS_PER_BIN))


def correlation_table(study: Study) -> Table:
    """Pearson and Spearman correlations between the models' probabilities."""
    rows = []
    for group in study.scored:
        if len(group.labels) < 3:
            continue
        for method in ("pearson", "spearman"):
            found = correlations({name: group.probabilities[name] for name in study.models}, method)
            for i, j in zip(*np.triu_indices(len(found.names), 1), strict=True):
                r, p = (None if np.isnan(m[i, j]) else float(m[i, j]) for m in (found.r, found.p))
                pair = {"first": found.names[i], "second": found.names[j]}
                rows.append({"estimate": group.estimate, "method": method, **pair, "r": r, "p": p})
    return Table(
        "table_s4_correlations",
        tr("Table S4. Correlations between the models' probabilities"),
        rows,
        tr("Empty where a model gives every patient the same probability."),
        "" if rows else tr(TOO_FEW),
    )
