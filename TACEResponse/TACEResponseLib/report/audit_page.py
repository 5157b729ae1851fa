"""The audit as a page, as text for a terminal, and as `audit.json`; no patient is named in any of them."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from TACEResponseLib import __version__
from TACEResponseLib.answer.prediction import RESEARCH_USE
from TACEResponseLib.follow_up.audit import Agreement, ModelAudit
from TACEResponseLib.follow_up.register_schema import NOT_ASSESSED
from TACEResponseLib.messages.language import in_language, mark, several, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.storage import whole_file

from .aligned import padded
from .curves import plot_calibration
from .drawing import COLOURS, GREY, Drawing, canvas, finish
from .fonts import drawn_language
from .page import PIXELS_PER_INCH
from .pages import render_page
from .table import Table, number_text

PAGE, CONTENT, FORMAT_VERSION = "audit.html", "audit.json", 1
#: Periods whose names fit under an axis side by side.
MOST_LABELS = 5
#: Places of the names of figures on a terminal.
TEXT_WIDTH = 26
#: Verdicts on similarity in words.
VERDICTS = {
    "inside": mark("inside"),
    "at the edge": mark("at the edge"),  # not a text: the code of a verdict
    "outside": mark("outside"),
    NOT_ASSESSED: mark("not assessed"),
}


def write_audit(audits: Sequence[ModelAudit], folder: Path) -> Path:
    """Write `audit.html` and, last, `audit.json` into `folder`; the path of the page."""
    folder = Path(folder)
    page = folder / PAGE
    with whole_file(page) as stream:
        stream.write(_render(audits).encode("utf-8"))
    models = [audit.to_json() for audit in audits]
    content = {"format_version": FORMAT_VERSION, "statement": _statement(audits), "models": models}
    with whole_file(folder / CONTENT) as stream:
        stream.write(
            (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8")
        )
    return page


def as_text(audits: Sequence[ModelAudit]) -> str:
    """The audits for a terminal."""
    return "\n\n".join("\n".join(_lines(audit)) for audit in audits)


def _statement(audits: Sequence[ModelAudit]) -> str:
    """What the whole page begins and ends with; a model that differs says so in its own part."""
    statements = {audit.statement for audit in audits}
    return statements.pop() if len(statements) == 1 else tr(RESEARCH_USE)


def _lines(audit: ModelAudit) -> list[str]:
    """One model in a few lines."""
    predicted = several(
        audit.predictions,
        "1 patient predicted, {days}; {counted} counted",
        "{n} patients predicted, {days}; {counted} counted",
        days=_days(audit),
        counted=audit.agreement.n,
    )
    return [
        audit.statement,
        tr("Model {bundle}, {model}", bundle=audit.bundle_id, model=title(audit.model)),
        predicted,
        *(padded(name, TEXT_WIDTH) + text for name, text in _figures(audit.agreement)),
        *audit.cautions(),
    ]


def _figures(found: Agreement) -> list[tuple[str, str]]:
    """The figures that exist, in words."""
    if not found.n:
        return []
    ratio, fit, point = found.observed_to_expected, found.calibration, found.operating
    figures = []
    if found.auc is not None:
        figures.append((tr("AUC"), _with_interval(found.auc.auc, found.auc.ci_low, found.auc.ci_high)))
    counts = {"observed": found.responders, "expected": found.expected}
    figures.append((tr("responders"), tr("{observed} observed, {expected:.1f} expected", **counts)))
    if ratio is not None:
        interval = _with_interval(ratio.estimate, ratio.ci_low, ratio.ci_high)
        figures.append((tr("observed to expected"), interval))
    if fit is not None and fit.slope is not None:
        figures.append((tr("calibration slope"), _with_interval(fit.slope, *fit.slope_ci)))
        figures.append((tr("calibration intercept"), _best_at_0(fit.intercept)))
    if fit is not None:
        figures.append((tr("calibration in the large"), _best_at_0(fit.in_the_large)))
    figures.append((tr("Brier score"), number_text(found.brier)))
    for name, share in ((tr("sensitivity"), point.sensitivity), (tr("specificity"), point.specificity)):
        if share.total:
            interval = _with_interval(share.estimate, share.ci_low, share.ci_high)
            of = {"interval": interval, "count": share.count, "total": share.total}
            figures.append((name, tr("{interval}, {count} of {total}", **of)))
    return figures


def _best_at_0(value: float | None) -> str:
    return tr("{number} (0 is perfect)", number=number_text(value))


def _with_interval(estimate: float, low: float, high: float) -> str:
    texts = (number_text(float(value)) for value in (estimate, low, high))
    return tr(
        "{estimate} (95 % CI {low} to {high})", **dict(zip(("estimate", "low", "high"), texts, strict=True))
    )


def _days(audit: ModelAudit) -> str:
    if audit.first_day == audit.last_day:
        return audit.first_day
    return tr("{first} to {last}", first=audit.first_day, last=audit.last_day)


def _render(audits: Sequence[ModelAudit]) -> str:
    return render_page(
        "audit.html",
        statement=_statement(audits),
        models=[_view(audit) for audit in audits],
        demonstration=all(audit.demonstration for audit in audits),
        software=f"TACEResponse {__version__}",
    )


def _view(audit: ModelAudit) -> dict:
    """What the template needs of one model."""
    with in_language(drawn_language()):
        drawings = (draw_calibration(audit), draw_over_time(audit))
        for drawing in drawings:
            if drawing.figure is not None:
                finish(drawing.figure, (audit.statement,) if audit.demonstration else ())
    return {
        "audit": audit,
        "title": title(audit.model),
        "days": _days(audit),
        "auc": tr("none yet") if audit.agreement.auc is None else f"{audit.agreement.auc.auc:.3f}",
        "figures": _figures(audit.agreement),
        "drawings": list(map(_picture, drawings)),
        "tables": (periods_table(audit), similarity_table(audit)),
    }


def _picture(drawing: Drawing) -> dict:
    return {
        "caption": drawing.caption,
        "absent": drawing.absent,
        "png": base64.b64encode(drawing.as_bytes("png") or b"").decode("ascii"),
        "width": round(PIXELS_PER_INCH * drawing.width_in),
    }


def draw_calibration(audit: ModelAudit) -> Drawing:
    """Share of responders against predicted probability, in groups of equal number."""
    name, caption = "calibration", tr("Calibration: predicted and observed response")
    found = audit.agreement
    if found.calibration is None:
        return Drawing(name, caption, None, tr("it needs patients with and without response"))
    figure, (panel,) = canvas(4.6, width_in=5.2)
    plot_calibration(panel, found.labels, {audit.model: found.probabilities})
    return Drawing(name, caption, figure)


def draw_over_time(audit: ModelAudit) -> Drawing:
    """AUC, and observed responders to expected ones, from the beginning to the end of each period."""
    name = "over_time"
    caption = tr("Over time: from the first patient to the end of each period, with 95 % CI")
    known = [p for p in audit.periods if p.so_far.n]
    if not known:
        return Drawing(name, caption, None, tr("no response counts yet"))
    figure, (left, right) = canvas(3.4, 2)
    aucs = [(i, (a.auc, a.ci_low, a.ci_high)) for i, p in enumerate(known) if (a := p.so_far.auc)]
    ratios = [
        (i, (r.estimate, r.ci_low, r.ci_high))
        for i, p in enumerate(known)
        if (r := p.so_far.observed_to_expected)
    ]
    for panel, points, even, k in ((left, aucs, 0.5, 0), (right, ratios, 1.0, 1)):
        panel.axhline(even, color=GREY, lw=0.8, ls=":")
        if points:
            places, values = np.array([i for i, _ in points]), np.array([v for _, v in points])
            panel.fill_between(places, values[:, 1], values[:, 2], color=COLOURS[k], alpha=0.18, lw=0)
            error = np.abs(values[:, 1:] - values[:, :1]).T
            line = {"fmt": "os"[k], "ls": "-", "color": COLOURS[k], "capsize": 2, "lw": 1.4, "ms": 4}
            panel.errorbar(places, values[:, 0], yerr=error, **line)
        else:
            panel.text(0.5, 0.6, tr("no AUC yet"), ha="center", color=GREY, transform=panel.transAxes)
        shown = range(0, len(known), -(-len(known) // MOST_LABELS))
        panel.set_xticks(list(shown), [f"{known[i].name}\nn {known[i].so_far.n}" for i in shown], fontsize=8)
        panel.set_xlim(-0.5, len(known) - 0.5)
    left.set_ylim(-0.03, 1.03)
    left.set_ylabel(tr("AUC so far (0.5 is chance)"))
    right.set_ylim(bottom=0)
    right.set_ylabel(tr("observed to expected (1 is perfect)"))
    return Drawing(name, caption, figure)


def periods_table(audit: ModelAudit) -> Table:
    """A row a period."""
    rows = [
        {
            "period": p.name,
            "predicted": p.predictions,
            "response_known": p.own.n,
            "responders": p.own.responders if p.own.n else None,
            "expected": p.own.expected if p.own.n else None,
            **_ratio_cells("observed_to_expected_so_far", p.so_far),
            **_auc_cells("auc_so_far", p.so_far),
        }
        for p in audit.periods
    ]
    absent = "" if rows else tr("no prediction was made before its response was known")
    note = tr(
        "By the day of the scan or the prediction; so far: from the first patient to the end of the period."
    )
    return Table("periods", tr("Over time"), rows, note, absent)


def similarity_table(audit: ModelAudit) -> Table:
    """A row a verdict on similarity to the training patients."""
    rows = [
        {
            "like_the_training_cases": tr(VERDICTS[verdict]),
            "n": found.n,
            "responders": found.responders,
            "expected": found.expected,
            **_ratio_cells("observed_to_expected", found),
            **_auc_cells("auc", found),
            "brier": found.brier,
        }
        for verdict, found in audit.by_similarity.items()
    ]
    note = tr("An interval without width comes from few patients, not from certainty.")
    absent = "" if rows else tr("no response counts yet")
    return Table("similarity", tr("By similarity to the training patients"), rows, note, absent)


def _ratio_cells(name: str, found: Agreement) -> dict:
    ratio = found.observed_to_expected
    values = (None,) * 3 if ratio is None else (ratio.estimate, ratio.ci_low, ratio.ci_high)
    return _cells(name, values)


def _auc_cells(name: str, found: Agreement) -> dict:
    values = (None,) * 3 if found.auc is None else (found.auc.auc, found.auc.ci_low, found.auc.ci_high)
    return _cells(name, values)


def _cells(name: str, values: tuple) -> dict:
    return dict(zip((name, f"{name}_ci_low", f"{name}_ci_high"), values, strict=True))
