"""The centres held out in turn: a table, and a forest of their AUCs with the mean of all."""

import numpy as np

from TACEResponseLib.messages.language import mark, several, tr
from TACEResponseLib.statistics.intervals import auc_newcombe, observed_expected
from TACEResponseLib.statistics.meta_analysis import Pooled, pool_auc
from TACEResponseLib.training.centers import HeldOutCenter

from .drawing import COLOURS, GREY, MARKERS, Drawing, canvas
from .rivals import rivals
from .study import Study
from .table import Table

CAPTION = mark("Each centre held out in turn: the training on all other centres, tried on this one")
NOTE = mark(
    "Headline model. The whole training, selection and fusion included, saw no patient of the centre. Mean: "
    "random effects on the logit scale, restricted likelihood, interval after Hartung and Knapp; prediction: "
    "where the AUC of another centre is expected, with three centres or more. Observed over expected: 1 when "
    "the probabilities are right on average."
)
NOT_ASKED = mark("not asked for (train --by-center)")
POOLED = mark("mean of the centres")


def center_tables(study: Study) -> tuple[Table, ...]:
    """The tables of this room, in the order of the page."""
    rows = [_row(held_out) for held_out in study.by_center]
    pooled = pooled_auc(study)
    if pooled is not None:
        rows.append(_pooled_row(study, pooled))
    return (Table("centers_held_out", tr(CAPTION), rows, tr(NOTE), "" if rows else tr(NOT_ASKED)),)


def pooled_auc(study: Study) -> Pooled | None:
    """The mean AUC of two centres or more; None otherwise."""
    if len(study.by_center) < 2:
        return None
    aucs = [_auc(held_out) for held_out in study.by_center]
    return pool_auc([a.auc for a in aucs], [a.responders for a in aucs], [a.others for a in aucs])


def _auc(held_out: HeldOutCenter):
    return auc_newcombe(held_out.patients.outcome.labels, held_out.ranking[held_out.headline])


def _row(held_out: HeldOutCenter) -> dict:
    labels, name = held_out.patients.outcome.labels, held_out.headline
    auc, ratio = _auc(held_out), observed_expected(labels, held_out.probabilities[name])
    size = next(iter(rivals(held_out.patients.table).values()), None)
    return {
        "center": held_out.center,
        "trained_on": held_out.trained_on,
        "n": len(labels),
        "responders": int(labels.sum()),
        "auc": auc.auc,
        "auc_ci_low": auc.ci_low,
        "auc_ci_high": auc.ci_high,
        "prediction": "",
        "observed_expected": ratio.ratio,
        "observed_expected_ci_low": ratio.ci_low,
        "observed_expected_ci_high": ratio.ci_high,
        "auc_of_tumour_size": None if size is None else auc_newcombe(labels, size).auc,
    }


def _pooled_row(study: Study, pooled: Pooled) -> dict:
    empty = dict.fromkeys(_row(study.by_center[0]))
    predicted = pooled.prediction_low is not None
    return empty | {
        "center": tr(POOLED),
        "n": sum(len(held_out.patients) for held_out in study.by_center),
        "responders": sum(held_out.patients.outcome.responders for held_out in study.by_center),
        "auc": pooled.estimate,
        "auc_ci_low": pooled.ci_low,
        "auc_ci_high": pooled.ci_high,
        "prediction": tr("{low:.3f} to {high:.3f}", low=pooled.prediction_low, high=pooled.prediction_high)
        if predicted
        else "",
    }


def _label(row: dict) -> str:
    center, patients = row["center"], row["n"]
    return several(patients, "{center} (1 patient)", "{center} ({n} patients)", center=center)


def draw_centers(study: Study) -> Drawing:
    """Forest: AUC with interval of each centre held out, and their mean."""
    name, caption = "figure_centers", tr("Centres held out: AUC with 95 % CI of each, and their mean")
    if not study.by_center:
        return Drawing(name, caption, None, tr(NOT_ASKED))
    (table,) = center_tables(study)
    rows = np.arange(len(table.rows))[::-1]
    figure, (axes,) = canvas(1.2 + 0.36 * len(rows), width_in=7)
    for place, row in zip(rows, table.rows, strict=True):
        mean = row["center"] == tr(POOLED)
        low, high = row["auc_ci_low"], row["auc_ci_high"]
        margin = None if low is None else [[row["auc"] - low], [high - row["auc"]]]
        axes.errorbar(
            row["auc"],
            place,
            xerr=margin,
            fmt=MARKERS[4 if mean else 1],
            color=COLOURS[1 if mean else 0],
            capsize=2,
            ms=8 if mean else 5,
        )
    axes.axvline(0.5, color=GREY, lw=0.8, ls=":")
    axes.set_yticks(rows, [_label(row) for row in table.rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(tr("AUC (0.5 is chance)"))
    axes.set_ylabel(tr("centre held out"))
    return Drawing(name, caption, figure)
