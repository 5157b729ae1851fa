"""How well the models did, as tables: AUC, optimism, operating points, comparisons, calibration.

Every row names its estimate; out-of-fold, external and resubstitution figures never share one.
"""

import numpy as np

from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.associations import correlations
from TACEResponseLib.statistics.calibration import calibration
from TACEResponseLib.statistics.discrimination import (
    AucDifference,
    Proportion,
    at_threshold,
    auc_delong,
    compare_all,
    paired_delong,
)

from .study import Scored, Study, has_auc
from .table import Table, p_text

#: Patients that a bin of the calibration needs, and the most bins.
PATIENTS_PER_BIN, MOST_BINS = 15, 10
SIGNIFICANT = 0.05
#: What the diameter itself is called beside the models; `size` is the model fitted to it.
SIZE = "tumour size as measured"
ONE_CLASS = "no group of patients holds responders and non-responders, at least two of each"


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
    """AUC with DeLong's interval of every model and estimate."""
    rows = [row for row in _auc_rows(study) if row["center"] == "all"]
    note = (
        f"Intervals after DeLong. {SIZE.capitalize()}: the largest diameter itself, without a fit; a larger "
        "tumour counts as less response."
    )
    return Table("table_2_auc", "Table 2. Area under the ROC curve", rows, note, "" if rows else ONE_CLASS)


def center_table(study: Study) -> Table:
    """The same, centre by centre."""
    rows = [row for row in _auc_rows(study) if row["center"] != "all"]
    note = "A centre with fewer than two patients of a class is left out."
    absent = "" if rows else "one centre, or no column center"
    return Table("auc_by_center", "Area under the ROC curve, centre by centre", rows, note, absent)


def repeat_table(study: Study) -> Table:
    """How much the chance of the split matters: the AUC of every drawing of the folds."""
    caption = "Area under the ROC curve, out of fold, over the repeats"
    if study.record is None:
        return Table("auc_by_repeat", caption, [], absent="the training is not part of a validation")
    held_out, labels = study.record.out_of_fold, study.training.outcome.labels
    rankings = [held_out.ranking_of(repeat) for repeat in range(len(held_out.folds))]
    if len(rankings) == 1:
        return Table("auc_by_repeat", caption, [], absent="the folds were drawn once")
    rows = []
    for name in study.models:
        aucs = np.array([auc_delong(labels, ranking[name]).auc for ranking in rankings])
        rows.append(
            {
                "model": name,
                "repeats": len(aucs),
                "first": aucs[0],
                "mean": aucs.mean(),
                "sd": aucs.std(ddof=1),
                "lowest": aucs.min(),
                "highest": aucs.max(),
            }
        )
    note = "Every other figure, calibration and threshold is of the first repeat."
    return Table("auc_by_repeat", caption, rows, note)


def _auc_rows(study: Study) -> list[dict]:
    return [
        _auc_row(name, scores, group, center, chosen)
        for group in study.with_auc
        for center, chosen in group.by_center().items()
        if has_auc(group.labels[chosen])
        for name, scores in _with_measured_size(study, group).items()
    ]


def _with_measured_size(study: Study, group: Scored) -> dict[str, np.ndarray]:
    size = measured_size(study, group)
    return ({} if size is None else {SIZE: size}) | {name: group.ranking[name] for name in study.models}


def _auc_row(name: str, scores: np.ndarray, group: Scored, center: str, chosen: np.ndarray) -> dict:
    auc = auc_delong(group.labels[chosen], scores[chosen])
    return {
        "model": name,
        "estimate": group.estimate,
        "center": center or "all",
        "n": auc.n,
        "responders": auc.responders,
        "auc": auc.auc,
        "auc_ci_low": auc.ci_low,
        "auc_ci_high": auc.ci_high,
        "mann_whitney_p": auc.mann_whitney_p,
    }


def optimism_table(study: Study) -> Table:
    """Resubstitution, the only time that it is shown, beside the out-of-fold figure."""
    rows = []
    if study.record is not None:
        labels, held_out = study.training.outcome.labels, study.record.out_of_fold.ranking
        for name, fitted in study.record.resubstitution.items():
            aucs = {
                "resubstitution": auc_delong(labels, fitted),
                "out_of_fold": auc_delong(labels, held_out[name]),
            }
            row = {"model": name}
            for estimate, auc in aucs.items():
                row |= {f"auc_{estimate}": auc.auc}
                row |= {f"auc_{estimate}_ci_low": auc.ci_low, f"auc_{estimate}_ci_high": auc.ci_high}
            rows.append({**row, "optimism": aucs["resubstitution"].auc - aucs["out_of_fold"].auc})
    return Table(
        "optimism",
        "Optimism: the model on its own training patients, beside what it says of patients it has not seen",
        rows,
        "The left figure is what a model scores on the patients it was fitted to. It is not an estimate "
        "of how it will do; the difference is the optimism.",
        "" if rows else "the training patients are not part of a validation",
    )


