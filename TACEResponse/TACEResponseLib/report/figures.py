"""The figures of a report in the order of its page, numbered as they appear there.

Every function gives a `Drawing`: a figure, or the reason why there is none. How the models did
stands in `curves`; here is what they were made of.
"""

import numpy as np

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
from .methods import VALIDATION_ONLY, elimination_table, feature_table, final_selection
from .outlines import draw_outlines
from .stability import stability_drawings
from .study import Study

#: Names of the CNN's histories in words.
HISTORIES = {"loss": "loss on patients fitted", "inner_loss": "loss on the inner validation"}


def draw_all(study: Study) -> tuple[Drawing, ...]:
    """Every figure of the report, numbered in the order of the page."""
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
    name, caption = "figure_selection", "Recursive feature elimination: accuracy ± SD by number of features"
    table = elimination_table(study)
    if table.absent:
        return Drawing(name, caption, None, table.absent)
    selection = final_selection(study)
    figure, (axes,) = canvas(3.6, width_in=7)
    low, high = selection.accuracy - selection.accuracy_sd, selection.accuracy + selection.accuracy_sd
    axes.fill_between(selection.sizes, low, high, color=COLOURS[0], alpha=0.18, lw=0, label="± SD over folds")
    axes.plot(selection.sizes, selection.accuracy, "o-", color=COLOURS[0], ms=4, label="mean accuracy")
    axes.axvline(selection.size, color=COLOURS[1], ls="--", label=f"chosen: {selection.size} features")
    axes.set_xscale("log")
    ticks = [s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if s <= 1.2 * selection.sizes[-1]]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("number of features (logarithmic)")
    axes.set_ylabel("accuracy in the held-out folds (share)")
    axes.legend(frameon=False, fontsize=9)
    return Drawing(name, caption, figure, peng="2B")


def draw_agreement(study: Study) -> Drawing:
    """ICC of every feature in ascending order, with its interval and the threshold."""
    name, caption = "figure_icc", "Agreement of two readers: ICC of every feature, ascending"
    found = study.reliability
    if found is None:
        why = VALIDATION_ONLY if study.record is None else "no second reader"
        return Drawing(name, caption, None, why)
    order = np.argsort(found.icc.estimate)
    order = order[np.isfinite(found.icc.estimate[order])]
    rank, kept = np.arange(1, len(order) + 1), found.kept[order]
    figure, (axes,) = canvas(3.6, width_in=7)
    low, high = found.icc.ci_low[order], found.icc.ci_high[order]
    axes.fill_between(rank, low, high, color=GREY, alpha=0.2, lw=0, step="mid", label="95 % CI")
    verdicts = (
        (kept, COLOURS[0], "o", f"kept: {int(found.kept.sum())}"),
        (~kept, COLOURS[1], "x", f"dropped: {int((~found.kept).sum())}"),
    )
    for chosen, colour, marker, label in verdicts:
        axes.plot(rank[chosen], found.icc.estimate[order][chosen], marker, color=colour, ms=3, label=label)
    limit = found.settings.threshold
    axes.axhline(limit, color="black", ls="--", lw=1, label=f"threshold {limit:g}")
    axes.set_ylim(max(-1, min(0, float(low.min()))), 1.03)
    axes.set_xlabel("features, ascending")
    axes.set_ylabel(f"{found.icc.form}, {len(found.patients)} patients")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return Drawing(name, caption, figure, peng="2C")


def draw_features(study: Study) -> Drawing:
    """Importance of the selected features, and how often each is chosen again."""
    name = "figure_features"
    caption = "Selected features: importance, and how often they are chosen again"
    table = feature_table(study)
    if table.absent:
        return Drawing(name, caption, None, table.absent)
    rows = [row for row in table.rows if row["rank"] is not None][:40][::-1]
    places, words = np.arange(len(rows)), [row["feature"] for row in rows]
    figure, (left, right) = canvas(1.2 + 0.27 * len(rows), 2, sharey=True, width_ratios=(1.2, 1))
    left.barh(places, [row["importance"] for row in rows], color=COLOURS[0])
    left.set_yticks(places, words, fontsize=8)
    left.set_xlabel("importance (permutation, in SDs)")
    shares = ("share_of_elimination_folds", "share_of_evaluation_folds", "share_of_bootstraps")
    for k, share in enumerate(shares):
        values = [np.nan if row[share] is None else 100 * row[share] for row in rows]
        label = share.removeprefix("share_of_").replace("_", " ")
        right.plot(values, places, MARKERS[k], color=COLOURS[k], ms=6, mfc="none" if k else None, label=label)
    right.set_xlim(-4, 104)
    right.set_xlabel("chosen in (% of)")
    right.grid(axis="y", lw=0.4)
    right.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return Drawing(name, caption, figure)


def draw_learning(study: Study) -> Drawing:
    """The CNN's loss by epoch in the final fit."""
    name, caption = "figure_learning_curve", "The CNN's training: loss by epoch (final fit)"
    network = study.record.final.models.get("cnn") if study.record else None
    history = dict(network.history) if network else {}
    losses = {name: values for name, values in history.items() if name in HISTORIES and len(values)}
    if not losses:
        why = VALIDATION_ONLY if study.record is None else "no CNN was trained"
        return Drawing(name, caption, None, why)
    figure, (axes,) = canvas(3.4, width_in=7)
    for k, (loss, values) in enumerate(losses.items()):
        line = {"color": COLOURS[k], "ls": STYLES[k], "marker": MARKERS[k], "ms": 3}
        axes.plot(np.arange(1, len(values) + 1), values, label=HISTORIES[loss], **line)
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=9)
    return Drawing(name, caption, figure)
