"""The figures of a report in the order of its page, numbered as they appear there.

Every function gives a `Drawing`: a figure, or the reason why there is none. How the models did
stands in `curves`; here is what they were made of.
"""

import numpy as np

from TACEResponseLib.messages.language import in_language, mark, several, tr

from .centers import draw_centers
from .curves import (
    draw_calibration,
    draw_comparison,
    draw_correlations,
    draw_decisions,
    draw_integration,
    draw_roc,
)
from .drawing import COLOURS, GREY, MARKERS, STYLES, Drawing, canvas, finish, numbered
from .fonts import drawn_language
from .methods import NO_CNN, VALIDATION_ONLY, elimination_table, feature_table, final_selection
from .outlines import draw_outlines
from .stability import stability_drawings
from .study import Study

#: Names of the CNN's histories in words.
HISTORIES = {"loss": mark("loss on patients fitted"), "inner_loss": mark("loss on the inner validation")}
#: What a share of the selected features is of, under the name of its column.
SHARES = {
    "share_of_elimination_folds": mark("elimination folds"),
    "share_of_evaluation_folds": mark("evaluation folds"),
    "share_of_bootstraps": mark("bootstraps"),
}


def draw_all(study: Study) -> tuple[Drawing, ...]:
    """Every figure of the report, numbered in the order of the page.

    In English where no installed font has the letters of the reader's language.
    """
    with in_language(drawn_language()):
        return _drawn(study)


def _drawn(study: Study) -> tuple[Drawing, ...]:
    drawings = (
        draw_comparison(study),
        draw_centers(study),
        draw_roc(study),
        draw_integration(study),
        draw_calibration(study),
        draw_decisions(study),
        draw_agreement(study),
        draw_elimination(study),
        draw_features(study),
        draw_correlations(study),
        *stability_drawings(study),
        *draw_outlines(study),
        draw_learning(study),
    )
    for drawing in drawings:
        if drawing.figure is not None:
            finish(drawing.figure, study.marks)
    return numbered(drawings)


def draw_elimination(study: Study) -> Drawing:
    """Accuracy by number of features with its SD over the folds."""
    name = "figure_selection"
    caption = tr("Recursive feature elimination: accuracy ± SD by number of features")
    table = elimination_table(study)
    if table.absent:
        return Drawing(name, caption, None, table.absent)
    selection = final_selection(study)
    figure, (axes,) = canvas(3.6, width_in=7)
    low, high = selection.accuracy - selection.accuracy_sd, selection.accuracy + selection.accuracy_sd
    band = {"color": COLOURS[0], "alpha": 0.18, "lw": 0, "label": tr("± SD over folds")}
    axes.fill_between(selection.sizes, low, high, **band)
    axes.plot(selection.sizes, selection.accuracy, "o-", color=COLOURS[0], ms=4, label=tr("mean accuracy"))
    chosen = several(selection.size, "chosen: 1 feature", "chosen: {n} features")
    axes.axvline(selection.size, color=COLOURS[1], ls="--", label=chosen)
    axes.set_xscale("log")
    ticks = [s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if s <= 1.2 * selection.sizes[-1]]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel(tr("number of features (logarithmic)"))
    axes.set_ylabel(tr("accuracy in the held-out folds (share)"))
    axes.legend(frameon=False, fontsize=9)
    return Drawing(name, caption, figure, peng="2B")


def draw_agreement(study: Study) -> Drawing:
    """ICC of every feature in ascending order, with its interval and the threshold."""
    name, caption = "figure_icc", tr("Agreement of two readers: ICC of every feature, ascending")
    found = study.reliability
    if found is None:
        why = tr(VALIDATION_ONLY) if study.record is None else tr("no second reader")
        return Drawing(name, caption, None, why)
    order = np.argsort(found.icc.estimate)
    order = order[np.isfinite(found.icc.estimate[order])]
    rank, kept = np.arange(1, len(order) + 1), found.kept[order]
    figure, (axes,) = canvas(3.6, width_in=7)
    low, high = found.icc.ci_low[order], found.icc.ci_high[order]
    axes.fill_between(rank, low, high, color=GREY, alpha=0.2, lw=0, step="mid", label=tr("95 % CI"))
    verdicts = (
        (kept, COLOURS[0], "o", tr("kept: {n}", n=int(found.kept.sum()))),
        (~kept, COLOURS[1], "x", tr("dropped: {n}", n=int((~found.kept).sum()))),
    )
    for chosen, colour, marker, label in verdicts:
        axes.plot(rank[chosen], found.icc.estimate[order][chosen], marker, color=colour, ms=3, label=label)
    limit = found.settings.threshold
    axes.axhline(limit, color="black", ls="--", lw=1, label=tr("threshold {limit:g}", limit=limit))
    axes.set_ylim(max(-1, min(0, float(low.min()))), 1.03)
    axes.set_xlabel(tr("features, ascending"))
    patients = several(len(found.patients), "1 patient", "{n} patients")
    axes.set_ylabel(tr("{form}, {patients}", form=found.icc.form, patients=patients))
    axes.legend(frameon=False, fontsize=9, loc="lower right")  # not a text
    return Drawing(name, caption, figure, peng="2C")


def draw_features(study: Study) -> Drawing:
    """Importance of the selected features, and how often each is chosen again."""
    name = "figure_features"
    caption = tr("Selected features: importance, and how often they are chosen again")
    table = feature_table(study)
    if table.absent:
        return Drawing(name, caption, None, table.absent)
    rows = [row for row in table.rows if row["rank"] is not None][:40][::-1]
    places, words = np.arange(len(rows)), [row["feature"] for row in rows]
    figure, (left, right) = canvas(1.2 + 0.27 * len(rows), 2, sharey=True, width_ratios=(1.2, 1))
    left.barh(places, [row["importance"] for row in rows], color=COLOURS[0])
    left.set_yticks(places, words, fontsize=8)
    left.set_xlabel(tr("importance (permutation, in SDs)"))
    for k, (share, of) in enumerate(SHARES.items()):
        values = [np.nan if row[share] is None else 100 * row[share] for row in rows]
        style = {"color": COLOURS[k], "ms": 6, "mfc": "none" if k else None}
        right.plot(values, places, MARKERS[k], label=tr(of), **style)
    right.set_xlim(-4, 104)
    right.set_xlabel(tr("chosen in (% of)"))
    right.grid(axis="y", lw=0.4)
    right.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))  # not a text
    return Drawing(name, caption, figure)


def draw_learning(study: Study) -> Drawing:
    """The CNN's loss by epoch in the final fit."""
    name, caption = "figure_learning_curve", tr("The CNN's training: loss by epoch (final fit)")
    network = study.record.final.models.get("cnn") if study.record else None
    history = dict(network.history) if network else {}
    losses = {name: values for name, values in history.items() if name in HISTORIES and len(values)}
    if not losses:
        why = tr(VALIDATION_ONLY) if study.record is None else tr(NO_CNN)
        return Drawing(name, caption, None, why)
    figure, (axes,) = canvas(3.4, width_in=7)
    for k, (loss, values) in enumerate(losses.items()):
        line = {"color": COLOURS[k], "ls": STYLES[k], "marker": MARKERS[k], "ms": 3}
        axes.plot(np.arange(1, len(values) + 1), values, label=tr(HISTORIES[loss]), **line)
    axes.set_xlabel(tr("epoch"))
    axes.set_ylabel(tr("cross-entropy"))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=9)
    return Drawing(name, caption, figure)
