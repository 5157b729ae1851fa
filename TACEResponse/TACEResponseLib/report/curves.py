"""Figures of how the models did: ROC curves, AUCs, correlations, calibration, decisions.

Out-of-fold and external estimates stand in panels of their own, or differ in colour and marker.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from TACEResponseLib.messages.language import tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.associations import correlations
from TACEResponseLib.statistics.calibration import calibration, decision_curve
from TACEResponseLib.statistics.discrimination import proportion
from TACEResponseLib.statistics.intervals import AucInterval

from .drawing import COLOURS, GREY, MARKERS, STYLES, WIDTH_IN, Drawing, canvas
from .headline import ONE_CLASS
from .marks import draw_patients, marks_on_curve
from .performance import TOO_FEW, bins
from .study import Scored, Study
from .table import patients_text

#: Decision thresholds between which a curve is worth reading.
DECISION_RANGE = (0.05, 0.9)


def draw_roc(study: Study) -> Drawing:
    """ROC curves of the single models, one panel an estimate."""
    caption = tr("ROC curves of the single models: {panels}", panels=_panels(study))
    return _roc_panels("figure_roc", caption, study, study.singles, "3")


def draw_integration(study: Study) -> Drawing:
    """ROC curves of the CNN, of tumour size, and of what is made of both and the models."""
    caption = tr("ROC curves of the integrated models: {panels}", panels=_panels(study))
    fused = [name for name in study.models if name not in study.singles]
    names = [name for name in ("size", "cnn") if name in study.singles] + fused
    return _roc_panels("figure_integration", caption, study, names, "4A")


def _panels(study: Study) -> str:
    panels = (
        tr("{estimate} ({cohort})", estimate=group.title, cohort=group.part) for group in study.with_auc
    )
    return tr(" and ").join(panels)


def _roc_panels(name: str, caption: str, study: Study, models: Sequence[str], peng: str) -> Drawing:
    """ROC curves; patients are marked on that of the headline model."""
    if not study.with_auc or not models:
        return Drawing(name, caption, None, tr(ONE_CLASS))
    figure, axes, keys = _with_keys(len(study.with_auc), len(models))
    marks = []
    for panel, key, group in zip(axes, keys, study.with_auc, strict=True):
        panel.plot((0, 1), (0, 1), color=GREY, lw=0.8, ls=":")
        for k, model in enumerate(models):
            auc = group.auc(model)
            label = tr("{model}: {auc:.3f} ({bounds})", model=title(model), auc=auc.auc, bounds=_bounds(auc))
            style = {"color": COLOURS[k % 7], "ls": STYLES[(k + k // 7) % 7], "lw": 1.6}
            panel.plot(*group.roc(model), label=label, **style)
        panel.set_aspect("equal")
        panel.set_xlabel(tr("1 - specificity"))
        panel.set_ylabel(tr("sensitivity"))
        panel.set_title(_panel_title(group), fontsize=10)
        handles, words = panel.get_legend_handles_labels()
        key.legend(
            handles,
            words,
            frameon=False,
            fontsize=8,
            title=tr("AUC (95 % CI)"),
            title_fontsize=9,
            loc="center",
        )
        marks += marks_on_curve(study, group, panel) if study.model.headline in models else []
    return Drawing(name, caption, figure, peng=peng, marks=tuple(marks))


def _bounds(auc: AucInterval) -> str:
    if auc.ci_low is None:
        return tr("no interval")
    return tr("{low:.3f} to {high:.3f}", low=auc.ci_low, high=auc.ci_high)


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
    patients = patients_text(len(group.labels), int(group.labels.sum()))
    return tr("{estimate}: {patients}", estimate=group.where, patients=patients)


def draw_comparison(study: Study) -> Drawing:
    """AUC with interval of every model and fusion, estimates beside each other."""
    name = "figure_comparison"
    caption = tr("AUC with 95 % CI of every model: {panels}", panels=_panels(study))
    if not study.with_auc:
        return Drawing(name, caption, None, tr(ONE_CLASS))
    figure, (axes,) = canvas(1.1 + 0.36 * len(study.models), width_in=7.4)
    rows = np.arange(len(study.models))[::-1]
    for k, group in enumerate(study.with_auc):
        aucs = [group.auc(model) for model in study.models]
        auc = np.array([a.auc for a in aucs])
        margins = np.array(
            [[0, 0] if a.ci_low is None else [a.auc - a.ci_low, a.ci_high - a.auc] for a in aucs]
        ).T
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
    axes.set_xlabel(tr("AUC (0.5 is chance)"))
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0))  # not a text
    return Drawing(name, caption, figure, peng="4B")


def draw_correlations(study: Study) -> Drawing:
    """Pearson correlations between the single models' probabilities."""
    name, caption = "figure_correlation", tr("Pearson correlation between the models' probabilities")
    groups = [group for group in study.scored if len(group.labels) > 2]
    if not groups or len(study.singles) < 2:
        return Drawing(name, caption, None, tr(TOO_FEW))
    figure, axes = canvas(4.4 if len(groups) > 1 else 5.2, len(groups), 9.6 if len(groups) > 1 else 7)
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
        panel.set_title(group.where, fontsize=10)
        panel.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, shrink=0.7, label=tr("Pearson r"))
    return Drawing(name, caption, figure, peng="5")


