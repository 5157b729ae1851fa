"""The audit as a page, as text for a terminal, and as `audit.json`; no patient is named in any of them."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from TACEResponseLib import __version__
from TACEResponseLib.answer.prediction import RESEARCH_USE
from TACEResponseLib.follow_up.audit import Agreement, ModelAudit
from TACEResponseLib.models.combination import title
from TACEResponseLib.storage import whole_file

from .curves import plot_calibration
from .drawing import COLOURS, GREY, Drawing, canvas, finish
from .page import PIXELS_PER_INCH
from .pages import render_page
from .table import Table, number_text

PAGE, CONTENT, FORMAT_VERSION = "audit.html", "audit.json", 1
#: Periods whose names fit under an axis side by side.
MOST_LABELS = 5


def write_audit(audits: Sequence[ModelAudit], folder: Path) -> Path:
    """Write `audit.html` and, last, `audit.json` into `folder`; the path of the page."""
    folder = Path(folder)
    page = folder / PAGE
    with whole_file(page) as stream:
        stream.write(_render(audits).encode("utf-8"))
    models = [audit.to_json() for audit in audits]
    content = {"format_version": FORMAT_VERSION, "statement": _statement(audits), "models": models}
    with whole_file(folder / CONTENT) as stream:
        stream.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode("utf-8"))
    return page


def as_text(audits: Sequence[ModelAudit]) -> str:
    """The audits for a terminal."""
    return "\n\n".join("\n".join(_lines(audit)) for audit in audits)


def _statement(audits: Sequence[ModelAudit]) -> str:
    """What the whole page begins and ends with; a model that differs says so in its own part."""
    statements = {audit.statement for audit in audits}
    return statements.pop() if len(statements) == 1 else RESEARCH_USE


def _lines(audit: ModelAudit) -> list[str]:
    """One model in a few lines."""
    return [
        audit.statement,
        f"Model {audit.bundle_id}, {title(audit.model)}",
        f"{_patients(audit.predictions)} predicted, {_days(audit)}; {audit.agreement.n} counted",
        *(f"{name:<26}{text}" for name, text in _figures(audit.agreement)),
        *audit.cautions(),
    ]


def _figures(found: Agreement) -> list[tuple[str, str]]:
    """The figures that exist, in words."""
    if not found.n:
        return []
    ratio, fit, point = found.observed_to_expected, found.calibration, found.operating
    figures = []
    if found.auc is not None:
        figures.append(("AUC", _with_interval(found.auc.auc, found.auc.ci_low, found.auc.ci_high)))
    figures.append(("responders", f"{found.responders} observed, {found.expected:.1f} expected"))
    if ratio is not None:
        figures.append(("observed to expected", _with_interval(ratio.estimate, ratio.ci_low, ratio.ci_high)))
    if fit is not None and fit.slope is not None:
        figures.append(("calibration slope", _with_interval(fit.slope, *fit.slope_ci)))
        figures.append(("calibration intercept", f"{number_text(fit.intercept)} (0 is perfect)"))
    if fit is not None:
        figures.append(("calibration in the large", f"{number_text(fit.in_the_large)} (0 is perfect)"))
    figures.append(("Brier score", number_text(found.brier)))
    for name, share in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
        if share.total:
            interval = _with_interval(share.estimate, share.ci_low, share.ci_high)
            figures.append((name, f"{interval}, {share.count} of {share.total}"))
    return figures


def _with_interval(estimate: float, low: float, high: float) -> str:
    return f"{number_text(float(estimate))} (95 % CI {number_text(float(low))} to {number_text(float(high))})"


def _days(audit: ModelAudit) -> str:
    return audit.first_day if audit.first_day == audit.last_day else f"{audit.first_day} to {audit.last_day}"


def _patients(count: int) -> str:
    return "1 patient" if count == 1 else f"{count} patients"


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
    drawings = (draw_calibration(audit), draw_over_time(audit))
    for drawing in drawings:
        if drawing.figure is not None:
            finish(drawing.figure, (audit.statement,) if audit.demonstration else ())
    return {
        "audit": audit,
        "title": title(audit.model),
        "days": _days(audit),
        "auc": "none yet" if audit.agreement.auc is None else f"{audit.agreement.auc.auc:.3f}",
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
    name, caption = "calibration", "Calibration: predicted and observed response"
    found = audit.agreement
    if found.calibration is None:
        return Drawing(name, caption, None, "it needs patients with and without response")
    figure, (panel,) = canvas(4.6, width_in=5.2)
    plot_calibration(panel, found.labels, {audit.model: found.probabilities})
    return Drawing(name, caption, figure)


def draw_over_time(audit: ModelAudit) -> Drawing:
    """AUC, and observed responders to expected ones, from the beginning to the end of each period."""
    name = "over_time"
    caption = "Over time: from the first patient to the end of each period, with 95 % CI"
    known = [p for p in audit.periods if p.so_far.n]
    if not known:
        return Drawing(name, caption, None, "no response counts yet")
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
            panel.text(0.5, 0.6, "no AUC yet", ha="center", color=GREY, transform=panel.transAxes)
        shown = range(0, len(known), -(-len(known) // MOST_LABELS))
        panel.set_xticks(list(shown), [f"{known[i].name}\nn {known[i].so_far.n}" for i in shown], fontsize=8)
        panel.set_xlim(-0.5, len(known) - 0.5)
    left.set_ylim(-0.03, 1.03)
    left.set_ylabel("AUC so far (0.5 is chance)")
    right.set_ylim(bottom=0)
    right.set_ylabel("observed to expected (1 is perfect)")
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
    absent = "" if rows else "no prediction was made before its response was known"
    return Table(
        "periods",
        "Over time",
        rows,
        "By the day of the scan or the prediction; so far: from the first patient to the end of the period.",
        absent,
    )


def similarity_table(audit: ModelAudit) -> Table:
    """A row a verdict on similarity to the training patients."""
    rows = [
        {
            "like_the_training_cases": verdict,
            "n": found.n,
            "responders": found.responders,
            "expected": found.expected,
            **_ratio_cells("observed_to_expected", found),
            **_auc_cells("auc", found),
            "brier": found.brier,
        }
        for verdict, found in audit.by_similarity.items()
    ]
    note = "An interval without width comes from few patients, not from certainty."
    absent = "" if rows else "no response counts yet"
    return Table("similarity", "By similarity to the training patients", rows, note, absent)


def _ratio_cells(name: str, found: Agreement) -> dict:
    ratio = found.observed_to_expected
    values = (None,) * 3 if ratio is None else (ratio.estimate, ratio.ci_low, ratio.ci_high)
    return _cells(name, values)


def _auc_cells(name: str, found: Agreement) -> dict:
    values = (None,) * 3 if found.auc is None else (found.auc.auc, found.auc.ci_low, found.auc.ci_high)
    return _cells(name, values)


def _cells(name: str, values: tuple) -> dict:
    return dict(zip((name, f"{name}_ci_low", f"{name}_ci_high"), values, strict=True))