def operating_table(study: Study) -> Table:
    """Sensitivity, specificity, predictive values and accuracy at the threshold fixed in training."""
    rows = []
    for group in study.scored:
        for name in study.models:
            point = at_threshold(group.labels, group.probabilities[name], study.model.thresholds[name])
            row = {"model": name, "estimate": group.estimate, "threshold": point.threshold}
            for measure in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
                row |= _proportion(measure, getattr(point, measure))
            for count in ("true_positive", "false_positive", "true_negative", "false_negative"):
                row[count] = getattr(point, count)
            rows.append(row)
    return Table(
        "table_s3_operating_points",
        "Table S3. Operating points at the training threshold",
        rows,
        "Threshold: the largest Youden index of the out-of-fold probabilities, carried over unchanged. The "
        "out-of-fold rows therefore flatter it slightly. Intervals after Wilson.",
    )


def _proportion(name: str, share: Proportion) -> dict:
    return {name: share.estimate, f"{name}_ci_low": share.ci_low, f"{name}_ci_high": share.ci_high}


def comparison_table(study: Study) -> Table:
    """Every pair of models by DeLong's paired test, p-values adjusted within an estimate."""
    rows = []
    for group in study.with_auc:
        planned = against_size(study, group)
        rows += [] if planned is None else [_pair_row(group, planned, None)]
        scores = {name: group.ranking[name] for name in study.models}
        rows += [_pair_row(group, pair, pair.p_adjusted) for pair in compare_all(group.labels, scores)]
    return Table(
        "paired_delong",
        "Differences in AUC between models on the same patients, DeLong's paired test",
        rows,
        "The first row of an estimate is the one comparison planned beforehand. p (Holm): adjusted for all "
        "pairs of models of the same estimate. z is empty where a difference has no scatter to judge it by.",
        "" if rows else "fewer than two models, or " + ONE_CLASS,
    )


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
                    "status": found.status,
                }
            )
    return Table(
        "calibration",
        "Calibration: whether a probability of 70 % means 70 of 100 patients",
        rows,
        "Right is slope 1 and intercept 0. Scaled Brier: 1 perfect, 0 no better than the share of "
        "responders. ECE: expected calibration error.",
        "" if rows else ONE_CLASS,
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
        "Table S4. Correlations between the models' probabilities",
        rows,
        "Empty where a model gives every patient the same probability.",
        "" if rows else "fewer than three patients, or one model",
    )


def measured_size(study: Study, group: Scored) -> np.ndarray | None:
    """The largest diameter itself as a score (n,), the larger the less response; None without.

    The fair rival: it needs no fit, its direction neither. The size model's out-of-fold scores come from
    as many fits as there are folds and rank patients of different folds less well than the diameter does.
    """
    diameters_mm = group.patients.table.diameters_mm
    return None if diameters_mm is None else -diameters_mm


def against_size(study: Study, group: Scored) -> AucDifference | None:
    """The headline model against tumour size as measured, the one comparison planned beforehand."""
    size, name = measured_size(study, group), study.model.headline
    if size is None or name == "size":
        return None
    return paired_delong(group.labels, group.ranking[name], size, (name, SIZE))


def headline(study: Study) -> str:
    """One sentence: how good the headline model is, and whether it beats tumour size alone."""
    if not study.with_auc:
        return f"No AUC can be given: {ONE_CLASS}."
    parts = [f"{_figure(study, group)}{_verdict(study, group)}" for group in study.with_auc]
    name = "all models together" if study.model.headline == "all" else title(study.model.headline)
    sentence = f"{name[0].upper()}{name[1:]}: {'; '.join(parts)}"
    if study.record is not None and study.no_external:
        sentence += f"; external: none, {study.no_external}"
    return sentence + "."


def _figure(study: Study, group: Scored) -> str:
    auc = auc_delong(group.labels, group.ranking[study.model.headline])
    return (
        f"{group.title} AUC {auc.auc:.2f} (95 % CI {auc.ci_low:.2f} to {auc.ci_high:.2f}, "
        f"{auc.n} patients, {auc.responders} responders)"
    )


def _verdict(study: Study, group: Scored) -> str:
    pair = against_size(study, group)
    if pair is None:
        return "" if study.model.headline == "size" else ", with no tumour size to compare with"
    size = auc_delong(group.labels, measured_size(study, group)).auc
    if pair.p >= SIGNIFICANT:
        words = "not shown to beat"
    else:
        words = "better than" if pair.difference > 0 else "worse than"
    p, difference = p_text(pair.p), f"{pair.difference:+.2f}".replace("-", "\N{MINUS SIGN}")
    return (
        f", {words} tumour size alone (AUC {size:.2f}, difference {difference}, "
        f"paired DeLong p {p if p.startswith('<') else '= ' + p})"
    )