def _of_interest(study: Study) -> list[str]:
    """The headline model and, where there is one, tumour size alone."""
    return [name for name in dict.fromkeys((study.model.headline, "size")) if name in study.models]


def draw_calibration(study: Study) -> Drawing:
    """Share of responders against predicted probability, in groups of equal number, and each patient."""
    name = "figure_calibration"
    caption = tr(
        "Calibration: predicted and observed response, {panels}; one stroke a patient", panels=_panels(study)
    )
    if not study.with_auc:
        return Drawing(name, caption, None, tr(ONE_CLASS))
    panels = len(study.with_auc)
    figure, axes = canvas(4.6, panels, WIDTH_IN if panels > 1 else 5.2)
    marks = []
    for panel, group in zip(axes, study.with_auc, strict=True):
        by_model = {model: group.probabilities[model] for model in _of_interest(study)}
        plot_calibration(panel, group.labels, by_model)
        panel.set_title(_panel_title(group), fontsize=10)
        marks += draw_patients(study, group, panel)
    return Drawing(name, caption, figure, marks=tuple(marks))


def plot_calibration(panel, labels: np.ndarray, by_model: Mapping[str, np.ndarray]) -> None:
    """Draw share of responders against mean probability, a line a model; labels (n,) of both classes."""
    panel.plot((0, 1), (0, 1), color=GREY, lw=0.8, ls=":", label=tr("perfect"))
    for k, (model, probabilities) in enumerate(by_model.items()):
        found = calibration(labels, probabilities, bins(len(labels)))
        counts = np.round(found.bin_observed * found.bin_count).astype(int)
        shares = [proportion(c, n) for c, n in zip(counts, found.bin_count, strict=True)]
        error = np.array([(s.estimate - s.ci_low, s.ci_high - s.estimate) for s in shares]).T
        slope = tr("none") if found.slope is None else f"{found.slope:.2f}"
        label = tr(
            "{model}: slope {slope}, Brier {brier:.3f}", model=title(model), slope=slope, brier=found.brier
        )
        line = {"fmt": MARKERS[k], "ls": STYLES[k], "color": COLOURS[k], "capsize": 2, "lw": 1.2, "ms": 5}
        panel.errorbar(found.bin_probability, found.bin_observed, yerr=np.abs(error), label=label, **line)
    panel.set_aspect("equal")
    panel.set_xlabel(tr("predicted probability of response"))
    panel.set_ylabel(tr("share of responders (95 % CI)"))
    panel.legend(frameon=False, fontsize=8, loc="upper left")  # not a text
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(-0.02, 1.22)
    panel.set_yticks(np.linspace(0, 1, 6))


def draw_decisions(study: Study) -> Drawing:
    """Net benefit of treating by the model, against treating everybody and nobody."""
    name = "figure_decision_curve"
    caption = tr("Decision curve: net benefit by threshold, {panels}", panels=_panels(study))
    if not study.with_auc:
        return Drawing(name, caption, None, tr(ONE_CLASS))
    panels = len(study.with_auc)
    figure, axes = canvas(4.2, panels, WIDTH_IN if panels > 1 else 6.2)
    thresholds = np.linspace(*DECISION_RANGE, 171)
    for panel, group in zip(axes, study.with_auc, strict=True):
        top = float(group.labels.mean())
        for k, model in enumerate(_of_interest(study)):
            curve = decision_curve(group.labels, group.probabilities[model], thresholds)
            line = {"color": COLOURS[k], "ls": STYLES[k], "lw": 1.6}
            panel.plot(thresholds, curve.model, label=title(model), **line)
        panel.plot(thresholds, curve.treat_all, color=GREY, lw=1, label=tr("treat everybody"))
        panel.axhline(0, color="black", lw=1, label=tr("treat nobody"))
        panel.set_ylim(-0.15, top + 0.08)
        panel.set_xlabel(tr("threshold probability of response"))
        panel.set_ylabel(tr("net benefit (true positives a patient)"))
        panel.set_title(_panel_title(group), fontsize=10)
        place = "upper right"  # not a text
        legend = panel.legend(frameon=True, framealpha=1, edgecolor="none", fontsize=8, loc=place)
        legend.set_zorder(5)  # above the curves
    return Drawing(name, caption, figure)
