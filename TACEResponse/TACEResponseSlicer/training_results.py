"""What a training run left behind -> table and plot nodes: AUC by model, ROC, calibration, decisions.

Curves are drawn from the bundle's out-of-fold scores only; resubstitution appears in the table,
labelled, and nowhere else.
"""

import csv
import json
from pathlib import Path

import numpy as np
import qt
from slicer.i18n import tr as _

from . import publish
from .answer_view import fill_table

#: Kinds of estimate, those to trust first.
ESTIMATES = ("out_of_fold", "external", "resubstitution")


class TrainingResultSection:
    """The result part of the training panel."""

    def __init__(self, ui):
        self._ui = ui
        self.show("")

    def show(self, report: str) -> None:
        """Show the evaluation in a report folder, or nothing where there is none."""
        there = bool(report) and (Path(report) / "evaluation.json").is_file()
        self._ui.trainingResultSection.visible = there
        if not there:
            return
        rows = read_evaluation(Path(report))
        fill_table(self._ui.aucTable, (_("model"), _("estimate"), _("AUC (95 % CI)")), auc_rows(rows))
        which = _(
            "Trust out-of-fold and external figures; resubstitution is what the model answers for the"
            " patients it was fitted on, and is always too good."
        )
        self._ui.trainingStatementLabel.text = f"{which} {responders_sentence(rows)}"
        self._ui.trainingResultSection.collapsed = False

    def open(self, report: str) -> None:
        """Open the report's page, or its folder, with the system's program."""
        page = Path(report) / "report.html"
        place = page if page.is_file() else Path(report)
        qt.QDesktopServices.openUrl(qt.QUrl(place.resolve().as_uri()))


def read_evaluation(report: Path) -> list[dict]:
    """The rows of `evaluation.json`, estimates to trust first."""
    rows = json.loads((Path(report) / "evaluation.json").read_text(encoding="utf-8"))
    return sorted(rows, key=lambda row: ESTIMATES.index(row["estimate"]))


def auc_rows(rows: list[dict]) -> list[tuple[str, str, str]]:
    """Rows of text: model, estimate, AUC with its 95 % interval."""
    return [
        (
            _model_title(row["model"]),
            _estimate_title(row),
            _("{auc:.3f} ({low:.3f} to {high:.3f})").format(
                auc=row["auc"], low=row["ci_low"], high=row["ci_high"]
            ),
        )
        for row in rows
    ]


def responders_sentence(rows: list[dict]) -> str:
    """How many patients stand behind the figures; for most estimates the same in every row."""
    number = _("{estimate} {responders} of {patients}")
    numbers = dict.fromkeys(
        number.format(estimate=_estimate_title(row), responders=row["responders"], patients=row["n"])
        for row in rows
    )
    return _("Responders: {numbers}.").format(numbers=", ".join(numbers))


def _estimate_title(row: dict) -> str:
    titles = dict(zip(ESTIMATES, (_("out of fold"), _("external"), _("resubstitution")), strict=True))
    return " ".join(part for part in (titles[row["estimate"]], row["center"]) if part)


def best_models(rows: list[dict], most: int = 4) -> list[str]:
    """The models with the best out-of-fold AUC, few enough for a chart that can be read."""
    unseen = [row for row in rows if row["estimate"] == "out_of_fold"]
    return [row["model"] for row in sorted(unseen, key=lambda row: -row["auc"])[:most]]


def auc_table(rows: list[dict], name: str):
    """vtkMRMLTableNode of the whole evaluation, numbers as numbers."""
    columns = {key: [row[key] for row in rows] for key in ("model", "estimate", "cohort", "center")}
    for key in ("n", "responders", "auc", "ci_low", "ci_high", "sensitivity", "specificity", "brier"):
        columns[key] = np.array([np.nan if row[key] is None else row[key] for row in rows], float)
    return publish.table(name, columns)


def read_scores(bundle: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels (n,) and model -> out-of-fold probabilities (n,) of the training patients."""
    with (Path(bundle) / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    models = [name for name in rows[0] if name not in ("patient_id", "label")]
    labels = np.array([int(row["label"]) for row in rows])
    return labels, {name: np.array([float(row[name]) for row in rows]) for name in models}


def chart_nodes(bundle: Path, models: list[str] | None = None) -> dict:
    """ROC, calibration and decision curve as vtkMRMLPlotChartNodes, out of fold."""
    from TACEResponseLib.statistics.calibration import calibration, decision_curve
    from TACEResponseLib.statistics.discrimination import roc_curve

    labels, scores = read_scores(bundle)
    roc, calibrated, decisions = {}, {}, {}
    for name in models or list(scores):
        curve = roc_curve(labels, scores[name])
        roc[_model_title(name)] = (1 - curve.specificity, curve.sensitivity)
        bins = calibration(labels, scores[name], bins=5)
        calibrated[_model_title(name)] = (bins.bin_probability, bins.bin_observed)
        benefit = decision_curve(labels, scores[name], np.linspace(0.05, 0.8, 76))
        decisions[_model_title(name)] = (benefit.thresholds, benefit.model)
        decisions[_("treat everybody")] = (benefit.thresholds, benefit.treat_all)
    return {
        "roc": publish.curve_chart(
            _("TACE training ROC, out of fold"), roc, _("1 - specificity"), _("sensitivity"), diagonal=True
        ),
        "calibration": publish.curve_chart(
            _("TACE training calibration, out of fold"),
            calibrated,
            _("predicted probability"),
            _("share of responders"),
            diagonal=True,
        ),
        "decision": publish.curve_chart(
            _("TACE training decision curve, out of fold"),
            decisions,
            _("threshold probability"),
            _("net benefit"),
        ),
    }


def _model_title(name: str) -> str:
    from TACEResponseLib.models.combination import title

    return title(name)
