"""The forest plot of several hospitals: squares with intervals, a diamond for the mean, a bar for another."""

import numpy as np
from scipy.stats import norm

from TACEResponseLib.messages.language import in_language, mark, tr
from TACEResponseLib.statistics.aggregates import Aggregates, stating
from TACEResponseLib.statistics.meta_analysis import FEWEST_TO_PREDICT, Pooled

from .aggregates import HospitalFile
from .drawing import COLOURS, GREY, Drawing, canvas
from .fonts import drawn_language
from .hospitals import Combined
from .table import number_text

FOREST = "forest"
#: The figures that are drawn: what says nothing, or is right, and the name of the axis.
NEUTRAL = {"auc": 0.5, "observed_expected": 1.0}
AXES = {
    "auc": mark("AUC (0.5 is chance)"),
    "observed_expected": mark("observed over expected (1 is best)"),
}
#: Ratios that the axis of observed over expected names, where they lie in it.
RATIO_TICKS = (0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10)
#: Letters of a hospital's name that fit beside the forest.
LONGEST_LABEL = 24
#: Quantile of a 95 % interval of one hospital.
Z = float(norm.ppf(0.975))


def ratio_interval(of: Aggregates) -> tuple[float, float, float] | None:
    """Observed over expected of one hospital with its 95 % interval; None where it is not stated."""
    ratio = of.observed_expected
    if ratio is None:
        return None
    margin = Z * ratio.log_error
    return ratio.ratio, *(float(np.exp(ratio.log_ratio + side * margin)) for side in (-1, 1))


def range_text(low: float | None, high: float | None) -> str:
    """Two bounds in words, nothing for None."""
    return "" if low is None else tr("{low} to {high}", low=number_text(low), high=number_text(high))


def _estimate(value: float, low: float, high: float) -> str:
    """An estimate with its interval in brackets."""
    bounds = {"low": number_text(low), "high": number_text(high)}
    return tr("{estimate} ({low} to {high})", estimate=number_text(value), **bounds)


def draw_forest(found: Combined) -> Drawing:
    """AUC, and observed over expected, of each hospital with 95 % CI, their mean, and another hospital.

    In English where no installed font has the letters of the reader's language.
    """
    with in_language(drawn_language()):
        return _drawn(found)


def _drawn(found: Combined) -> Drawing:
    caption = tr("Each hospital with its 95 % CI, the mean, and where another hospital is expected")
    names = [name for name in NEUTRAL if name in found.pooled]
    if not names:
        why = tr("neither the AUC nor the ratio is stated by two hospitals")
        return Drawing(FOREST, caption, None, why)
    rows = len(found.hospitals)
    figure, axes = canvas(1.5 + 0.34 * (rows + 2), len(names), sharey=True)
    for panel, name in zip(axes, names, strict=True):
        _plot_hospitals(panel, name, found)
        _plot_mean(panel, name, found.pooled[name])
        panel.axvline(NEUTRAL[name], color=GREY, lw=0.8, ls=":")
        panel.axhline(-0.5, color=GREY, lw=0.6)
        panel.set_xlabel(tr(AXES[name]))
    labels = [_label(hospital) for hospital in found.hospitals]
    axes[0].set_yticks(range(rows - 1, -3, -1), [*labels, tr("mean"), tr("another hospital")], fontsize=9)
    axes[0].set_ylim(-2.6, rows - 0.4)
    return Drawing(FOREST, caption, figure)


def _label(hospital: HospitalFile) -> str:
    short = hospital.name
    short = short if len(short) <= LONGEST_LABEL else short[: LONGEST_LABEL - 3] + "..."
    patients = hospital.figures.patients or tr("below 5")
    return tr("{hospital}, n {patients}", hospital=short, patients=patients)


def _plot_hospitals(panel, name: str, found: Combined) -> None:
    """A square a hospital, as large as its weight, with its interval and its figures as text."""
    pooled, rows, texts = found.pooled[name], len(found.hospitals), {}
    for weight, k in zip(pooled.weights, stating(found.figures, name), strict=True):
        of = found.figures[k]
        value, low, high = (
            (of.auc.auc, of.auc.ci_low, of.auc.ci_high) if name == "auc" else ratio_interval(of)
        )
        place = rows - 1 - k
        panel.plot((low, high), (place, place), color=COLOURS[0], lw=1.4)
        panel.scatter(value, place, s=25 + 220 * weight, marker="s", color=COLOURS[0], zorder=3)
        texts[place] = _estimate(value, low, high)
    for place in range(rows):
        _beside(panel, place, texts.get(place, tr("not stated")))


def _plot_mean(panel, name: str, pooled: Pooled) -> None:
    """A diamond as wide as the interval of the mean, and a bar for another hospital."""
    value, low, high = pooled.estimate, pooled.ci_low, pooled.ci_high
    panel.fill((low, value, high, value), (-1, -0.75, -1, -1.25), color=COLOURS[1])
    _beside(panel, -1, _estimate(value, low, high))
    if pooled.prediction_low is None:
        _beside(panel, -2, tr("from {n} hospitals on", n=FEWEST_TO_PREDICT))
    else:
        ends = (pooled.prediction_low, pooled.prediction_high)
        panel.plot(ends, (-2, -2), color=COLOURS[1], lw=3)
        _beside(panel, -2, range_text(*ends))
    if name == "observed_expected":
        panel.set_xscale("log")
        left, right = panel.get_xlim()
        ticks = [ratio for ratio in RATIO_TICKS if left <= ratio <= right]
        panel.set_xticks(ticks, [f"{ratio:g}" for ratio in ticks])
        panel.minorticks_off()


def _beside(panel, place: float, text: str) -> None:
    """Figures to the right of the panel, at one row."""
    units = ("axes fraction", "data")  # not a text
    panel.annotate(text, (1.02, place), xycoords=units, va="center", fontsize=8.5)
