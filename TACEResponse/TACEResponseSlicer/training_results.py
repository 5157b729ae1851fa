"""What a training run left behind -> table and plot nodes: AUC by model, ROC, calibration, decisions.

Everything is of patients that a model had not seen. What a model scores on its own training patients
appears only as optimism, beside the honest figure that it exceeds.
"""

import csv
import json
import textwrap
from pathlib import Path

import numpy as np
import qt

from . import publish
from .answer_view import fill_table
from .texts import listed
from .texts import tr as _

#: Columns of `scores.csv` beside the models; bundles of earlier versions have no fold.
KNOWN = ("patient_id", "label", "fold")
#: Letters of a model's name in a line of the table: with more of them the figures leave a narrow panel.
NAME_WIDTH = 9


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
        headers = (_("model"), _("out of fold"), _("external"), _("optimism"))
        fill_table(self._ui.aucTable, headers, auc_rows(rows))
        which = _(
            "AUC with its 95 % interval, of patients that a model had not seen. Optimism: by how much the"
            " AUC on the model's own training patients lies above that out of fold."
        )
        self._ui.trainingStatementLabel.text = f"{which} {responders_sentence(rows)}"
        self._ui.trainingResultSection.collapsed = False

    def open(self, report: str) -> None:
        """Open the report's page, or its folder, with the system's program."""
        page = Path(report) / "report.html"
        place = page if page.is_file() else Path(report)
        qt.QDesktopServices.openUrl(qt.QUrl(place.resolve().as_uri()))


def read_evaluation(report: Path) -> list[dict]:
    """The rows of `evaluation.json` for all centres together: one a model and estimate."""
    rows = json.loads((Path(report) / "evaluation.json").read_text(encoding="utf-8"))
    return [row for row in rows if not row["center"]]


def by_model(rows: list[dict]) -> dict[str, dict[str, dict]]:
    """Model -> estimate -> row; models without any figure of unseen patients are left out."""
    found = {}
    for row in rows:
        found.setdefault(row["model"], {})[row["estimate"]] = row
    return {name: of for name, of in found.items() if {"out_of_fold", "external"} & set(of)}


def auc_rows(rows: list[dict]) -> list[tuple[str, str, str, str]]:
    """A row of text a model: AUC out of fold and external with their intervals, and optimism."""
    return [
        (
            textwrap.fill(_model_title(name), NAME_WIDTH),
            _auc_text(of.get("out_of_fold")),
            _auc_text(of.get("external")),
            _optimism_text(_optimism(of)),
        )
        for name, of in by_model(rows).items()
    ]


def _auc_text(row: dict | None) -> str:
    if row is None:
        return "\N{EN DASH}"
    if row["ci_low"] is None:
        return f"{row['auc']:.3f}"
    text = _("{auc:.3f}\n{low:.3f}–{high:.3f}")  # in two lines, since the panel is narrow
    return text.format(auc=row["auc"], low=row["ci_low"], high=row["ci_high"])


def _optimism(of: dict[str, dict]) -> float:
    """AUC on the own training patients less that out of fold; NaN where one of them is not there."""
    if not {"out_of_fold", "resubstitution"} <= set(of):
        return np.nan
    return of["resubstitution"]["auc"] - of["out_of_fold"]["auc"]


def _optimism_text(optimism: float) -> str:
    return "\N{EN DASH}" if np.isnan(optimism) else f"{optimism:+.3f}".replace("-", "\N{MINUS SIGN}")


def responders_sentence(rows: list[dict]) -> str:
    """How many patients stand behind the figures; for most estimates the same in every row."""
    titles = {"out_of_fold": _("out of fold"), "external": _("external")}
    number = _("{estimate} {responders} of {patients}")
    numbers = dict.fromkeys(
        number.format(estimate=title, responders=row["responders"], patients=row["n"])
        for estimate, title in titles.items()
        for row in rows
        if row["estimate"] == estimate
    )
    return _("Responders: {numbers}.").format(numbers=listed(numbers))


def best_models(rows: list[dict], most: int = 4) -> list[str]:
    """The models with the best out-of-fold AUC, few enough for a chart that can be read."""
    unseen = [row for row in rows if row["estimate"] == "out_of_fold"]
    return [row["model"] for row in sorted(unseen, key=lambda row: -row["auc"])[:most]]


def auc_table(rows: list[dict], name: str):
    """vtkMRMLTableNode with a row a model, numbers as numbers: both honest estimates, and optimism."""
    models = by_model(rows)
    columns = {"model": list(models)}
    for estimate in ("out_of_fold", "external"):
        for key in ("n", "responders", "auc", "ci_low", "ci_high", "sensitivity", "specificity", "brier"):
            numbers = [of.get(estimate, {}).get(key) for of in models.values()]
            columns[f"{estimate}_{key}"] = np.array([np.nan if v is None else v for v in numbers], float)
    columns["optimism"] = np.array([_optimism(of) for of in models.values()], float)
    return publish.table(name, columns)


def read_scores(bundle: Path) -> tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray]]:
    """Labels (n,), folds (n,) and model -> out-of-fold probabilities (n,) of the training patients.

    The folds are None where the bundle does not name them.
    """
    with (Path(bundle) / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    models = [name for name in rows[0] if name not in KNOWN]
    labels = np.array([int(row["label"]) for row in rows])
    folds = np.array([int(row["fold"]) for row in rows]) if "fold" in rows[0] else None
    return labels, folds, {name: np.array([float(row[name]) for row in rows]) for name in models}


def chart_nodes(bundle: Path, models: list[str] | None = None) -> dict:
    """ROC, calibration and decision curve as vtkMRMLPlotChartNodes, out of fold.

    A ROC curve is the mean of those inside the folds, whose area is the mean AUC of the folds: scores
    of two folds come from two models. Where the folds are not known it is pooled, and says so.
    """
    from TACEResponseLib.statistics.calibration import calibration, decision_curve
    from TACEResponseLib.statistics.crossvalidation import mean_roc

    labels, folds, scores = read_scores(bundle)
    pooled = np.zeros(labels.shape, int) if folds is None else folds
    roc, calibrated, decisions = {}, {}, {}
    for name in models or list(scores):
        roc[_model_title(name)] = mean_roc(labels, pooled[None], scores[name][None])
        bins = calibration(labels, scores[name], bins=5)
        calibrated[_model_title(name)] = (bins.bin_probability, bins.bin_observed)
        benefit = decision_curve(labels, scores[name], np.linspace(0.05, 0.8, 76))
        decisions[_model_title(name)] = (benefit.thresholds, benefit.model)
        decisions[_("treat everybody")] = (benefit.thresholds, benefit.treat_all)
    return {
        "roc": publish.curve_chart(
            _("TACE training ROC, out of fold")
            if folds is not None
            else _("TACE training ROC, out of fold, folds pooled"),
            roc,
            _("1 - specificity"),
            _("sensitivity"),
            diagonal=True,
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
