"""The figures of a report, under the paper's numbers where the paper has them.

Every function gives a `Drawing`: a matplotlib Figure made without pyplot, so that nothing is left
open and no window is needed, or the reason why there is none. Colours are Okabe and Ito's, which
colour-blind readers can tell apart; line styles and markers repeat what the colours say.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .associations import correlations
from .calibration import calibration, decision_curve
from .evaluation import auc_delong, proportion, roc_curve
from .report_methods import VALIDATION_ONLY, elimination_table, feature_table
from .report_performance import ONE_CLASS, bins
from .response_model import title
from .study import Scored, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, RED = "#5b6270", "#b3261e"
WIDTH_IN = 9.0
DOTS_PER_INCH = 150
#: Decision thresholds between which a curve is worth reading.
DECISION_RANGE = (0.05, 0.9)
#: Names of the CNN's histories in words.
HISTORIES = {"loss": "loss on patients fitted", "inner_loss": "loss on the inner validation"}


@dataclass(frozen=True)
class Drawing:
    """One figure. name: of its files, without ending. figure: None, and then `absent` says why."""

    name: str
    caption: str
    figure: "Figure | None"
    absent: str = ""

    @property
    def width_in(self) -> float:
        """Width of the figure in inches, 0 where there is none."""
        return 0.0 if self.figure is None else float(self.figure.get_figwidth())

    def as_bytes(self, ending: str) -> bytes | None:
        """The figure as `png` or `svg`, with the same bytes every time; None where there is none."""
        if self.figure is None:
            return None
        import matplotlib

        stream = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if ending == "svg" else {"Software": None}
        with matplotlib.rc_context({"svg.hashsalt": "tace-response"}):
            self.figure.savefig(stream, format=ending, dpi=DOTS_PER_INCH, metadata=metadata)
        return stream.getvalue()


def draw_all(study: Study) -> tuple[Drawing, ...]:
    """Every figure of the report in the order of the page."""
    drawings = (
        draw_elimination(study),
        draw_agreement(study),
        draw_roc(study),
        draw_integration(study),
        draw_comparison(study),
        draw_correlations(study),
        draw_features(study),
        draw_calibration(study),
        draw_decisions(study),
        draw_learning(study),
    )
    for drawing in drawings:
        if drawing.figure is not None:
            _mark(drawing.figure, study.marks)
            # Laid out once, for both files of the figure.
            drawing.figure.draw_without_rendering()
            drawing.figure.set_layout_engine("none")
    return drawings


def _mark(figure: "Figure", marks: Sequence[str]) -> None:
    """Figures travel without their page: each carries the page's warning."""
    if marks:
        figure.supxlabel(marks[0].partition(":")[0], fontsize=8, color=RED)


def _canvas(height_in: float, panels: int = 1, width_in: float = WIDTH_IN, **more) -> tuple:
    """A figure with so many panels beside each other; the panels as a list."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = list(np.ravel(figure.subplots(1, panels, **more)))
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_elimination(study: Study) -> Drawing:
    """Figure 2B: accuracy by number of features with its SD over the folds."""
    name, caption = "figure_2b_selection", "Figure 2B. Recursive feature elimination: accuracy ± SD by size"
    table = elimination_table(study)
    if table.absent:
        return Drawing(name, caption, None, table.absent)
    selection = study.record.selection
    figure, (axes,) = _canvas(3.6, width_in=7)
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
    return Drawing(name, caption, figure)


def draw_agreement(study: Study) -> Drawing:
    """Figure 2C: ICC of every feature in ascending order, with its interval and the threshold."""
    name, caption = "figure_2c_icc", "Figure 2C. Agreement of two readers: ICC of every feature, ascending"
    found = study.reliability
    if found is None:
        why = VALIDATION_ONLY if study.record is None else "no second reader"
        return Drawing(name, caption, None, why)
    order = np.argsort(found.icc.estimate)
    order = order[np.isfinite(found.icc.estimate[order])]
    rank, kept = np.arange(1, len(order) + 1), found.kept[order]
    figure, (axes,) = _canvas(3.6, width_in=7)
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
    return Drawing(name, caption, figure)


def draw_roc(study: Study) -> Drawing:
    """Figure 3: ROC curves of the single models, one panel an estimate."""
    name, caption = "figure_3_roc", f"Figure 3. ROC curves of the single models: {_panels(study)}"
    return _roc_panels(name, caption, study, study.singles)


def draw_integration(study: Study) -> Drawing:
    """Figure 4: ROC curves of the CNN, of tumour size, and of what is made of both and the models."""
    caption = f"Figure 4A. ROC curves of the integrated models: {_panels(study)}"
    fused = [name for name in study.models if name not in study.singles]
    names = [name for name in ("size", "cnn") if name in study.singles] + fused
    return _roc_panels("figure_4a_integration", caption, study, names)


def _panels(study: Study) -> str:
    return " and ".join(f"{group.title} ({group.cohort})" for group in study.with_auc)


def _roc_panels(name: str, caption: str, study: Study, models: Sequence[str]) -> Drawing:
    if not study.with_auc or not models:
        return Drawing(name, caption, None, ONE_CLASS)
    figure, axes, keys = _with_keys(len(study.with_auc), len(models))
    for panel, key, group in zip(axes, keys, study.with_auc, strict=True):
        panel.plot((0, 1), (0, 1), color=GREY, lw=0.8, ls=":")
        for k, model in enumerate(models):
            curve = roc_curve(group.labels, group.probabilities[model])
            auc = auc_delong(group.labels, group.probabilities[model])
            label = f"{title(model)}: {auc.auc:.3f} ({auc.ci_low:.3f} to {auc.ci_high:.3f})"
            style = {"color": COLOURS[k % 7], "ls": STYLES[(k + k // 7) % 7], "lw": 1.6}
            panel.plot(1 - curve.specificity, curve.sensitivity, label=label, **style)
        panel.set_aspect("equal")
        panel.set_xlabel("1 - specificity")
        panel.set_ylabel("sensitivity")
        panel.set_title(_panel_title(group), fontsize=10)
        handles, words = panel.get_legend_handles_labels()
        key.legend(
            handles, words, frameon=False, fontsize=8, title="AUC (95 % CI)", title_fontsize=9, loc="center"
        )
    return Drawing(name, caption, figure)


def _with_keys(panels: int, lines: int) -> tuple:
    """A figure, its panels, and for each an empty place for a legend of so many lines.

    Inside the panels it would hide the curves: it stands below two panels and beside one.
    """
    from matplotlib.figure import Figure

    if panels == 1:
        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        axes, keys = ([part] for part in figure.subplots(1, 2, width_ratios=(1.2, 1)))
    else:
        below = 0.16 * (lines + 2)
        figure = Figure(figsize=(WIDTH_IN, 4.9 + below), layout="constrained")
        axes, keys = figure.subplots(2, panels, height_ratios=(4.9, below))
    for panel, key in zip(axes, keys, strict=True):
        panel.spines[["top", "right"]].set_visible(False)
        key.set_axis_off()
    return figure, axes, keys


def _panel_title(group: Scored) -> str:
    count, responders = len(group.labels), int(group.labels.sum())
    return f"{group.title}, {group.cohort}: {count} patients, {responders} responders"


def draw_comparison(study: Study) -> Drawing:
    """Figure 4B: AUC with interval of every model and fusion, estimates beside each other."""
    name, caption = "figure_4b_comparison", f"Figure 4B. AUC with 95 % CI of every model: {_panels(study)}"
    if not study.with_auc:
        return Drawing(name, caption, None, ONE_CLASS)
    figure, (axes,) = _canvas(1.1 + 0.36 * len(study.models), width_in=7.4)
    rows = np.arange(len(study.models))[::-1]
    for k, group in enumerate(study.with_auc):
        aucs = [auc_delong(group.labels, group.probabilities[model]) for model in study.models]
        auc = np.array([a.auc for a in aucs])
        margins = np.array([[a.auc - a.ci_low, a.ci_high - a.auc] for a in aucs]).T
        axes.errorbar(
            auc,
            rows + 0.12 - 0.24 * k if len(study.with_auc) > 1 else rows,
            xerr=margins,
            fmt=MARKERS[k],
            color=COLOURS[k],
            capsize=2,
            ms=5,
            lw=1.2,
            label=_panel_title(group),
        )
    axes.axvline(0.5, color=GREY, lw=0.8, ls=":")
    axes.set_yticks(rows, [title(model) for model in study.models])
    axes.set_ylim(-0.6, len(study.models) - 0.4)
    axes.set_xlabel("AUC (0.5 is chance)")
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    return Drawing(name, caption, figure)


def draw_correlations(study: Study) -> Drawing:
    """Figure 5: Pearson correlations between the single models' probabilities."""
    name = "figure_5_correlation"
    caption = "Figure 5. Pearson correlation between the models' probabilities"
    groups = [group for group in study.scored if len(group.labels) > 2]
    if not groups or len(study.singles) < 2:
        return Drawing(name, caption, None, "fewer than three patients, or one model")
    figure, axes = _canvas(4.4 if len(groups) > 1 else 5.2, len(groups), 9.6 if len(groups) > 1 else 7)
    for panel, group in zip(axes, groups, strict=True):
        found = correlations({model: group.probabilities[model] for model in study.singles})
        picture = panel.imshow(found.r, cmap="RdBu_r", vmin=-1, vmax=1)
        for (i, j), r in np.ndenumerate(found.r):
            colour = "white" if abs(r) > 0.6 else "black"
            panel.text(
                j, i, "–" if np.isnan(r) else f"{r:.2f}", ha="center", va="center", color=colour, fontsize=8
            )
        words = [title(model) for model in study.singles]
        panel.set_xticks(range(len(words)), words, rotation=40, ha="right", fontsize=8)
        panel.set_yticks(range(len(words)), words, fontsize=8)
        panel.set_title(f"{group.title}, {group.cohort}", fontsize=10)
        panel.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, shrink=0.7, label="Pearson r")
    return Drawing(name, caption, figure)


def draw_features(study: Study) -> Drawing:
    """Importance of the selected features, and how often each is chosen again."""
    name = "figure_features"
    caption = "Selected features: importance, and how often they are chosen again"
    table = feature_table(study)
    if table.absent:
        return Drawing(name, caption, None, table.absent)
    rows = [row for row in table.rows if row["rank"] is not None][:40][::-1]
    places, words = np.arange(len(rows)), [row["feature"] for row in rows]
    figure, (left, right) = _canvas(1.2 + 0.27 * len(rows), 2, sharey=True, width_ratios=(1.2, 1))
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


def _of_interest(study: Study) -> list[str]:
    """The headline model and, where there is one, tumour size alone."""
    return [name for name in dict.fromkeys((study.model.headline, "size")) if name in study.models]


def draw_calibration(study: Study) -> Drawing:
    """Share of responders against predicted probability, in groups of equal number."""
    name, caption = "figure_calibration", f"Calibration: predicted and observed response, {_panels(study)}"
    if not study.with_auc:
        return Drawing(name, caption, None, ONE_CLASS)
    panels = len(study.with_auc)
    figure, axes = _canvas(4.6, panels, WIDTH_IN if panels > 1 else 5.2)
    for panel, group in zip(axes, study.with_auc, strict=True):
        panel.plot((0, 1), (0, 1), color=GREY, lw=0.8, ls=":", label="perfect")
        for k, model in enumerate(_of_interest(study)):
            found = calibration(group.labels, group.probabilities[model], bins(len(group.labels)))
            counts = np.round(found.bin_observed * found.bin_count).astype(int)
            shares = [proportion(c, n) for c, n in zip(counts, found.bin_count, strict=True)]
            error = np.array([(s.estimate - s.ci_low, s.ci_high - s.estimate) for s in shares]).T
            slope = "none" if found.slope is None else f"{found.slope:.2f}"
            label = f"{title(model)}: slope {slope}, Brier {found.brier:.3f}"
            line = {"fmt": MARKERS[k], "ls": STYLES[k], "color": COLOURS[k], "capsize": 2, "lw": 1.2, "ms": 5}
            panel.errorbar(found.bin_probability, found.bin_observed, yerr=np.abs(error), label=label, **line)
        panel.set_aspect("equal")
        panel.set_xlabel("predicted probability of response")
        panel.set_ylabel("share of responders (95 % CI)")
        panel.set_title(_panel_title(group), fontsize=10)
        panel.legend(frameon=False, fontsize=8, loc="upper left")
        panel.set_xlim(-0.02, 1.02)
        panel.set_ylim(-0.02, 1.22)
        panel.set_yticks(np.linspace(0, 1, 6))
    return Drawing(name, caption, figure)


def draw_decisions(study: Study) -> Drawing:
    """Net benefit of treating by the model, against treating everybody and nobody."""
    name, caption = "figure_decision_curve", f"Decision curve: net benefit by threshold, {_panels(study)}"
    if not study.with_auc:
        return Drawing(name, caption, None, ONE_CLASS)
    panels = len(study.with_auc)
    figure, axes = _canvas(4.2, panels, WIDTH_IN if panels > 1 else 6.2)
    thresholds = np.linspace(*DECISION_RANGE, 171)
    for panel, group in zip(axes, study.with_auc, strict=True):
        top = float(group.labels.mean())
        for k, model in enumerate(_of_interest(study)):
            curve = decision_curve(group.labels, group.probabilities[model], thresholds)
            line = {"color": COLOURS[k], "ls": STYLES[k], "lw": 1.6}
            panel.plot(thresholds, curve.model, label=title(model), **line)
        panel.plot(thresholds, curve.treat_all, color=GREY, lw=1, label="treat everybody")
        panel.axhline(0, color="black", lw=1, label="treat nobody")
        panel.set_ylim(-0.15, top + 0.08)
        panel.set_xlabel("threshold probability of response")
        panel.set_ylabel("net benefit (true positives a patient)")
        panel.set_title(_panel_title(group), fontsize=10)
        panel.legend(frameon=False, fontsize=8, loc="lower left")
    return Drawing(name, caption, figure)


def draw_learning(study: Study) -> Drawing:
    """The CNN's loss by epoch in the final fit."""
    name, caption = "figure_learning_curve", "The CNN's training: loss by epoch (final fit)"
    history = dict(study.record.learning_curve) if study.record else {}
    losses = {name: values for name, values in history.items() if name in HISTORIES and len(values)}
    if not losses:
        why = VALIDATION_ONLY if study.record is None else "no CNN was trained"
        return Drawing(name, caption, None, why)
    figure, (axes,) = _canvas(3.4, width_in=7)
    for k, (loss, values) in enumerate(losses.items()):
        line = {"color": COLOURS[k], "ls": STYLES[k], "marker": MARKERS[k], "ms": 3}
        axes.plot(np.arange(1, len(values) + 1), values, label=HISTORIES[loss], **line)
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=9)
    return Drawing(name, caption, figure)
